"""What goes wrong below the store comes out as our own errors, and what was refused is not half there."""

import asyncio
import sqlite3
import threading
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from uuid import uuid4

import asyncpg
import pytest
from sqlalchemy import Connection, exc, make_url, text

from prosa.adapters.sql.accounts import SqlUsers
from prosa.adapters.sql.database import Database, Work
from prosa.adapters.sql.failures import mapped, translated
from prosa.adapters.sql.migrate import migrate
from prosa.adapters.sql.opening import open_database
from prosa.adapters.sql.sqlite import SqliteDatabase, open_sqlite
from prosa.adapters.sql.store import open_store
from prosa.cluster.proxy import FaultProxy
from prosa.core.errors import BadConfig, ProsaError, SchemaOutdated, StorageFull, StoreUnavailable
from prosa.core.policy import Limits
from prosa.core.work import Save, Saved
from tests.contract.scene import Scene
from tests.contract.sql import raw

# ── a real SQLite file ──


@pytest.fixture
async def database(sqlite_template: Path) -> AsyncIterator[SqliteDatabase]:
    async with open_sqlite(make_url(f"sqlite:///{sqlite_template}"), wait_seconds=0.1) as opened:
        yield opened


async def test_a_full_disk_is_told_and_leaves_nothing_and_space_mends_it(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/prosa.db"
    await migrate(url)
    async with open_database(url) as database:
        users = SqlUsers(database)
        await database.write(lambda tx: tx.execute(text("PRAGMA max_page_count = 1")).close())
        with pytest.raises(StorageFull, match="full"):
            await users.add(uuid4(), "ana", "x" * 100_000, role="member")
        await database.write(lambda tx: tx.execute(text("PRAGMA max_page_count = 100000")).close())
        assert await users.find("ana") is None
        await users.add(uuid4(), "ana", "x" * 100_000, role="member")


async def test_a_database_that_only_reads_is_unavailable_to_writers_alone(sqlite_template: Path) -> None:
    async with open_store(f"sqlite:///file:{sqlite_template}?mode=ro&uri=true") as store:
        assert set((await store.reads.counts()).values()) == {0}
        with pytest.raises(StoreUnavailable, match="readonly"):
            await store.users.add(uuid4(), "ana", None, role="member")


async def test_a_missing_folder_and_a_file_that_is_no_database_are_unavailable(tmp_path: Path) -> None:
    (tmp_path / "text.db").write_text("This is no database. " * 100)
    for path in ("nowhere/prosa.db", "text.db"):
        async with open_store(f"sqlite:///{tmp_path}/{path}") as store:
            with pytest.raises(StoreUnavailable):
                await store.reads.counts()


async def test_a_writer_waits_for_another_process_that_writes(sqlite_template: Path) -> None:
    other = sqlite3.connect(sqlite_template, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    async with open_store(f"sqlite:///{sqlite_template}") as store, asyncio.TaskGroup() as tasks:
        task = tasks.create_task(store.sweeps.heartbeat("wk-1", slots=1, draining=False))
        await asyncio.wait({task}, timeout=0.05)
        assert not task.done()
        other.execute("ROLLBACK")
    assert other.execute("SELECT slots FROM workers").fetchall() == [(1,)]
    other.execute("DELETE FROM workers")
    other.close()


async def test_a_turn_that_does_not_come_in_time_is_refused_and_never_taken(database: SqliteDatabase) -> None:
    free, begun, ran = threading.Event(), threading.Event(), []

    def first(_: Connection) -> None:
        begun.set()
        free.wait(5)

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(database.write(first))
        await asyncio.to_thread(begun.wait)
        with pytest.raises(StoreUnavailable, match="no free moment"):
            await database.write(lambda _: ran.append("late"))
        free.set()
    await database.write(lambda _: ran.append("then"))
    assert ran == ["then"]


async def test_work_under_way_outlives_its_cancelled_caller_and_work_in_line_does_not(
    database: SqliteDatabase,
) -> None:
    free, begun, ran = threading.Event(), threading.Event(), []

    def first(_: Connection) -> None:
        begun.set()
        free.wait(5)
        ran.append("first")

    async with asyncio.TaskGroup() as tasks:
        under_way = tasks.create_task(database.write(first))
        await asyncio.to_thread(begun.wait)
        in_line = tasks.create_task(database.write(lambda _: ran.append("second")))
        await asyncio.sleep(0)
        under_way.cancel()
        in_line.cancel()
    free.set()
    await database.write(lambda _: ran.append("third"))
    assert ran == ["first", "third"]


async def test_a_mistake_of_ours_is_not_called_an_outage(database: SqliteDatabase) -> None:
    with pytest.raises(exc.OperationalError):
        await database.write(lambda tx: tx.execute(text("NOT SQL")))


@pytest.mark.parametrize("url", ["", "nonsense", "mysql://host/database", "sqlite://", "sqlite:///:memory:"])
async def test_a_url_of_neither_database_is_refused(url: str) -> None:
    with pytest.raises(BadConfig, match="Write"):
        open_database(url)


# ── a real PostgreSQL ──


async def test_a_server_that_refuses_is_unavailable() -> None:
    async with open_store("postgresql://nobody@127.0.0.1:1/nothing") as store:
        with pytest.raises(StoreUnavailable):
            await store.reads.counts()
        with pytest.raises(StoreUnavailable):
            await store.sweeps.heartbeat("wk-1", slots=1, draining=False)


async def test_after_the_server_dropped_all_connections_the_next_call_works(scene: Scene, backend: str) -> None:
    if backend == "postgresql":
        others = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database()"
        await raw(scene.url, others + " AND pid <> pg_backend_pid()")
    assert not (await scene.send()).repeated


async def test_what_was_locked_by_who_fell_silent_amid_a_transaction_is_free_within_a_lease(
    scene: Scene, backend: str
) -> None:
    """A worker that is frozen or cut off holds no rows longer than others have to wait before they take over."""
    if backend == "sqlite":
        return  # its transactions do not cross a network, and one process has it alone
    silent = asyncio.Event()
    async with AsyncExitStack() as stack:
        target = make_url(scene.url)
        way = await stack.enter_async_context(FaultProxy(target.host or "", target.port or 5432))
        through = target.set(host=way.host, port=way.port).render_as_string(hide_password=False)
        database = await stack.enter_async_context(open_database(through))

        def work(tx: Connection) -> None:
            tx.execute(text("UPDATE users SET role = 'cut'"))
            way.black_hole()
            silent.set()
            tx.execute(text("UPDATE users SET role = 'cut off'"))

        async with asyncio.TaskGroup() as tasks:
            cut = tasks.create_task(_refusal(database, work))
            await silent.wait()
            async with asyncio.timeout(Limits().lease_seconds):
                await raw(scene.url, "UPDATE users SET role = 'member'")
            way.pass_through()
            assert isinstance(await cut, StoreUnavailable)
    assert await raw(scene.url, "SELECT role FROM users") == [("member",)]


async def test_a_checkpoint_waits_for_nobody_who_holds_one_of_its_runs(scene: Scene, backend: str) -> None:
    """Who ends several runs locks them in its own order: two that wait for each other are a deadlock, a second long."""
    if backend == "sqlite":
        return  # one writer at a time
    free, busy = [await scene.hold((await scene.send(text=text)).row.run) for text in ("free", "busy")]
    saves = [Save(one.run, one.claim, 0, "abc") for one in (free, busy)]
    other = await asyncpg.connect(make_url(scene.url).set(drivername="postgresql").render_as_string(False))
    try:
        async with other.transaction():
            await other.execute("SELECT 1 FROM runs WHERE id = $1 FOR NO KEY UPDATE", busy.run)
            async with asyncio.timeout(5):
                found = await scene.store.runs.checkpoint(free.worker, saves)
    finally:
        await other.close()
    assert {saved.run: saved.seq for saved in found} == {free.run: 3, busy.run: 0}
    assert [await scene.text(one.run) for one in (free, busy)] == ["abc", ""]
    assert await scene.save(busy, "abcdef", whole=True) == [Saved(busy.run, 6, stop_requested=False)]


async def _refusal(database: Database, work: Work[None]) -> ProsaError | None:
    try:
        await database.write(work)
    except ProsaError as error:
        return error
    return None


# ── the whole mapping ──

# Codes that no operator can mend: a wrong statement, a broken rule of the schema, a misused connection.
SQLITE_MISTAKES = {1, 2, 4, 12, 16, 17, 18, 19, 20, 21, 22, 24, 25, 27, 28}
POSTGRES_MISTAKES = {
    *("01", "02", "03", "09", "0A", "0B", "0F", "0L", "0P", "0Z", "10", "20", "21", "22", "23", "24", "25", "26"),
    *("27", "2B", "2D", "2F", "34", "38", "39", "3B", "3F", "42", "44", "54", "72", "F0", "HV", "P0", "00"),
}
POSTGRES_ERRORS: dict[str, type[Exception]] = {
    str(kind.__dict__["sqlstate"]): kind
    for kind in vars(asyncpg.exceptions).values()
    if isinstance(kind, type) and issubclass(kind, asyncpg.PostgresError) and kind.__dict__.get("sqlstate")
}


@pytest.mark.parametrize("code", range(1, 29))
def test_every_result_code_of_sqlite_has_its_place(code: int) -> None:
    error = sqlite3.OperationalError("it said so")
    error.sqlite_errorcode = code | 0x0200
    expected = StorageFull if code == sqlite3.SQLITE_FULL else None if code in SQLITE_MISTAKES else StoreUnavailable
    assert _kind(error) is expected
    assert _kind(exc.OperationalError("statement", {}, error)) is expected


@pytest.mark.parametrize(("state", "kind"), sorted(POSTGRES_ERRORS.items()))
def test_every_error_of_postgresql_has_its_place(state: str, kind: type[Exception]) -> None:
    special = {
        "53100": StorageFull,
        "42P01": SchemaOutdated,
        "42703": SchemaOutdated,
        "25006": StoreUnavailable,
        "25P03": StoreUnavailable,
    }
    usual = None if state[:2] in POSTGRES_MISTAKES else StoreUnavailable
    assert _kind(kind("it said so")) is special.get(state, usual)


@pytest.mark.parametrize(
    "error",
    [
        TimeoutError(),
        ConnectionRefusedError(111, "refused"),
        asyncpg.InterfaceError("connection is closed"),
        exc.TimeoutError("no connection"),
        exc.DBAPIError("statement", {}, Exception("gone"), connection_invalidated=True),
    ],
)
def test_a_network_or_pool_that_fails_is_an_outage(error: Exception) -> None:
    with pytest.raises(StoreUnavailable, match="try again"), mapped():
        raise error


def _kind(error: BaseException) -> type[ProsaError] | None:
    found = translated(error)
    return type(found) if found else None
