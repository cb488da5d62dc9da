"""Inserts that give way to a row that is there already."""

from sqlalchemy import Connection, Table
from sqlalchemy.dialects import postgresql, sqlite


def insert_or(tx: Connection, table: Table) -> postgresql.Insert | sqlite.Insert:
    """An insert that knows ON CONFLICT, which each dialect has for itself."""
    return insert_for(tx.dialect.name, table)


def insert_for(dialect: str, table: Table) -> postgresql.Insert | sqlite.Insert:
    """The same, for a statement that is put together once."""
    return postgresql.insert(table) if dialect == "postgresql" else sqlite.insert(table)


def insert_new(tx: Connection, table: Table, values: dict[str, object]) -> bool:
    """Insert a row unless a unique value of it is taken: then False, and nothing is changed."""
    return tx.execute(insert_or(tx, table).values(values).on_conflict_do_nothing()).rowcount == 1
