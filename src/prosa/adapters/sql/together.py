"""Calls that arrive while others are under way go together, in one transaction.

Alone, a call begins at once and pays for its own transaction. Where many come, a transaction waits some milliseconds
for company: one begin, one sync and a few statements serve them all, and a burst of five hundred people costs a few
dozen transactions.
"""

import asyncio
import math
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final, Generic, TypeVar

from sqlalchemy import Connection

from prosa.adapters.sql.database import Database
from prosa.core.errors import Overloaded, ProsaError

A = TypeVar("A")
R = TypeVar("R")

LANES: Final = 2
"""Transactions of a kind at once: while one syncs, the next does its work."""
MOST: Final = 64
"""Calls in one transaction."""
LINE: Final = 2_000
"""Calls that wait; what comes beyond is refused, for a database that is so far behind would answer too late."""

BUSY: Final = 40.0
"""Calls a second from which a transaction waits for company: below, hardly anybody would come."""
COMPANY: Final = 3
"""Others to wait for."""
COMPANY_SECONDS: Final = 0.03
"""The longest wait for them."""
RATE_SECONDS: Final = 0.5
"""Over how long the rate of calls is averaged."""
CROWD_SECONDS: Final = 1.0
"""How long it is remembered that so many waited at once that there is company to be had; and how often it is tried."""

Batch = Callable[[Connection, Sequence[A]], Sequence[R | ProsaError]]
"""Answers calls in their order. A refusal of one is its answer; an error that is raised is everybody's."""


class Rate:
    """Calls a second, of late."""

    def __init__(self) -> None:
        self._rate = 0.0
        self._last = 0.0

    def seen(self, now: float) -> None:
        """One call more. ``now``: seconds of any clock."""
        self._rate = self.at(now) + 1 / RATE_SECONDS
        self._last = now

    def at(self, now: float) -> float:
        return self._rate * math.exp((self._last - now) / RATE_SECONDS)


def company_seconds(rate: float, here: int) -> float:
    """How long a transaction waits for others where so many calls a second come, and so many are here."""
    if rate < BUSY or here > COMPANY:
        return 0.0
    return min(COMPANY / rate, COMPANY_SECONDS)


class Shared(Generic[A, R]):
    """One transaction of several calls."""

    def __init__(self, batch: Batch[A, R], calls: Sequence[A], call: str) -> None:
        self.call = call
        self._batch = batch
        self._calls = calls

    def __call__(self, tx: Connection) -> Sequence[R | ProsaError]:
        return self._batch(tx, self._calls)


class Together(Generic[A, R]):
    """One kind of call on a database."""

    def __init__(
        self, database: Database, batch: Batch[A, R], *, call: str = "", apart: Callable[[A], object] | None = None
    ) -> None:
        """``call`` is the kind's name among measures. ``apart``: calls with one key never share a transaction (the
        later sees what the earlier did)."""
        self._database = database
        self._batch = batch
        self._call = call
        self._apart = apart
        self._line: deque[tuple[A, asyncio.Future[R]]] = deque()
        self._under_way = 0
        self._gathering = False
        self._enough = asyncio.Event()
        self._rate = Rate()
        self._callers = 0
        self._crowded = -math.inf
        self._tried = -math.inf

    async def __call__(self, call: A) -> R:
        """Raises what the batch answers or raises. Overloaded: the line is full. Cancelled in line, a call is void."""
        if len(self._line) >= LINE:
            raise Overloaded("The database is too far behind. Nothing was stored; try again in a moment.")
        answer: asyncio.Future[R] = asyncio.get_running_loop().create_future()
        self._line.append((call, answer))
        self._callers += 1
        try:
            self._came()
            return await answer
        finally:
            self._callers -= 1

    def _came(self) -> None:
        now = asyncio.get_running_loop().time()
        self._rate.seen(now)
        if self._callers > COMPANY:
            self._crowded = now
        if len(self._line) > COMPANY:
            self._enough.set()
        if self._under_way < LANES and not self._gathering:
            self._open_lane()

    def _open_lane(self) -> None:
        self._database.start(self._serve()).add_done_callback(self._closed_lane)
        self._under_way += 1
        self._gathering = True

    def _closed_lane(self, lane: asyncio.Task[None]) -> None:
        self._under_way -= 1
        if self._under_way:
            return
        self._gathering = False
        if lane.cancelled():
            self._abandon()
        elif self._line:
            # Who came in the turn in which both lanes ended.
            self._open_lane()

    def _abandon(self) -> None:
        """The database closes: nobody serves the line any more."""
        while self._line:
            self._line.popleft()[1].cancel()

    async def _serve(self) -> None:
        while self._line:
            await self._gather()
            if calls := self._next():
                await self._settle(calls)

    async def _gather(self) -> None:
        """Wait for company where it is likely; who comes meanwhile begins no transaction of its own."""
        self._gathering = True
        self._enough.clear()
        try:
            await self._company(self._patience())
        finally:
            self._gathering = False

    async def _company(self, seconds: float) -> None:
        if seconds:
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._enough.wait()

    def _patience(self) -> float:
        now = asyncio.get_running_loop().time()
        seconds = company_seconds(self._rate.at(now), len(self._line))
        # Two or three callers who come again and again, each when it was answered, have no more company to wait for.
        # A crowd looks the same whose calls are each answered before the next one comes: one wait now and then tells.
        if seconds and now - self._crowded > CROWD_SECONDS:
            if now - self._tried <= CROWD_SECONDS:
                return 0.0
            self._tried = now
        return seconds

    def _next(self) -> list[tuple[A, asyncio.Future[R]]]:
        taken: list[tuple[A, asyncio.Future[R]]] = []
        later: list[tuple[A, asyncio.Future[R]]] = []
        keys: set[object] = set()
        while self._line and len(taken) < MOST:
            call, answer = self._line.popleft()
            key = self._apart(call) if self._apart else answer
            if answer.done():
                continue
            (later if key in keys else taken).append((call, answer))
            keys.add(key)
        self._line.extendleft(reversed(later))
        return taken

    async def _settle(self, calls: list[tuple[A, asyncio.Future[R]]]) -> None:
        try:
            shared = Shared(self._batch, [call for call, _ in calls], self._call)
            results: Sequence[R | Exception] = await self._database.write(shared)
        except asyncio.CancelledError:
            for _, answer in calls:
                answer.cancel()
            raise
        except ProsaError as error:
            results = [error] * len(calls)
        except Exception as error:  # noqa: BLE001 — one transaction: whatever went wrong is its callers' to handle
            if len(calls) > 1:
                # Perhaps only one of them is to blame.
                for call in calls:
                    await self._settle([call])
                return
            results = [error]
        for (_, answer), result in zip(calls, results, strict=True):
            if answer.done():
                continue
            if isinstance(result, Exception):
                answer.set_exception(result)
            else:
                answer.set_result(result)
