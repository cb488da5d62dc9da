"""Many rows in one statement, whose text is the same for any number of them.

PostgreSQL gets an array for each column, by which its planner expects few rows and goes by keys; of unpacked JSON it
expects a hundred, for which it reads a small table whole. SQLite unpacks JSON.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec
from sqlalchemy import (
    ColumnClause,
    Connection,
    CursorResult,
    Executable,
    FromClause,
    String,
    Text,
    bindparam,
    func,
    select,
)
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.types import TypeEngine

PARAMETER = "given"

Statement = Callable[[str], Executable]
"""What ``given`` is in, for each dialect; put together once (functools.cache)."""
Values = Sequence[msgspec.Struct] | Sequence[Mapping[str, object]]


def given(dialect: str, *columns: ColumnClause[Any], name: str = PARAMETER) -> FromClause:
    """A table of these columns in a statement of this dialect; its rows come by ``with_rows``, under its name where a
    statement has several."""
    if dialect == "postgresql":
        arrays = [bindparam(f"{name}_{one.name}", type_=ARRAY(_unbounded(one.type))) for one in columns]
        return func.unnest(*arrays).table_valued(*columns, name=name).render_derived()
    each = func.json_each(bindparam(name, type_=Text)).table_valued("value")
    fields = [
        func.json_extract(each.c.value, f"$.{field.name}", type_=field.type).label(field.name) for field in columns
    ]
    return select(*fields).subquery(name)


def _unbounded(kind: TypeEngine[Any]) -> TypeEngine[Any]:
    """PostgreSQL cuts a text that is cast to too short a type, where a column would refuse it."""
    return Text() if isinstance(kind, String) else kind


def with_rows(tx: Connection, statement: Statement, values: Values, **more: object) -> CursorResult[Any]:
    """Execute a statement with ``given`` on these rows (one at least): structs or mappings with a key per column."""
    dialect = tx.dialect.name
    return tx.execute(statement(dialect), parameters(dialect, values) | more)


def parameters(dialect: str, values: Values, name: str = PARAMETER) -> dict[str, object]:
    """The rows of the table ``given`` of this name, as a statement gets them."""
    if dialect != "postgresql":
        return {name: msgspec.json.encode(values).decode()}
    records = [msgspec.structs.asdict(one) if isinstance(one, msgspec.Struct) else one for one in values]
    return {f"{name}_{column}": [record[column] for record in records] for column in records[0]}
