"""Backup and restore: all rows of one moment, into a database of either kind, in one transaction or not at all."""

import asyncio
import shutil
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import datetime, timedelta
from io import BytesIO
from pathlib import Path
from uuid import uuid4

import msgspec
import pytest
from sqlalchemy import Connection, select

from prosa.adapters.sql.backup import COPIED, backup, restore
from prosa.adapters.sql.migrate import current, head, migrate
from prosa.adapters.sql.opening import open_database
from prosa.adapters.sql.store import open_store
from prosa.adapters.sql.tables import runs
from prosa.core.backup import Head, Reader, Rows, Writer
from prosa.core.errors import BackupDamaged, BackupUnknown, SchemaOutdated, StoreNotEmpty
from prosa.core.run import RunState
from tests.contract.conftest import BACKENDS, on_database, on_server
from tests.contract.scene import Scene
from tests.contract.sql import raw

ODD = "Olá 🦜 — ‘x’ \\N \t\n\r\x01 \u2028 e\u0301 " + "long " * 5_000
SIGN_IN = """INSERT INTO sessions (id, user_id, digest, kind, expires_at)
    SELECT id, user_id, 's', 'web', '2031-01-01T00:00:00.000Z' FROM chat_sessions LIMIT 1"""
LATE = f"INSERT INTO users (id, username) VALUES ('{uuid4()}', 'late')"  # noqa: S608 — words of this test


