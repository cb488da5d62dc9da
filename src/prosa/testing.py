"""Fakes that ship with Prosa, so that its tests and those of its adapters' authors share them."""

import asyncio
import heapq
import itertools
from collections.abc import AsyncIterator, Collection, Coroutine, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime, timedelta
from typing import Final, TypeVar
from uuid import UUID

from prosa.core.errors import StoreUnavailable
from prosa.core.events import BulletinNotice, Job, Mail
from prosa.core.policy import Limits
from prosa.core.relay import Row
from prosa.core.run import Claimant, End
from prosa.core.trace import Span
from prosa.core.work import Ask, Committed, Held, Receipt, Save, Saved, Stopped
from prosa.ports import Broker, Deliveries, Runs

T = TypeVar("T")

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


class LossyBus:
    """A bus that loses what it may lose: all mail while ``deaf``, all jobs while ``idle``."""

    def __init__(self, bus: Broker) -> None:
        self._bus = bus
        self.deaf = False
        self.idle = False

    def dispatch(self, job: Job) -> None:
        if not self.idle:
            self._bus.dispatch(job)

    def jobs(self, pool: str, slots: int) -> AbstractAsyncContextManager[Deliveries]:
        return self._bus.jobs(pool, slots)

    async def backlog(self, pool: str) -> int | None:
        return await self._bus.backlog(pool)

    async def dead_letters(self) -> int | None:
        return await self._bus.dead_letters()

    def inbox(self, name: str, *, bulletins: bool) -> AbstractAsyncContextManager[AsyncIterator[Mail]]:
        return self._bus.inbox(name, bulletins=bulletins)

    def send(self, to: str, mail: Mail) -> None:
        if not self.deaf:
            self._bus.send(to, mail)

    def announce(self, notices: Sequence[BulletinNotice]) -> None:
        if not self.deaf:
            self._bus.announce(notices)


class FaultyRuns:
    """A store of runs that is ``away`` when a test says so; ``forgetful``: it commits, and its answer is lost.

    Claims are answered while ``slow_claims`` is set.
    """

    def __init__(self, runs: Runs) -> None:
        self._runs = runs
        self.away = False
        self.forgetful = 0
        self.slow_claims = asyncio.Event()
        self.slow_claims.set()

    async def accept(self, ask: Ask, limits: Limits) -> Receipt:
        return await self._faulty(self._runs.accept(ask, limits))

    async def claim(
        self, claimant: Claimant, *, lease_seconds: float, continues: Collection[str], limits: Limits
    ) -> Held | Row | None:
        claim = self._runs.claim(claimant, lease_seconds=lease_seconds, continues=continues, limits=limits)
        held = await self._faulty(claim)
        await self.slow_claims.wait()
        return held

    async def checkpoint(self, worker: str, saves: Sequence[Save]) -> Sequence[Saved]:
        if self.away:
            raise _away()
        return await self._runs.checkpoint(worker, saves)

    async def finish(
        self, claimant: Claimant, text: str, end: End, limits: Limits, *, spoke: float | None = None
    ) -> Committed:
        return await self._faulty(self._runs.finish(claimant, text, end, limits, spoke=spoke))

    async def release(self, claimant: Claimant, text: str) -> bool:
        return await self._faulty(self._runs.release(claimant, text))

    async def stop(self, user: UUID, run: UUID, limits: Limits) -> Stopped:
        return await self._faulty(self._runs.stop(user, run, limits))

    async def _faulty(self, call: Coroutine[object, object, T]) -> T:
        if self.away:
            call.close()
            raise _away()
        result = await call
        if self.forgetful:
            self.forgetful -= 1
            raise _away()
        return result


def _away() -> StoreUnavailable:
    return StoreUnavailable("The store is away, as this test asks.")


class KeptTraces:
    """Traces that a test reads: every span, in the order in which they were given."""

    def __init__(self) -> None:
        self.spans: list[Span] = []

    def wants(self, run: UUID, *, telling: bool = False) -> bool:
        return True

    def add(self, span: Span) -> None:
        self.spans.append(span)


async def settle() -> None:
    """Let every task that can run go on until it waits for something else."""
    for _ in range(SETTLE_ROUNDS):
        await asyncio.sleep(0)
