"""All rows of a database into a backup, as of one moment; and back into an empty one, in one transaction.

What processes announce about themselves (``workers``, ``gateways``) is left out: runs that were going on then belong to
nobody alive, and are taken over like those of a worker that died.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final
from uuid import UUID

import asyncpg
from alembic import command
from sqlalchemy import Connection, Table, column, exc, insert, inspect, select, table, text, update
from sqlalchemy.types import TypeEngine
from sqlalchemy.util import await_only

from prosa.adapters.sql.columns import Id, Moment, Now
from prosa.adapters.sql.failures import telling_refusals
from prosa.adapters.sql.migrate import configuration, current_of, verify, versions
from prosa.adapters.sql.opening import open_database
from prosa.adapters.sql.steps import postpone
from prosa.adapters.sql.tables import gateways, metadata, runs, schema_oldest, workers
from prosa.core.backup import Column, Head, Reader, Rows, Writer
from prosa.core.errors import BackupDamaged, BackupUnknown, SchemaOutdated, StoreNotEmpty

BATCH_ROWS: Final = 250
LOCK_SECONDS: Final = 10
_LEFT_OUT: Final = (workers, gateways, schema_oldest)
COPIED: Final[Sequence[Table]] = [one for one in metadata.sorted_tables if one not in _LEFT_OUT]
_KINDS: Final[dict[str, type[TypeEngine[Any]]]] = {"uuid": Id, "moment": Moment}
_FOREIGN_KEYS: Final = """SELECT conrelid::regclass::text AS owner, quote_ident(conname) AS name,
    pg_get_constraintdef(oid) AS made FROM pg_constraint
    WHERE contype = 'f' AND connamespace = current_schema()::regnamespace AND conrelid::regclass::text = ANY(:tables)"""


async def backup(url: str, writer: Writer, version: str) -> None:
    """Write everything. Others go on reading and writing meanwhile; what they change is not in it.

    ``version``: of this Prosa. Raises StoreUnavailable, StoreRefused, SchemaOutdated, and what writing raises.
    """
    await verify(url)
    async with open_database(url, pool_size=1, patient=True) as database:
        await database.snapshot(lambda tx: _dump(tx, writer, version))


def _dump(tx: Connection, writer: Writer, version: str) -> None:
    tables = {str(one.name): [Column(str(each.name), _kind(each.type)) for each in one.columns] for one in COPIED}
    schema = current_of(tx) or ""  # the first read of a table: SQLite's moment begins with it
    writer.begin(Head(schema, version, tx.execute(select(Now())).scalar_one(), tables))
    for one in COPIED:
        result = tx.execute(select(one).execution_options(yield_per=BATCH_ROWS))
        for rows in result.partitions():
            writer.rows(str(one.name), [list(row) for row in rows])
    writer.end()


def _kind(of: TypeEngine[Any]) -> str:
    return next((name for name, kind in _KINDS.items() if isinstance(of, kind)), "plain")


async def restore(url: str, reader: Reader) -> Head:
    """Fill an empty database, whatever its schema, and bring it to this version's; or change nothing.

    The time since the backup was no run's time: deadlines move by it.

    Raises BackupDamaged, BackupUnknown, StoreNotEmpty, SchemaOutdated, StoreUnavailable, StoreRefused, StorageFull.
    """
    found = reader.head()
    if found.schema not in versions():
        way = f"Restore it with Prosa {found.version}, or a newer one."
        raise BackupUnknown(f"The backup's schema is {found.schema}, which this Prosa does not know. {way}")
    with telling_refusals():
        async with open_database(url, pool_size=1, foreign_keys=False, patient=True) as database:
            await database.write(lambda tx: _load(tx, found, reader))
    return found


def _load(tx: Connection, found: Head, reader: Reader) -> None:
    config = configuration(tx)
    if current_of(tx) is not None:
        _refuse_unless_empty(tx)
        command.downgrade(config, "base")
    command.upgrade(config, found.schema)
    with _contradictions(), _unchecked(tx, list(found.tables)):
        for batch in reader.rows():
            _insert(tx, batch, found.tables[batch.table])
    command.upgrade(config, "head")
    _resume(tx, found)


def _refuse_unless_empty(tx: Connection) -> None:
    """Whoever signs up at this moment waits, and fails, or was first."""
    version = current_of(tx)
    if version not in versions():
        raise SchemaOutdated(
            f"The database's schema is {version}, which this Prosa does not know. Use an empty database."
        )
    there = set(inspect(tx).get_table_names())
    for one in COPIED:
        if one.name not in there:
            continue
        if tx.dialect.name == "postgresql":
            tx.execute(text(f"SET LOCAL lock_timeout = '{LOCK_SECONDS}s'"))
            tx.execute(text(f"LOCK TABLE {one.name} IN ACCESS EXCLUSIVE MODE"))
        if tx.execute(select(text("1")).select_from(table(one.name)).limit(1)).first():
            way = "Restore into a new one: nothing is overwritten, and nothing was changed."
            raise StoreNotEmpty(f"The database holds data already (in {one.name}). {way}")


@contextmanager
def _unchecked(tx: Connection, tables: Sequence[str]) -> Iterator[None]:
    """Rows may come before those that they refer to; at the end all are checked at once, which is quicker too."""
    if tx.dialect.name == "sqlite":
        yield
        broken = tx.execute(text("PRAGMA foreign_key_check")).first()
        if broken is not None:
            raise _contradicted(f"a row of {broken[0]} belongs to none of {broken[2]}")
        return
    keys = tx.execute(text(_FOREIGN_KEYS), {"tables": list(tables)}).all()
    for key in keys:
        tx.execute(text(f"ALTER TABLE {key.owner} DROP CONSTRAINT {key.name}"))
    yield
    for key in keys:
        tx.execute(text(f"ALTER TABLE {key.owner} ADD CONSTRAINT {key.name} {key.made}"))
    tx.execute(text("ANALYZE"))


@contextmanager
def _contradictions() -> Iterator[None]:
    try:
        yield
    except exc.IntegrityError as error:
        raise _contradicted(str(error.orig).splitlines()[0]) from error
    except (asyncpg.IntegrityConstraintViolationError, asyncpg.DataError) as error:
        raise _contradicted(str(error)) from error


def _contradicted(what: str) -> BackupDamaged:
    return BackupDamaged(f"The backup contradicts itself: {what}. Mend the database that it is of, or use another one.")


def _insert(tx: Connection, batch: Rows, columns: Sequence[Column]) -> None:
    ids = [place for place, each in enumerate(columns) if each.kind == "uuid"]
    for row in batch.rows:
        for place in ids:
            row[place] = row[place] and UUID(bytes=row[place])
    names = [each.name for each in columns]
    if tx.dialect.name == "postgresql":
        driver = tx.connection.driver_connection
        assert driver is not None  # noqa: S101 - the migration has used it
        await_only(driver.copy_records_to_table(batch.table, records=batch.rows, columns=names))
    else:
        typed = [
            column(each.name, _KINDS[each.kind]()) if each.kind in _KINDS else column(each.name) for each in columns
        ]
        values = [dict(zip(names, row, strict=True)) for row in batch.rows]
        tx.execute(insert(table(batch.table, *typed)), values)


def _resume(tx: Connection, found: Head) -> None:
    postpone(tx, tx.execute(select(Now())).scalar_one() - found.taken_at)
    # Their jobs are at the broker of then, if anywhere.
    tx.execute(update(runs).where(runs.c.ended_at.is_(None)).values(dispatches=0, dispatched_at=None))
