"""Connections and transactions: one writer on SQLite, a pool on PostgreSQL, and what makes both keep the laws.

Work is a plain function of a connection. It runs in one greenlet, so a transaction reads as straight code.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, Final, TypeVar

from sqlalchemy import Connection, event, make_url
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import ConnectionPoolEntry

from prosa.adapters.sql.failures import mapped
from prosa.core.errors import BadConfig, StoreUnavailable

T = TypeVar("T")
Work = Callable[[Connection], T]

WAIT_SECONDS: Final = 15.0
CONNECT_SECONDS: Final = 5.0
_BUSY_MS: Final = 10_000
_UNSYNCED: Final = {"prosa_synced": False}


class Database:
    """Runs work in transactions. ``turn`` is the one writer's place, where there must be only one."""

    def __init__(
        self, writes: AsyncEngine, reads: AsyncEngine, turn: asyncio.Lock | None, tasks: asyncio.TaskGroup
    ) -> None:
        self._synced = writes
        self._unsynced = writes.execution_options(**_UNSYNCED)
        self._reads = reads
        self._turn = turn
        self._tasks = tasks

    async def read(self, work: Work[T]) -> T:
        with mapped():
            async with self._reads.connect() as connection:
                return await connection.run_sync(work)

    async def write(self, work: Work[T], *, synced: bool = True) -> T:
        """One transaction, committed when this returns.

        A caller that is cancelled while it waits for its turn leaves no trace. Later, the transaction goes on
        to its end without it: a cancelled statement would cost the connection and leave the outcome open.
        """
        await self._wait()
        answer: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._tasks.create_task(self._settle(work, answer, synced=synced))
        return await answer

    async def _wait(self) -> None:
        """asyncio's lock is fair: writers go in the order in which they came."""
        if self._turn is None:
            return
        try:
            async with asyncio.timeout(WAIT_SECONDS):
                await self._turn.acquire()
        except TimeoutError:
            raise StoreUnavailable(
                f"The database has had no free moment for {WAIT_SECONDS:.0f} s. Nothing was stored; try again."
            ) from None

    async def _settle(self, work: Work[T], answer: asyncio.Future[T], *, synced: bool) -> None:
        try:
            result = await self._transact(work, synced=synced)
        except Exception as error:  # noqa: BLE001 - one job: whatever went wrong is its caller's to handle
            if not answer.done():
                answer.set_exception(error)
        else:
            if not answer.done():
                answer.set_result(result)
        finally:
            answer.cancel()  # no effect on an answer; nobody waits for a job that was itself cancelled
            if self._turn is not None:
                self._turn.release()

    async def _transact(self, work: Work[T], *, synced: bool) -> T:
        with mapped():
            async with (self._synced if synced else self._unsynced).begin() as connection:
                return await connection.run_sync(work)


@asynccontextmanager
async def open_database(url: str, *, pool_size: int = 10) -> AsyncIterator[Database]:
    """Nothing is connected yet. Leaving waits for the transactions under way, then closes all connections.

    Raises BadConfig for a URL that is neither of the two databases.
    """
    writes, reads = engines(url, pool_size=pool_size)
    turn = asyncio.Lock() if writes.dialect.name == "sqlite" else None
    try:
        async with asyncio.TaskGroup() as tasks:
            yield Database(writes, reads, turn, tasks)
    finally:
        await writes.dispose()
        await reads.dispose()


def engines(url: str, *, pool_size: int, foreign_keys: bool = True) -> tuple[AsyncEngine, AsyncEngine]:
    """The engine for writers and the one for readers."""
    driver = make_url(url).drivername
    if driver == "sqlite+aiosqlite":
        writes = _sqlite(url, 1, "BEGIN IMMEDIATE", foreign_keys=foreign_keys)
        return writes, _sqlite(url, 4, "BEGIN", foreign_keys=foreign_keys)
    if driver == "postgresql+asyncpg":
        engine = _postgresql(url, pool_size)
        return engine, engine.execution_options(isolation_level="AUTOCOMMIT")
    raise BadConfig(
        f"The database URL names the driver {driver!r}. Write sqlite+aiosqlite:///… or postgresql+asyncpg://…"
    )


def _sqlite(url: str, size: int, begin: str, *, foreign_keys: bool) -> AsyncEngine:
    engine = create_async_engine(
        url,
        pool_size=size,
        max_overflow=0,
        pool_timeout=WAIT_SECONDS,
        connect_args={"isolation_level": None},
    )

    @event.listens_for(engine.sync_engine, "connect")
    def prepare(connection: DBAPIConnection, entry: ConnectionPoolEntry) -> None:
        cursor = connection.cursor()
        for pragma in (
            f"busy_timeout = {_BUSY_MS}",
            "journal_mode = WAL",
            "synchronous = FULL",
            f"foreign_keys = {'ON' if foreign_keys else 'OFF'}",
        ):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()
        entry.info["synced"] = True

    @event.listens_for(engine.sync_engine, "begin")
    def start(connection: Connection) -> None:
        # A synced commit also syncs what unsynced ones wrote before it: they share one log.
        synced = bool(connection.get_execution_options().get("prosa_synced", True))
        if connection.info["synced"] is not synced:
            connection.exec_driver_sql(f"PRAGMA synchronous = {'FULL' if synced else 'NORMAL'}")
            connection.info["synced"] = synced
        connection.exec_driver_sql(begin)

    return engine


def _postgresql(url: str, size: int) -> AsyncEngine:
    arguments: dict[str, Any] = {
        "timeout": CONNECT_SECONDS,
        "command_timeout": WAIT_SECONDS,
        "server_settings": {"application_name": "prosa", "jit": "off"},
    }
    engine = create_async_engine(
        url, pool_size=size, max_overflow=size, pool_timeout=WAIT_SECONDS, pool_pre_ping=True, connect_args=arguments
    )

    @event.listens_for(engine.sync_engine, "begin")
    def start(connection: Connection) -> None:
        if not connection.get_execution_options().get("prosa_synced", True):
            connection.exec_driver_sql("SET LOCAL synchronous_commit TO off")

    return engine
