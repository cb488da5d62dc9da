"""Where transactions run: the one idea that both databases share, and the choice between them.

Work is a plain function of a connection, so a transaction reads as straight code, and each database runs it in
the way that is cheapest there: SQLite in a thread of its own, PostgreSQL in a greenlet over asyncpg.
"""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Final, TypeVar

from sqlalchemy import Connection

T = TypeVar("T")
Work = Callable[[Connection], T]

CLOSE_SECONDS: Final = 5.0
"""For the goodbye to a database."""
WAIT_SECONDS: Final = 15.0
"""For a turn, a connection, or a statement; then the store is unavailable."""


class Database(ABC):
    """Runs work in transactions. Drivers' errors come out as ours (failures.py).

    ``tasks`` owns what must outlive a caller that is cancelled.
    """

    def __init__(self, tasks: asyncio.TaskGroup) -> None:
        self._tasks = tasks

    def start(self, job: Coroutine[None, None, None]) -> asyncio.Task[None]:
        """Let a job run on its own; closing the database waits for it. Raises RuntimeError once it is closed."""
        try:
            return self._tasks.create_task(job)
        except RuntimeError:
            job.close()
            raise

    @abstractmethod
    async def read(self, work: Work[T]) -> T: ...

    async def snapshot(self, work: Work[T]) -> T:
        """Work that only reads, however much: all of it sees the rows as they were at its first statement."""
        return await self.read(work)

    @abstractmethod
    async def write(self, work: Work[T], *, synced: bool = True) -> T:
        """One transaction, committed when this returns; changed nothing when it raises.

        A caller that is cancelled while it waits for its turn leaves no trace. Later, the transaction goes on
        to its end without it: a cancelled statement would cost the connection and leave the outcome open.
        """
        ...


@asynccontextmanager
async def owned_tasks() -> AsyncIterator[asyncio.TaskGroup]:
    """A task group that is waited for, and leaves the error of whoever uses it as it is, outside of any group."""
    failure: BaseException | None = None
    async with asyncio.TaskGroup() as tasks:
        try:
            yield tasks
        except BaseException as error:  # noqa: BLE001 — it is raised again below
            failure = error
    if failure is not None:
        raise failure


async def to_the_end(closing: Coroutine[None, None, None], seconds: float = CLOSE_SECONDS) -> None:
    """Close something whole, also where the caller is cancelled meanwhile, who then hears of it afterwards.

    A pool that is broken off while it closes its connections logs a traceback for each. What takes longer than
    ``seconds`` is left: the system closes it with the process.
    """
    async with owned_tasks() as tasks:
        closed = tasks.create_task(_closed(closing, seconds))
        try:
            await asyncio.shield(closed)
        finally:
            failure = await closed
            if failure is not None:
                raise failure


async def _closed(closing: Coroutine[None, None, None], seconds: float) -> Exception | None:
    """What went wrong, if something did but the time: it is the caller's, and not the task group's."""
    try:
        async with asyncio.timeout(seconds):
            await closing
    except TimeoutError:
        return None
    except Exception as error:  # noqa: BLE001 — it is raised again by whoever closes
        return error
    return None
