"""Migrations: up, down and up again, and what they make is what the tables say."""

import asyncio
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import asyncpg
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection

from prosa.adapters.sql.migrate import current, downgrade, head, migrate, verify
from prosa.adapters.sql.opening import open_database
from prosa.adapters.sql.store import open_store
from prosa.adapters.sql.tables import metadata
from prosa.core.errors import SchemaOutdated
from tests.contract.sql import raw

OPERATIONS = Path(__file__).parents[2] / "docs" / "operations.md"
SHAPE = {
    "sqlite": "SELECT type, name, sql FROM sqlite_master WHERE tbl_name <> 'alembic_version' ORDER BY type, name",
    "postgresql": """
        SELECT table_name, column_name, data_type || ' ' || is_nullable || ' ' || coalesce(column_default, '')
          FROM information_schema.columns WHERE table_schema = 'public' AND table_name <> 'alembic_version'
        UNION ALL
        SELECT tablename, indexname, indexdef FROM pg_indexes
          WHERE schemaname = 'public' AND tablename <> 'alembic_version'
        UNION ALL
        SELECT conrelid::regclass::text, conname::text, pg_get_constraintdef(oid) FROM pg_constraint
          WHERE connamespace = 'public'::regnamespace AND conrelid::regclass::text <> 'alembic_version'
        UNION ALL
        SELECT relname::text, 'options', reloptions::text FROM pg_class WHERE reloptions IS NOT NULL
        ORDER BY 1, 2, 3""",
}


async def test_a_database_goes_up_and_down_and_up_again(empty_url: str) -> None:
    assert await current(empty_url) is None
    await migrate(empty_url)
    assert await current(empty_url) == head() != ""
    await downgrade(empty_url)
    assert await current(empty_url) is None
    await migrate(empty_url)
    await migrate(empty_url)
    assert await current(empty_url) == head()


async def test_two_that_migrate_at_once_take_turns(empty_url: str) -> None:
    async with asyncio.TaskGroup() as tasks:
        for _ in range(3):
            tasks.create_task(migrate(empty_url))
    assert await current(empty_url) == head()


# SQLite cannot reflect an index over an expression; the comparison of the shapes below covers it.
@pytest.mark.filterwarnings("ignore:Skipped unsupported reflection", "ignore:autogenerate skipping")
async def test_migrations_make_what_the_tables_say(empty_url: str, backend: str) -> None:
    await migrate(empty_url)
    assert await _difference(empty_url) == []
    migrated = await _shape(empty_url, backend)
    await downgrade(empty_url)
    await _create_all(empty_url)
    assert await _shape(empty_url, backend) == migrated
    assert len(migrated) > 20


async def test_indexes_that_were_made_before_without_keeping_anybody_from_writing_are_those_of_the_migration(
    empty_url: str, backend: str
) -> None:
    """The statements are those that the operators' page shows; SQLite has one writer, who waits."""
    await migrate(empty_url)
    migrated = await _shape(empty_url, backend)
    await downgrade(empty_url)
    await migrate(empty_url, "0002")
    if backend == "postgresql":
        statements = re.findall(r"^CREATE INDEX CONCURRENTLY .*;$", OPERATIONS.read_text("utf-8"), re.MULTILINE)
        assert len(statements) == 4
        connection = await asyncpg.connect(empty_url.replace("+asyncpg", ""))
        try:
            for statement in statements:
                await connection.execute(statement)
        finally:
            await connection.close()
        made = {row[1] for row in await _shape(empty_url, backend)}
        assert made >= {"ix_runs_user", "ix_runs_code", "ix_runs_broken", "ix_runs_failed"}
    await migrate(empty_url)
    assert await _shape(empty_url, backend) == migrated


async def test_a_later_schema_serves_this_version_while_it_says_so(empty_url: str) -> None:
    """A release that only adds can be taken back: what was started again, or never replaced, goes on."""
    await migrate(empty_url)
    await raw(empty_url, "UPDATE alembic_version SET version_num = '9999'")
    await verify(empty_url)
    await migrate(empty_url)
    assert await current(empty_url) == "9999"


@pytest.mark.parametrize("said", ["UPDATE schema_oldest SET version = '9998'", "DROP TABLE schema_oldest"])
async def test_a_later_schema_that_took_something_away_is_refused(empty_url: str, said: str) -> None:
    await migrate(empty_url)
    await raw(empty_url, "UPDATE alembic_version SET version_num = '9999'")
    await raw(empty_url, said)
    for refused in (verify, migrate):
        with pytest.raises(SchemaOutdated, match="Start the newer version"):
            await refused(empty_url)


async def test_a_store_without_its_schema_says_what_to_do(empty_url: str) -> None:
    async with open_store(empty_url) as store:
        with pytest.raises(SchemaOutdated, match="prosa migrate"):
            await store.reads.counts()


async def _shape(url: str, backend: str) -> list[tuple[object, ...]]:
    """Everything there is. The parts of SQLite's CREATE TABLE in order: what was added later stands behind."""
    found = await raw(url, SHAPE[backend])
    return [(*names, sorted(_parts(str(what)))) for *names, what in found]


def _parts(statement: str) -> Iterator[str]:
    """What a statement's outer commas and brackets part, each without its line breaks."""
    depth, part = 0, ""
    for character in statement:
        depth += (character == "(") - (character == ")")
        outer = (character == "," and depth <= 1) or (character == "(" and depth == 1) or depth < 0
        if outer or (character == ")" and depth == 0):
            yield " ".join(part.split())
            part = ""
        else:
            part += character
    yield " ".join(part.split())


async def _difference(url: str) -> Sequence[object]:
    """What Alembic would still change: ``alembic check``."""

    def work(tx: Connection) -> Sequence[object]:
        found: Sequence[object] = compare_metadata(
            MigrationContext.configure(tx, opts={"compare_type": True}), metadata
        )
        return found

    async with open_database(url) as database:
        return await database.read(work)


async def _create_all(url: str) -> None:
    async with open_database(url) as database:
        await database.write(metadata.create_all)
