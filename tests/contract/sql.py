"""SQL by hand, as people and other programs write it."""

from collections.abc import Sequence

from sqlalchemy import Connection, text

from prosa.adapters.sql.opening import open_database

SILENCE = "UPDATE workers SET alive_at = '2001-01-01T00:00:00.000Z'"
"""All workers' last heartbeats were long ago."""
LONG_QUEUED = "UPDATE runs SET queued_at = '2001-01-01T00:00:00.000Z' WHERE state = 'queued'"


async def raw(url: str, statement: str) -> Sequence[tuple[object, ...]]:
    """The rows of a statement, committed; no types of ours are between."""

    def work(tx: Connection) -> list[tuple[object, ...]]:
        result = tx.execute(text(statement))
        return [tuple(row) for row in result] if result.returns_rows else []

    async with open_database(url) as database:
        return await database.write(work)
