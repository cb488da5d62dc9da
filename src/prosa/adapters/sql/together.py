"""Calls that arrive while others are under way go together, in one transaction.

Alone, a call begins at once and pays for its own transaction. Under load one begin, one sync and a few statements
serve many: a burst of five hundred people costs a few dozen transactions.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final, Generic, TypeVar

from sqlalchemy import Connection

from prosa.adapters.sql.database import Database
from prosa.core.errors import ProsaError

A = TypeVar("A")
R = TypeVar("R")

LANES: Final = 2
"""Transactions of a kind at once: while one syncs, the next does its work."""
MOST: Final = 64
"""Calls in one transaction."""

Batch = Callable[[Connection, Sequence[A]], Sequence[R | ProsaError]]
"""Answers calls in their order. A refusal of one is its answer; an error that is raised is everybody's."""


class Together(Generic[A, R]):
    """One kind of call on a database."""

    def __init__(self, database: Database, batch: Batch[A, R], *, apart: Callable[[A], object] | None = None) -> None:
        """``apart``: calls with one key never share a transaction (the later sees what the earlier did)."""
        self._database = database
        self._batch = batch
        self._apart = apart
        self._line: deque[tuple[A, asyncio.Future[R]]] = deque()
        self._under_way = 0

    async def __call__(self, call: A) -> R:
        """Raises what the batch answers or raises. Cancelled in line, a call leaves no trace."""
        answer: asyncio.Future[R] = asyncio.get_running_loop().create_future()
        self._line.append((call, answer))
        if self._under_way < LANES:
            self._under_way += 1
            self._database.start(self._serve())
        return await answer

    async def _serve(self) -> None:
        try:
            while calls := self._next():
                await self._settle(calls)
        finally:
            self._under_way -= 1

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
            results: Sequence[R | Exception] = await self._database.write(
                lambda tx: self._batch(tx, [call for call, _ in calls])
            )
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
