"""The schema's versions: where a database is, where it should be, and how it gets there."""

from pathlib import Path
from typing import Final

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, inspect, select, text

from prosa.adapters.sql.failures import telling_refusals
from prosa.adapters.sql.opening import open_database
from prosa.adapters.sql.tables import schema_oldest
from prosa.core.errors import SchemaOutdated

SCRIPTS: Final = Path(__file__).parents[2] / "migrations"
_LOCK: Final = 0x50524F5341


def head() -> str:
    """The version that this Prosa was built for."""
    return ScriptDirectory(str(SCRIPTS)).get_current_head() or ""


async def current(url: str) -> str | None:
    """The database's version; None for one that was never migrated. Raises StoreUnavailable, StoreRefused."""
    with telling_refusals():
        async with open_database(url, pool_size=1) as database:
            return await database.read(current_of)


async def verify(url: str) -> None:
    """Return when the database can be used by this version: its schema is ours, or a later one that still serves us.

    Raises StoreUnavailable where it is away, StoreRefused where it does not let us in, and SchemaOutdated.
    """
    with telling_refusals():
        async with open_database(url, pool_size=1) as database:
            found, serves = await database.read(lambda tx: (current_of(tx), serves_us(tx)))
    if found is None:
        raise SchemaOutdated("The database is empty. Run `prosa migrate` once, then start again.")
    if found == head() or serves:
        return
    if found in versions():
        raise SchemaOutdated(f"The database's schema is {found}, this Prosa needs {head()}. Run `prosa migrate`.")
    raise newer(found)


def newer(found: str) -> SchemaOutdated:
    """The error for a schema of a later release that does not serve this one."""
    return SchemaOutdated(
        f"The database's schema is {found}, which this Prosa does not know: it is newer. Start the newer version."
    )


def versions() -> frozenset[str]:
    """All that this Prosa knows."""
    return frozenset(script.revision for script in ScriptDirectory(str(SCRIPTS)).walk_revisions())


def serves_us(tx: Connection) -> bool:
    """The schema is one of a later release, and says that a Prosa as old as this one may run on it."""
    found = current_of(tx)
    if found is None or found in versions() or not inspect(tx).has_table(schema_oldest.name):
        return False
    oldest = tx.execute(select(schema_oldest.c.version)).scalar()
    # Versions have four digits: their order is that of their text.
    return oldest is not None and oldest <= head()


async def migrate(url: str, version: str = "head") -> None:
    """Bring the database up to ``version``, in one transaction; two that migrate at once take turns.

    A later schema that still serves this version is left as it is: there was a newer release, and may be again.

    Raises StoreUnavailable, StoreRefused, StorageFull, and SchemaOutdated for a later one that does not.
    """
    with telling_refusals():
        async with open_database(url, pool_size=1, foreign_keys=False, patient=True) as database:
            await database.write(lambda tx: _upgrade(tx, version))


async def downgrade(url: str, version: str = "base") -> None:
    """Back to ``version``. What the later versions stored is lost."""
    async with open_database(url, pool_size=1, foreign_keys=False, patient=True) as database:
        await database.write(lambda tx: _downgrade(tx, version))


def current_of(tx: Connection) -> str | None:
    """See ``current``."""
    revision: str | None = MigrationContext.configure(tx).get_current_revision()
    return revision


def _upgrade(tx: Connection, version: str) -> None:
    config = configuration(tx)
    found = current_of(tx)
    if serves_us(tx):
        return
    if found is not None and found not in versions():
        raise newer(found)
    command.upgrade(config, version)


def _downgrade(tx: Connection, version: str) -> None:
    command.downgrade(configuration(tx), version)


def configuration(tx: Connection) -> Config:
    """What Alembic's commands need, over a connection whose transaction is ours. Takes the turn to migrate."""
    if tx.dialect.name == "postgresql":
        tx.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
    config = Config()
    config.set_main_option("script_location", str(SCRIPTS).replace("%", "%%"))
    config.attributes["connection"] = tx
    return config
