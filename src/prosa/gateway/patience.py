"""A deadline for each of many short waits, by one timer: a timeout of its own costs as much as a send to a socket."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager


class Patience:
    """Times one wait after the other, each from ``begins`` to ``ends``. Its timer is set only while there are waits."""

    def __init__(self, seconds: float, scope: asyncio.Timeout) -> None:
        self._seconds = seconds
        self._scope = scope
        self._loop = asyncio.get_running_loop()
        self._since: float | None = None
        self._timer: asyncio.TimerHandle | None = None

    def begins(self) -> None:
        self._since = self._loop.time()
        if self._timer is None:
            self._timer = self._loop.call_at(self._since + self._seconds, self._look)

    def ends(self) -> None:
        self._since = None

    def _look(self) -> None:
        self._timer = None
        if self._since is None:
            return
        due = self._since + self._seconds
        if due <= self._loop.time():
            self._scope.reschedule(0)
        else:
            self._timer = self._loop.call_at(due, self._look)

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()


@asynccontextmanager
async def patient(seconds: float) -> AsyncGenerator[Patience]:
    """Raises TimeoutError in the body where one of its waits takes longer than ``seconds``."""
    async with asyncio.timeout(None) as scope:
        patience = Patience(seconds, scope)
        try:
            yield patience
        finally:
            patience.close()
