"""Drivers' errors, mapped to ours. What stays unmapped is a mistake of this package."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import asyncpg
from sqlalchemy import exc

from prosa.core.errors import ProsaError, SchemaOutdated, StorageFull, StoreRefused, StoreUnavailable

_SQLITE_AWAY: Final = frozenset(
    {
        sqlite3.SQLITE_PERM,
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_NOMEM,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_INTERRUPT,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_CORRUPT,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_PROTOCOL,
        sqlite3.SQLITE_AUTH,
        sqlite3.SQLITE_NOTADB,
    }
)
_POSTGRES_FULL: Final = "53100"
# Classes of SQLSTATE: connection, sign-in, no such database, rolled back, resources, not in the needed state,
# operator, system. And by themselves: a server that only reads, and one that gave up a transaction which fell silent.
_POSTGRES_AWAY: Final = ("08", "28", "3D", "40", "53", "55", "57", "58", "25006", "25P03", "XX")
# Sign-in, no such database, no permission.
_POSTGRES_REFUSED: Final = ("28", "3D", "42501")
_POSTGRES_NO_TABLE: Final = ("42P01", "42703")


@contextmanager
def mapped() -> Iterator[None]:
    """Raises ours for what a driver, the pool or the network raised inside."""
    try:
        yield
    except (exc.SQLAlchemyError, OSError, asyncpg.PostgresError, asyncpg.InterfaceError, sqlite3.Error) as error:
        found = translated(error)
        if found is None:
            raise
        raise found from error


def translated(error: BaseException) -> ProsaError | None:
    """Our error for a driver's; None for what no operator can mend."""
    if isinstance(error, exc.DBAPIError):
        if error.connection_invalidated:
            return _away(error.orig)
        return translated(error.orig) if error.orig is not None else None
    if isinstance(error, exc.TimeoutError | OSError | asyncpg.InterfaceError):
        return _away(error)
    if isinstance(error, sqlite3.Error):
        return _sqlite(error)
    return _postgres(error)


def _sqlite(error: sqlite3.Error) -> ProsaError | None:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code == sqlite3.SQLITE_FULL:
        return _full(error)
    if code in _SQLITE_AWAY:
        return _away(error)
    return _outdated(error) if str(error).startswith(("no such table", "no such column")) else None


def _postgres(error: BaseException) -> ProsaError | None:
    """``error`` is asyncpg's, or SQLAlchemy's wrapper of it; both have a SQLSTATE where the server spoke."""
    state = getattr(error, "sqlstate", None) or getattr(error, "pgcode", None) or ""
    if state == _POSTGRES_FULL:
        return _full(error)
    if state in _POSTGRES_NO_TABLE:
        return _outdated(error)
    cause = error.__cause__
    lost = isinstance(cause, OSError | asyncpg.InterfaceError) or isinstance(error, ConnectionError)
    return _away(error) if lost or state.startswith(_POSTGRES_AWAY) else None


@contextmanager
def telling_refusals() -> Iterator[None]:
    """Raises StoreRefused instead of StoreUnavailable where the database answers and does not let us in."""
    try:
        yield
    except StoreUnavailable as error:
        raise refusal(error) or error from error


def refusal(error: StoreUnavailable) -> StoreRefused | None:
    """Why a database that answers does not let us in; None where waiting may help."""
    cause = error.__cause__
    said = cause.orig if isinstance(cause, exc.DBAPIError) else cause
    state = getattr(said, "sqlstate", None) or getattr(said, "pgcode", None) or ""
    if not state.startswith(_POSTGRES_REFUSED):
        return None
    way = "Correct PROSA_DATABASE_URL, or make the role and the database."
    return StoreRefused(f"The database refuses us: {_reason(said)}. {way}")


def _away(error: BaseException | None) -> StoreUnavailable:
    reason = _reason(error)
    return StoreUnavailable(f"The database does not answer ({reason}). Nothing was stored; try again in a moment.")


def _full(error: BaseException) -> StorageFull:
    return StorageFull(f"The database's disk is full ({_reason(error)}). Nothing was stored; free some space.")


def _outdated(error: BaseException) -> SchemaOutdated:
    return SchemaOutdated(f"The database lacks a table or column ({_reason(error)}). Run `prosa migrate`.")


def _reason(error: BaseException | None) -> str:
    """The first line of what the driver said: enough for a log, and no SQL."""
    lines = str(error or "").splitlines()
    return lines[0][:200] if lines else type(error).__name__