@pytest.fixture(params=BACKENDS)
async def target(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[str]:
    """A database without a table, of each kind in turn."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/target.db"
        return
    name = f"prosa_test_{uuid4().hex}"
    await on_server(f"CREATE DATABASE {name}")
    yield on_database(name)
    await on_server(f"DROP DATABASE {name} WITH (FORCE)")


async def live(scene: Scene) -> Scene:
    """Somebody chats: answers that are done, going on, queued and waiting; branches; odd text."""
    await scene.alive("wk-1")
    first = (await scene.send(text=ODD)).row
    await scene.answer(first.run, ODD[::-1])
    await scene.send(first.chat, "again", parent=first.reply)
    running = (await scene.send()).row
    await scene.save(await scene.hold(running.run), "half of it")
    for _ in range(scene.limits.user_runs + 1):
        await scene.send()
    await scene.person("Ünï")
    await raw(
        scene.url, "INSERT INTO api_keys (id, user_id, digest) SELECT id, user_id, 'd' FROM chat_sessions LIMIT 1"
    )
    await raw(scene.url, "INSERT INTO classic_replies (chat_id, ordinal) SELECT id, 1 FROM chat_sessions")
    await raw(scene.url, SIGN_IN)
    return scene


@pytest.fixture
async def lived(scene: Scene) -> Scene:
    return await live(scene)


@pytest.fixture(scope="session")
async def some(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A backup, for tests to which it does not matter of what kind of database."""
    path = tmp_path_factory.mktemp("some") / "prosa.db"
    shutil.copy(sqlite_template, path)
    async with open_store(f"sqlite:///{path}") as store:
        scene = Scene(store, f"sqlite:///{path}")
        scene.user = await scene.person("ana")
        await live(scene)
    return await taken(f"sqlite:///{path}")


async def taken(url: str) -> bytes:
    file = BytesIO()
    await backup(url, Writer(file.write), "1.2.3")
    return file.getvalue()


async def put_back(url: str, data: bytes) -> Head:
    return await restore(url, Reader(BytesIO(data).read))


def changed(data: bytes, head: Callable[[Head], Head], rows: Callable[[Rows], Rows] = lambda rows: rows) -> bytes:
    """Another backup, made of one."""
    reader, file = Reader(BytesIO(data).read), BytesIO()
    writer = Writer(file.write)
    writer.begin(head(reader.head()))
    for batch in reader.rows():
        other = rows(batch)
        writer.rows(other.table, other.rows)
    writer.end()
    return file.getvalue()


async def all_rows(url: str) -> dict[str, list[Sequence[object]]]:
    """Every row of every table. Moments to the millisecond: SQLite keeps no more."""

    def work(tx: Connection) -> dict[str, list[Sequence[object]]]:
        found: dict[str, list[Sequence[object]]] = {}
        for table in COPIED:
            rows: list[Sequence[object]] = [
                tuple(_rounded(value) for value in row) for row in tx.execute(select(table))
            ]
            found[str(table.name)] = sorted(rows, key=repr)
        return found

    async with open_database(url) as database:
        return await database.read(work)


def _rounded(value: object) -> object:
    micro = getattr(value, "microsecond", 0)
    return value.replace(microsecond=micro // 1000 * 1000) if micro else value  # type: ignore[attr-defined]


async def test_every_row_comes_back_in_a_database_of_either_kind(lived: Scene, target: str) -> None:
    before = await all_rows(lived.url)
    assert all(before.values()), "some table has no row to lose"
    await put_back(target, await taken(lived.url))
    assert await current(target) == head()
    after = await all_rows(target)
    _forget_dispatches(before)
    _forget_deadlines(before, after)
    assert after == before


def _forget_dispatches(found: dict[str, list[Sequence[object]]]) -> None:
    """The jobs of unfinished runs are dispatched anew: that is asked below."""
    names = [column.name for column in COPIED[_runs()].columns]
    count, at, ended = names.index("dispatches"), names.index("dispatched_at"), names.index("ended_at")
    for place, row in enumerate(found["runs"]):
        if row[ended] is None:
            cells = list(row)
            cells[count], cells[at] = 0, None
            found["runs"][place] = tuple(cells)
    found["runs"].sort(key=repr)


def _forget_deadlines(*those: dict[str, list[Sequence[object]]]) -> None:
    """They move by the time since the backup: that is asked below."""
    names = [column.name for column in COPIED[_runs()].columns]
    places = {names.index("start_by"), names.index("end_by")}
    for found in those:
        found["runs"] = sorted(
            (tuple(None if place in places else cell for place, cell in enumerate(row)) for row in found["runs"]),
            key=repr,
        )


def _runs() -> int:
    return [table.name for table in COPIED].index("runs")


async def test_a_backup_is_of_one_moment_while_others_write(lived: Scene, target: str) -> None:
    def insert() -> None:
        asyncio.run(raw(lived.url, LATE))

    file = BytesIO()
    others = iter([insert])

    def write(data: bytes) -> None:
        file.write(data)
        for other in others:
            thread = threading.Thread(target=other)
            thread.start()
            thread.join(10)

    await backup(lived.url, Writer(write), "1.2.3")
    await put_back(target, file.getvalue())
    late = "SELECT count(*) FROM users WHERE username = 'late'"
    assert (await raw(lived.url, late))[0][0] == 1
    assert (await raw(target, late))[0][0] == 0


async def test_what_holds_anything_is_left_as_it_is(some: bytes, target: str) -> None:
    await migrate(target)
    await raw(target, LATE)
    before = await all_rows(target)
    with pytest.raises(StoreNotEmpty, match="in users"):
        await put_back(target, some)
    assert await all_rows(target) == before


@pytest.mark.parametrize("migrated", [True, False])
async def test_a_backup_that_is_cut_off_changes_nothing(some: bytes, target: str, migrated: bool) -> None:
    if migrated:
        await migrate(target)
    with pytest.raises(BackupDamaged):
        await put_back(target, some[:-5])
    assert await current(target) == (head() if migrated else None)
    if migrated:
        assert not any((await all_rows(target)).values())
    await put_back(target, some)


async def test_rows_that_belong_to_nothing_are_refused(some: bytes, target: str) -> None:
    """SQLite's own shell checks no foreign key."""

    def without(batch: Rows) -> Rows:
        return msgspec.structs.replace(batch, rows=batch.rows[1:] if batch.table == "users" else batch.rows)

    with pytest.raises(BackupDamaged, match="contradicts itself"):
        await put_back(target, changed(some, lambda head: head, without))
    assert await current(target) is None


async def test_a_row_that_comes_twice_is_refused(some: bytes, target: str) -> None:
    def twice(batch: Rows) -> Rows:
        return msgspec.structs.replace(batch, rows=batch.rows + batch.rows[:1])

    with pytest.raises(BackupDamaged, match="contradicts itself"):
        await put_back(target, changed(some, lambda head: head, twice))
    assert await current(target) is None


async def test_a_backup_of_an_older_schema_is_brought_up_to_this_one(some: bytes, target: str) -> None:
    new = ("trail", "first_text_at", "saved_at")
    kept: list[int] = []

    def older(head: Head) -> Head:
        columns = head.tables["runs"]
        kept.extend(place for place, column in enumerate(columns) if column.name not in new)
        return msgspec.structs.replace(
            head, schema="0002", tables={**head.tables, "runs": [columns[place] for place in kept]}
        )

    def rows(batch: Rows) -> Rows:
        if batch.table != "runs":
            return batch
        return msgspec.structs.replace(batch, rows=[[row[place] for place in kept] for row in batch.rows])

    await put_back(target, changed(some, older, rows))
    assert await current(target) == head()
    async with open_store(target) as store:
        assert await store.reads.counts()


async def test_a_backup_of_a_newer_schema_is_told_apart(some: bytes, target: str) -> None:
    newer = changed(some, lambda head: msgspec.structs.replace(head, schema="9999", version="9.9"))
    with pytest.raises(BackupUnknown, match=r"9999.*Prosa 9\.9"):
        await put_back(target, newer)


async def test_a_database_of_a_newer_schema_is_left_alone(some: bytes, target: str) -> None:
    await migrate(target)
    await raw(target, "UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(SchemaOutdated, match="9999"):
        await put_back(target, some)


async def deadline(url: str) -> datetime:
    """Of the run that was going on."""
    query = select(runs.c.end_by).where(runs.c.state == RunState.RUNNING)
    async with open_database(url) as database:
        found: datetime = await database.read(lambda tx: tx.execute(query).scalar_one())
    return found


async def test_answers_that_were_going_on_are_taken_over_and_their_deadlines_move(lived: Scene, target: str) -> None:
    day = timedelta(days=1)
    old = changed(await taken(lived.url), lambda head: msgspec.structs.replace(head, taken_at=head.taken_at - day))
    await put_back(target, old)
    assert await deadline(target) - await deadline(lived.url) == pytest.approx(day, abs=timedelta(minutes=1))
    async with open_store(target) as store:
        after = Scene(store, target, user=lived.user)
        (orphan,) = await store.sweeps.orphans("wk-9", 3.0, 10)
        claimant = after.claimant(orphan.run, "wk-9")
        held = await after.claim(claimant)
        assert held is not None
        assert held.row.text == "half of it"
        assert await store.sweeps.undispatched("pool", 0, lived.limits)
        await after.finish(claimant, "half of it, and the rest")
        assert await after.state(orphan.run) is RunState.DONE
