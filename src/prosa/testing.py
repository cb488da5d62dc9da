"""Fakes that ship with Prosa, so that its tests and those of its adapters' authors share them."""

import asyncio
import heapq
import itertools
from datetime import UTC, datetime, timedelta
from typing import Final

START: Final = datetime(2026, 1, 1, tzinfo=UTC)
SETTLE_ROUNDS: Final = 20


class ManualClock:
    """A clock that moves only when a test says so. Both times start from fixed points: nothing depends on today."""

    def __init__(self, start: datetime = START) -> None:
        self._start = start
        self._elapsed = 0.0
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._order = itertools.count()
        self._fell_asleep = asyncio.Event()

    def now(self) -> datetime:
        return self._start + timedelta(seconds=self._elapsed)

    def monotonic(self) -> float:
        return self._elapsed

    async def sleep(self, seconds: float) -> None:
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        future = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self._elapsed + seconds, next(self._order), future))
        self._fell_asleep.set()
        await future

    @property
    def sleepers(self) -> int:
        """How many sleep now."""
        return sum(not future.done() for _, _, future in self._sleepers)

    async def asleep(self, count: int = 1) -> None:
        """Returns when at least ``count`` sleep: a test waits for this before it advances."""
        while self.sleepers < count:
            self._fell_asleep.clear()
            await self._fell_asleep.wait()

    async def advance(self, seconds: float) -> None:
        """Move on, waking sleepers in the order of their times and letting each run until it waits again.

        What waits for a thread or a socket may not be done on return: wait for that itself.
        """
        end = self._elapsed + seconds
        await settle()
        while self._sleepers and self._sleepers[0][0] <= end:
            due, _, future = heapq.heappop(self._sleepers)
            self._elapsed = max(self._elapsed, due)
            if not future.done():
                future.set_result(None)
                await settle()
        self._elapsed = end
        await settle()


async def settle() -> None:
    """Let every task that can run go on until it waits for something else."""
    for _ in range(SETTLE_ROUNDS):
        await asyncio.sleep(0)
