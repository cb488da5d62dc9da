"""A database from its URL."""

from contextlib import AbstractAsyncContextManager
from typing import Final

from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError

from prosa.adapters.sql.database import Database
from prosa.adapters.sql.postgresql import open_postgresql
from prosa.adapters.sql.sqlite import open_sqlite
from prosa.core.errors import BadConfig

_FORMS: Final = "Write sqlite:///path/to/file.db or postgresql://user@host/database."


def open_database(
    url: str, *, pool_size: int = 10, foreign_keys: bool = True, patient: bool = False
) -> AbstractAsyncContextManager[Database]:
    """Nothing is connected yet. Leaving waits for the transactions under way, then closes all connections.

    ``patient``: for what touches whole tables. A statement may take as long as it takes, and a transaction may be
    silent for minutes, where it waits for a file or a pipe.

    Raises BadConfig for a URL of neither database.
    """
    try:
        parsed = make_url(url)
    except ArgumentError:
        raise BadConfig("The database URL is none. " + _FORMS) from None
    if parsed.get_backend_name() == "sqlite" and parsed.database not in (None, "", ":memory:"):
        return open_sqlite(parsed, foreign_keys=foreign_keys)
    if parsed.get_backend_name() == "postgresql":
        return open_postgresql(parsed.set(drivername="postgresql+asyncpg"), pool_size=pool_size, patient=patient)
    raise BadConfig(f"The database URL names {parsed.drivername!r} without a file or server. " + _FORMS)
