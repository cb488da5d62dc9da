"""SQLite: one writer thread, so that writers queue fairly and never meet a locked database; a few that read.

A whole transaction is one hop to its thread. Through aiosqlite, which hops for each statement, an accept took
11 ms instead of 5 (2 cores, synchronous=FULL).
"""

import asyncio
import sqlite3
import time
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Final, TypeVar

from sqlalchemy import URL, Connection, Engine, create_engine, event
from sqlalchemy.engine.interfaces import DBAPIConnection, DBAPICursor
from sqlalchemy.pool import ConnectionPoolEntry

from prosa.adapters.sql.database import WAIT_SECONDS, Database, Work, owned_tasks
from prosa.adapters.sql.failures import mapped
from prosa.core.errors import StoreUnavailable

T = TypeVar("T")

_BUSY_MS: Final = 10_000
"""For other processes that write: `prosa user`, a backup."""
_AGAIN_MS: Final = 10
_READERS: Final = 2


class Line:
    """A line of threads before one engine, each with its own connection."""

    def __init__(self, engine: Engine, threads: int, wait_seconds: float) -> None:
        self._engine = engine
        self._wait_seconds = wait_seconds
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="sqlite")

    async def run(self, work: Work[T], *, synced: bool) -> T:
        """Raises StoreUnavailable where the turn does not come in time: then the work was not begun."""
        job = self._threads.submit(self._transact, work, synced=synced)
        answer = asyncio.wrap_future(job)
        try:
            await asyncio.wait({answer}, timeout=self._wait_seconds)
            if not answer.done() and job.cancel():
                raise StoreUnavailable(
                    f"The database has had no free moment for {self._wait_seconds:g} s. Nothing was stored; try again."
                )
            return await answer
        finally:
            answer.cancel()  # no effect on an answer; work that was not begun is taken out of the line

    def _transact(self, work: Work[T], *, synced: bool) -> T:
        engine = self._engine if synced else self._engine.execution_options(prosa_synced=False)
        with mapped(), engine.begin() as connection:
            return work(connection)

    async def close(self) -> None:
        """What is in line ends first."""
        await asyncio.to_thread(self._threads.shutdown)
        self._engine.dispose()


class SqliteDatabase(Database):
    """See database.Database."""

    def __init__(self, writer: Line, readers: Line, tasks: asyncio.TaskGroup) -> None:
        super().__init__(tasks)
        self._writer = writer
        self._readers = readers

    async def read(self, work: Work[T]) -> T:
        return await self._readers.run(work, synced=True)

    async def write(self, work: Work[T], *, synced: bool = True) -> T:
        return await self._writer.run(work, synced=synced)


@asynccontextmanager
async def open_sqlite(
    url: URL, *, foreign_keys: bool = True, wait_seconds: float = WAIT_SECONDS
) -> AsyncIterator[SqliteDatabase]:
    """Foreign keys are off for migrations only: SQLite alters a table by copying it and dropping the old one."""
    url = url.set(drivername="sqlite+pysqlite")
    writer = Line(_engine(url, "BEGIN IMMEDIATE", 1, foreign_keys=foreign_keys), 1, wait_seconds)
    readers = Line(_engine(url, "BEGIN", _READERS, foreign_keys=foreign_keys), _READERS, wait_seconds)
    try:
        async with owned_tasks() as tasks:
            yield SqliteDatabase(writer, readers, tasks)
    finally:
        await readers.close()
        await writer.close()


def _log_ahead(cursor: DBAPICursor) -> None:
    """Switch to the write-ahead log. On a new file two processes may do so at once, and for this one lock SQLite does
    not wait by itself."""
    for _ in range(_BUSY_MS // _AGAIN_MS):
        try:
            cursor.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY:
                raise
            time.sleep(_AGAIN_MS / 1000)
        else:
            return
    cursor.execute("PRAGMA journal_mode = WAL")


def _engine(url: URL, begin: str, size: int, *, foreign_keys: bool) -> Engine:
    connect = {"isolation_level": None, "check_same_thread": False}
    engine = create_engine(
        url,
        pool_size=size,
        max_overflow=0,
        pool_timeout=WAIT_SECONDS,
        connect_args=connect,
        hide_parameters=True,  # in errors: they hold what people wrote
    )

    @event.listens_for(engine, "connect")
    def prepare(connection: DBAPIConnection, entry: ConnectionPoolEntry) -> None:
        cursor = connection.cursor()
        cursor.execute(f"PRAGMA busy_timeout = {_BUSY_MS}")
        _log_ahead(cursor)
        cursor.execute("PRAGMA synchronous = FULL")
        cursor.execute(f"PRAGMA foreign_keys = {'ON' if foreign_keys else 'OFF'}")
        cursor.close()
        entry.info["synced"] = True

    @event.listens_for(engine, "begin")
    def start(connection: Connection) -> None:
        # A synced commit also syncs what unsynced ones wrote before it: they share one log.
        synced = bool(connection.get_execution_options().get("prosa_synced", True))
        if connection.info["synced"] is not synced:
            connection.exec_driver_sql(f"PRAGMA synchronous = {'FULL' if synced else 'NORMAL'}")
            connection.info["synced"] = synced
        connection.exec_driver_sql(begin)

    return engine
