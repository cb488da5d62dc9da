"""Many rows in one parameter: both databases unpack JSON, so that one statement serves any number of them."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from sqlalchemy import JSON, ColumnClause, FromClause, Text, bindparam, cast, func, select

PARAMETER = "given"


def given(dialect: str, *columns: ColumnClause[Any]) -> FromClause:
    """A table of these columns in a statement of this dialect; its rows come with ``rows``."""
    document = bindparam(PARAMETER, type_=Text)
    if dialect == "postgresql":
        unpacked = func.json_to_recordset(cast(document, JSON))
        return unpacked.table_valued(*columns, name="given").render_derived(with_types=True)
    each = func.json_each(document).table_valued("value")
    fields = [
        func.json_extract(each.c.value, f"$.{field.name}", type_=field.type).label(field.name) for field in columns
    ]
    return select(*fields).subquery("given")


def rows(values: Sequence[msgspec.Struct] | Sequence[Mapping[str, object]]) -> dict[str, str]:
    """The parameter of a statement with ``given``: structs or mappings with a key per column."""
    return {PARAMETER: msgspec.json.encode(values).decode()}
