"""What the bench measures beside the answers: its own lag, the processes, the disk."""

import asyncio
import os
import resource
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

import msgspec

from prosa.load.histogram import Histogram, Spread, spread

LAG_SECONDS: Final = 0.02
SAMPLE_SECONDS: Final = 2.0
"""To walk through all processes of a machine and add up their memory takes tens of milliseconds of CPU."""
COMMITS: Final = 200
COMMIT_BYTES: Final = 512


class Used(msgspec.Struct, frozen=True):
    """What a process and its children have used so far, and hold now."""

    cpu_seconds: float
    resident_bytes: int


Meter = Callable[[int], Used | None]
"""What the process with this id has used; None where it is gone."""


class Sample(msgspec.Struct, frozen=True):
    """``at``: seconds of the machine's monotonic clock."""

    at: float
    used: dict[str, Used]


class Gauge:
    """Samples processes by name. ``pids`` may change while it runs: a restarted process is another one."""

    def __init__(self, pids: Callable[[], Mapping[str, int]], meter: Meter, clock: Callable[[], float]) -> None:
        self._pids = pids
        self._meter = meter
        self._clock = clock
        self.samples: list[Sample] = []

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await self.sample()
            await asyncio.sleep(SAMPLE_SECONDS)

    async def sample(self) -> None:
        """Read the processes in a thread: a large one takes the kernel some milliseconds."""
        self.samples.append(await asyncio.to_thread(self._sample))

    def _sample(self) -> Sample:
        found = {name: self._meter(pid) for name, pid in self._pids().items()}
        return Sample(self._clock(), {name: one for name, one in found.items() if one is not None})


class Lag:
    """How late the event loop comes to what is due: where it is late, the generator is what was measured."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self.seen = Histogram()

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            before = self._clock()
            await asyncio.sleep(LAG_SECONDS)
            self.seen.add(max(self._clock() - before - LAG_SECONDS, 0.0))


def own_cpu_seconds() -> float:
    """What this process has used."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def synced_commits(folder: Path, clock: Callable[[], float]) -> Spread:
    """What a bare synced commit costs on the disk of ``folder``: append and sync, again and again."""
    path = folder / ".synced-commits"
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        return spread([_commit(file, clock) for _ in range(COMMITS)])
    finally:
        os.close(file)
        path.unlink()


def _commit(file: int, clock: Callable[[], float]) -> float:
    before = clock()
    os.write(file, b"\0" * COMMIT_BYTES)
    os.fdatasync(file)
    return clock() - before
