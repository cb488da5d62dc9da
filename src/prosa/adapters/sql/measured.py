"""A database whose transactions are timed and counted: the one place where the store is measured."""

import asyncio
from collections.abc import Awaitable
from typing import Any, TypeVar

from prosa.adapters.sql.database import Database, Work
from prosa.core.errors import ProsaError, StoreUnavailable, Unavailable
from prosa.ports import Metrics

T = TypeVar("T")


class MeasuredDatabase(Database):
    """See database.Database. A batch of calls is one transaction and is measured once.

    What the store refused (a name that is taken) was answered; what failed or was cancelled has no time.
    """

    def __init__(self, database: Database, metrics: Metrics) -> None:
        super().__init__(database._tasks)
        self._database = database
        self._metrics = metrics
        self._connected: bool | None = None

    async def read(self, work: Work[T]) -> T:
        return await self._timed(call_of(work), self._database.read(work))

    async def snapshot(self, work: Work[T]) -> T:
        return await self._timed(call_of(work), self._database.snapshot(work))

    async def write(self, work: Work[T], *, synced: bool = True) -> T:
        return await self._timed(call_of(work), self._database.write(work, synced=synced))

    async def _timed(self, call: str, transaction: Awaitable[T]) -> T:
        clock = asyncio.get_running_loop().time
        began = clock()
        try:
            result = await transaction
        except Unavailable as error:
            self._metrics.count("store_errors_total", code=error.code)
            self._stands(not isinstance(error, StoreUnavailable))
            raise
        except ProsaError:
            self._answered(call, clock() - began)
            raise
        self._answered(call, clock() - began)
        return result

    def _answered(self, call: str, seconds: float) -> None:
        self._metrics.observe("store_seconds", seconds, call=call)
        self._stands(True)

    def _stands(self, connected: bool) -> None:
        if connected is not self._connected:
            self._connected = connected
            self._metrics.gauge("store_connected", int(connected))


def call_of(work: Work[Any]) -> str:
    """The port's method whose work this is: what a batch says of itself, else the function in which it was written."""
    named: str | None = getattr(work, "call", None)
    if named is not None:
        return named
    name: str = getattr(work, "__qualname__", "other")
    written, local, _ = name.partition(".<locals>.")
    return (written if local else name).rpartition(".")[2].strip("_")
