"""`python -m benchmarks`: measure the embedded process and print one line of JSON a benchmark; and, where they are
named, a cluster (benchmarks/cluster.py), those who look after it (benchmarks/cockpit.py), what watching costs
(benchmarks/overhead.py), a backup of many messages (benchmarks/backup.py), and what the next factor of ten needs
(benchmarks/scale.py).

Nothing here judges: the figures of one machine stand in docs/benchmarks.md with this command beside them.
"""

import sys
import tempfile
from collections.abc import Callable, Coroutine
from pathlib import Path

import msgspec
import uvloop

from benchmarks import backup, scale
from benchmarks.cluster import cluster
from benchmarks.cockpit import cockpit, options
from benchmarks.load import load
from benchmarks.overhead import PAIRS, overhead
from benchmarks.sockets import idle, stalled

Run = Callable[[Path], Coroutine[object, object, msgspec.Struct]]

BENCHMARKS: dict[str, Run] = {
    "load": lambda folder: load(folder, users=200, words=100, rate=20, spread=5.0),
    "idle": lambda folder: idle(folder, 2000),
    "stalled": lambda folder: stalled(folder, words=20_000, rate=2000),
}


def main(names: list[str]) -> None:
    if names[:1] == ["cluster"]:
        uvloop.run(cluster(names[1:]))
        return
    if names[:1] == ["cockpit"]:
        _tell("cockpit", uvloop.run(cockpit(options(names[1:]))))
        return
    if names[:1] == ["backup"]:
        _tell("backup", uvloop.run(backup.backup(backup.options(names[1:]))))
        return
    if names[:1] == ["scale"]:
        uvloop.run(scale.measure()) if names[1:] == ["measure"] else scale.scale()
        return
    if names[:1] == ["overhead"]:
        _, found = uvloop.run(overhead(int(names[1]) if names[1:] else PAIRS))
        for one in found:
            _tell("overhead", one)
        return
    for name in names or BENCHMARKS:
        with tempfile.TemporaryDirectory() as folder:
            data = Path(folder) / "data"
            data.mkdir()
            result = uvloop.run(BENCHMARKS[name](data))
        _tell(name, result)


def _tell(name: str, result: msgspec.Struct) -> None:
    sys.stdout.write(f"{name} {msgspec.json.encode(result).decode()}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1:])
