"""What PostgreSQL and SQLite write differently: ids, moments, and the database's own clock."""

from datetime import UTC, datetime
from typing import Final
from uuid import UUID

from sqlalchemy import ColumnElement, Dialect, String, Text
from sqlalchemy.dialects import postgresql
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import TypeDecorator, TypeEngine

_SQLITE_MOMENT: Final = "%Y-%m-%dT%H:%M:%fZ"


class Id(TypeDecorator[UUID]):
    """A UUID: native on PostgreSQL, dashed lower-case text on SQLite, where people insert rows by hand."""

    impl = String(36)
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[str] | TypeEngine[UUID]:
        if dialect.name == "postgresql":
            return dialect.type_descriptor(postgresql.UUID(as_uuid=True))
        return dialect.type_descriptor(String(36))

    def process_bind_param(self, value: UUID | None, dialect: Dialect) -> UUID | str | None:
        return value if value is None or dialect.name == "postgresql" else str(value)

    def process_result_value(self, value: UUID | str | None, dialect: Dialect) -> UUID | None:
        """Always the plain class: the codecs of other layers refuse asyncpg's subclass."""
        if value is None or type(value) is UUID:
            return value
        return UUID(value) if isinstance(value, str) else UUID(int=value.int)


class Moment(TypeDecorator[datetime]):
    """A point in time, aware and in UTC; on SQLite text of one fixed form (milliseconds), which sorts as time."""

    impl = String(24)
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[str] | TypeEngine[datetime]:
        if dialect.name == "postgresql":
            return dialect.type_descriptor(postgresql.TIMESTAMP(timezone=True))
        return dialect.type_descriptor(String(24))

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | str | None:
        if value is None or dialect.name == "postgresql":
            return value
        return value.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"

    def process_result_value(self, value: datetime | str | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        moment = datetime.fromisoformat(value) if isinstance(value, str) else value
        return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)


class Now(FunctionElement[datetime]):
    """The database's clock at this statement, not at the transaction's begin."""

    type = Moment()
    inherit_cache = True


class NowPlus(FunctionElement[datetime]):
    """The database's clock some seconds from now (before now where negative)."""

    type = Moment()
    inherit_cache = True

    def __init__(self, seconds: float | ColumnElement[float]) -> None:
        super().__init__(seconds if isinstance(seconds, ColumnElement) else float(seconds))


class Stamp(FunctionElement[str]):
    """The database's clock as text: milliseconds since 1970."""

    type = Text()
    inherit_cache = True


@compiles(Stamp, "postgresql")
def _stamp_postgresql(element: Stamp, compiler: SQLCompiler, **options: object) -> str:
    return "(extract(epoch FROM clock_timestamp()) * 1000)::bigint::text"


@compiles(Stamp, "sqlite")
def _stamp_sqlite(element: Stamp, compiler: SQLCompiler, **options: object) -> str:
    return "CAST(CAST(round((julianday('now') - 2440587.5) * 86400000) AS INTEGER) AS TEXT)"


@compiles(Now, "postgresql")
def _now_postgresql(element: Now, compiler: SQLCompiler, **options: object) -> str:
    return "clock_timestamp()"


@compiles(Now, "sqlite")
def _now_sqlite(element: Now, compiler: SQLCompiler, **options: object) -> str:
    return f"strftime('{_SQLITE_MOMENT}', 'now')"


@compiles(NowPlus, "postgresql")
def _now_plus_postgresql(element: NowPlus, compiler: SQLCompiler, **options: object) -> str:
    return f"(clock_timestamp() + make_interval(secs => {compiler.process(element.clauses)}))"


@compiles(NowPlus, "sqlite")
def _now_plus_sqlite(element: NowPlus, compiler: SQLCompiler, **options: object) -> str:
    return f"strftime('{_SQLITE_MOMENT}', 'now', printf('%+.3f seconds', {compiler.process(element.clauses)}))"
