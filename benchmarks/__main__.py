"""`python -m benchmarks`: measure the embedded process and print one line of JSON a benchmark; and, when it is
named, a cluster (benchmarks/cluster.py).

Nothing here judges: the figures of one machine stand in docs/benchmarks.md with this command beside them.
"""

import sys
import tempfile
from collections.abc import Callable, Coroutine
from pathlib import Path

import msgspec
import uvloop

from benchmarks.cluster import cluster
from benchmarks.load import load
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
    for name in names or BENCHMARKS:
        with tempfile.TemporaryDirectory() as folder:
            data = Path(folder) / "data"
            data.mkdir()
            result = uvloop.run(BENCHMARKS[name](data))
        sys.stdout.write(f"{name} {msgspec.json.encode(result).decode()}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1:])
