"""The database as it is, past every proxy and process of Prosa: who holds what, and how every run ended."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import asyncpg
import msgspec

CONNECT_SECONDS: Final = 1.0
QUERY_SECONDS: Final = 2.0
LAST_WORD_SECONDS: Final = 30.0

RUNNING: Final = "SELECT id, attempt, worker FROM runs WHERE state = 'running'"
RUNS: Final = """
    SELECT r.id, r.request_id, r.chat_id, r.ordinal, r.started_at, r.ended_at,
           r.state, r.attempt, r.crashes_total, m.text AS text, r.error_code
    FROM runs r JOIN messages m ON m.chat_id = r.chat_id AND m.id = r.reply_id
"""


class Running(msgspec.Struct, frozen=True):
    """A run that a worker holds this moment."""

    id: UUID
    attempt: int
    worker: str | None


class Row(msgspec.Struct, frozen=True):
    """A run as it is stored, with the text of its reply. Times are of the database's clock."""

    id: UUID
    request_id: UUID
    chat_id: UUID
    ordinal: int
    state: str
    attempt: int
    crashes_total: int
    text: str
    started_at: datetime | None = None
    ended_at: datetime | None = None
    error_code: str | None = None


async def running(url: str) -> list[Running] | None:
    """Every run that is held; None where the database does not tell at once."""
    try:
        return [Running(**row) for row in await _rows(url, RUNNING, QUERY_SECONDS)]
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
        return None


async def every(url: str) -> list[Row]:
    """Every run. Raises what the driver raises: the database is there, or the siege has no verdict."""
    return [Row(**row) for row in await _rows(url, RUNS, LAST_WORD_SECONDS)]


async def _rows(url: str, query: str, seconds: float) -> Sequence[dict[str, Any]]:
    connection = await asyncpg.connect(url, timeout=CONNECT_SECONDS)
    try:
        return [dict(row) for row in await connection.fetch(query, timeout=seconds)]
    finally:
        connection.terminate()
