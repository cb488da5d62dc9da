"""PostgreSQL: a pool of asyncpg connections."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, Final, TypeVar

from sqlalchemy import URL, Connection, PoolProxiedConnection, event, exc
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from prosa.adapters.sql.database import WAIT_SECONDS, Database, Work, owned_tasks, to_the_end
from prosa.adapters.sql.failures import mapped, translated
from prosa.core.errors import StoreUnavailable

T = TypeVar("T")

CONNECT_SECONDS: Final = 5.0
ANSWERED: Final = "prosa_answered"
FORSAKEN: Final = "2s"
"""After so long a silence amid a transaction the server gives it up, and frees the rows that it had locked.

Shorter than a lease: who takes over the runs of a process that is frozen or cut off must not wait for its locks. (One
that was killed is no such case: the server sees its connections end.)
"""
PATIENT: Final = "10min"
"""The same for what waits for files and pipes, and locks no row that a run needs."""


class PostgresDatabase(Database):
    """See database.Database. Transactions are tasks of its own, so that they outlive a caller that is cancelled."""

    def __init__(self, engine: AsyncEngine, tasks: asyncio.TaskGroup) -> None:
        super().__init__(tasks)
        self._synced = engine
        self._unsynced = engine.execution_options(prosa_synced=False)
        self._reads = engine.execution_options(isolation_level="AUTOCOMMIT")
        self._moments = engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)

    async def read(self, work: Work[T]) -> T:
        with mapped():
            return await _retried(self._reads.connect, work)

    async def snapshot(self, work: Work[T]) -> T:
        with mapped():
            return await _retried(self._moments.begin, work)

    async def write(self, work: Work[T], *, synced: bool = True) -> T:
        answer: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self.start(self._settle(work, answer, synced=synced))
        return await answer

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

    async def _transact(self, work: Work[T], *, synced: bool) -> T:
        engine = self._synced if synced else self._unsynced
        with mapped():
            return await _retried(engine.begin, work)


class _DeadConnection(Exception):
    """A connection from the pool died before its server answered anything on it."""


async def _retried(connect: Callable[[], AbstractAsyncContextManager[AsyncConnection]], work: Work[T]) -> T:
    """Do the work once more where its connection had died in the pool: nothing of it can have been done."""
    try:
        return await _done(connect, work)
    except _DeadConnection:
        return await _done(connect, work, again=False)


async def _done(
    connect: Callable[[], AbstractAsyncContextManager[AsyncConnection]], work: Work[T], *, again: bool = True
) -> T:
    async with connect() as connection:
        info = (await connection.get_raw_connection()).info
        info[ANSWERED] = False
        try:
            return await connection.run_sync(work)
        except exc.DBAPIError as error:
            if again and not info[ANSWERED] and _lost(error):
                await connection.invalidate()
                raise _DeadConnection from error
            raise


def _lost(error: exc.DBAPIError) -> bool:
    return error.connection_invalidated or isinstance(translated(error), StoreUnavailable)


@asynccontextmanager
async def open_postgresql(url: URL, *, pool_size: int, patient: bool = False) -> AsyncIterator[PostgresDatabase]:
    engine = _engine(url, pool_size, patient=patient)
    try:
        async with owned_tasks() as tasks:
            yield PostgresDatabase(engine, tasks)
    finally:
        await to_the_end(engine.dispose())


def _engine(url: URL, size: int, *, patient: bool) -> AsyncEngine:
    # Every statement finds its rows by keys, so that its one plan fits all values: planning cost more than running.
    connect: dict[str, Any] = {
        "timeout": CONNECT_SECONDS,
        "command_timeout": None if patient else WAIT_SECONDS,
        "server_settings": {
            "application_name": "prosa",
            "jit": "off",
            "plan_cache_mode": "force_generic_plan",
            "idle_in_transaction_session_timeout": PATIENT if patient else FORSAKEN,
        },
    }
    engine = create_async_engine(
        url,
        pool_size=size,
        max_overflow=0,
        pool_timeout=WAIT_SECONDS,
        connect_args=connect,
        hide_parameters=True,  # in errors: they hold what people wrote
    )

    @event.listens_for(engine.sync_engine, "checkout")
    def living(connection: PoolProxiedConnection, *_: object) -> None:
        """Replace a connection that its server closed while it lay in the pool; nobody asks the server for it."""
        if connection.driver_connection is None or connection.driver_connection.is_closed():
            raise exc.DisconnectionError

    @event.listens_for(engine.sync_engine, "after_cursor_execute")
    def answered(connection: Connection, *_: object) -> None:
        connection.info[ANSWERED] = True

    @event.listens_for(engine.sync_engine, "begin")
    def start(connection: Connection) -> None:
        if not connection.get_execution_options().get("prosa_synced", True):
            connection.exec_driver_sql("SET LOCAL synchronous_commit TO off")

    return engine
