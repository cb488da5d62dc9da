"""`python -m benchmarks backup [--messages 1000000]`: how long a backup and its restore take, how much memory, how big
the file is; and whether every row came back, compared one by one with plain drivers, past all code of ours.

The way is PostgreSQL → file → SQLite → file → PostgreSQL, and once PostgreSQL → file → PostgreSQL. docs/deploy.md shows
what it measured.
"""

import argparse
import asyncio
import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Final
from uuid import UUID

import asyncpg
import msgspec

from benchmarks.ground import own_folder
from prosa.adapters.sql.backup import COPIED
from prosa.adapters.sql.migrate import migrate
from prosa.cluster.nodes import PostgresNode

MESSAGES: Final = 1_000_000
CHAT_RUNS: Final = 10
PEOPLE: Final = 1_000
# A question of two lines and an answer of about a hundred words, no two alike.
_TEXT: Final = "(SELECT string_agg(md5((g * {words} + w)::text), ' ') FROM generate_series(1, {words}) AS w)"
_CHAT: Final = f"('00000000-0000-7000-8000-' || lpad(to_hex((g - 1) / {CHAT_RUNS}), 12, '0'))::uuid"
_ID: Final = "('0000000{0}-0000-7000-8000-' || lpad(to_hex(g), 12, '0'))::uuid"
_ROWS: Final = (
    f"INSERT INTO users (id, username, username_key) SELECT {_ID.format(1)}, 'p' || g, 'p' || g "
    f"FROM generate_series(1, {PEOPLE}) AS g",
    "INSERT INTO chat_sessions (id, user_id, title) SELECT "
    "('00000000-0000-7000-8000-' || lpad(to_hex(g), 12, '0'))::uuid, "
    f"('00000001-0000-7000-8000-' || lpad(to_hex(g % {PEOPLE} + 1), 12, '0'))::uuid, 'Olá ' || g "
    f"FROM generate_series(0, ($1::bigint - 1) / {CHAT_RUNS}) AS g",
    "INSERT INTO messages (chat_id, id, role, text, ordinal) SELECT "
    f"{_CHAT}, {_ID.format(2)}, 'user', {_TEXT.format(words=3)}, (g - 1) % {CHAT_RUNS} + 1 "
    "FROM generate_series(1, $1::bigint) AS g",
    "INSERT INTO messages (chat_id, id, parent_id, role, text, ordinal) SELECT "
    f"{_CHAT}, {_ID.format(3)}, {_ID.format(2)}, 'assistant', {_TEXT.format(words=20)}, (g - 1) % {CHAT_RUNS} + 1 "
    "FROM generate_series(1, $1::bigint) AS g",
    "INSERT INTO runs (id, user_id, chat_id, request_id, message_id, reply_id, kind, ordinal, pool, model, state, "
    "attempt, claim, finish, queued_at, started_at, first_text_at, ended_at, prompt_tokens, completion_tokens) SELECT "
    f"{_ID.format(4)}, chats.user_id, chats.id, {_ID.format(2)}, {_ID.format(2)}, {_ID.format(3)}, 'send', "
    f"(g - 1) % {CHAT_RUNS} + 1, 'default', 'm', 'done', 1, g, 'stop', now(), now(), now(), now(), 200, 120 "
    f"FROM generate_series(1, $1::bigint) AS g JOIN chat_sessions AS chats ON chats.id = {_CHAT}",
)


class Options(msgspec.Struct, frozen=True):
    messages: int = MESSAGES


class Step(msgspec.Struct, frozen=True):
    """One command: wall-clock seconds, CPU seconds of it alone, and the most memory it held, in MB."""

    seconds: float
    cpu: float
    memory: float


class Figures(msgspec.Struct, frozen=True):
    """``equal``: rows that were compared, and were the same on both sides."""

    messages: int
    database_mb: float
    file_mb: float
    steps: dict[str, Step]
    equal: dict[str, int]


def options(words: Sequence[str]) -> Options:
    parser = argparse.ArgumentParser(prog="python -m benchmarks backup")
    parser.add_argument("--messages", type=int, default=MESSAGES)
    return Options(**vars(parser.parse_args(words)))


async def backup(given: Options) -> Figures:
    """On a PostgreSQL of its own. Raises AssertionError where a row is not the same."""
    async with AsyncExitStack() as stack:
        folder = await stack.enter_async_context(own_folder("backup"))
        node = await stack.enter_async_context(PostgresNode(folder / "postgresql"))
        await migrate(node.url())
        size = await _filled(node.url(), given.messages // 2)
        for name in ("same", "moved"):
            await node.create(name)
        there = {name: node.url(name) for name in ("prosa", "same", "moved")}
        there["laptop"] = f"sqlite:///{folder}/laptop.db"
        steps = {}
        for what, database, file in (
            ("backup of PostgreSQL", "prosa", "one"),
            ("restore into PostgreSQL", "same", "one"),
            ("restore into SQLite", "laptop", "one"),
            ("backup of SQLite", "laptop", "two"),
            ("restore of SQLite's into PostgreSQL", "moved", "two"),
        ):
            steps[what] = await asyncio.to_thread(_step, what.split()[0], there[database], folder / file)
        equal = {name: await _compared(node.url(), there[name]) for name in ("same", "laptop", "moved")}
        return Figures(given.messages, size / 1e6, (folder / "one").stat().st_size / 1e6, steps, equal)


async def _filled(url: str, exchanges: int) -> int:
    """The bytes of the database then."""
    connection = await asyncpg.connect(url)
    try:
        await connection.execute("SET session_replication_role = replica")
        for statement in _ROWS:
            await connection.execute(statement, *([exchanges] if "$1" in statement else []))
        return int(await connection.fetchval("SELECT pg_database_size(current_database())"))
    finally:
        await connection.close()


def _step(verb: str, url: str, file: Path) -> Step:
    variables = {"PATH": os.defpath, "PROSA_DATABASE_URL": url}
    began = time.monotonic()
    with subprocess.Popen(  # noqa: S603 — this very Prosa
        [sys.executable, "-P", "-m", "prosa", verb, str(file), "--data-dir", str(file.parent)],
        env=variables,
        stdout=subprocess.DEVNULL,
    ) as process:
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, f"prosa {verb} ended with {process.returncode}"  # noqa: S101 — a benchmark that lies is none
    seconds = time.monotonic() - began
    return Step(round(seconds, 1), round(usage.ru_utime + usage.ru_stime, 1), round(usage.ru_maxrss / 1024, 1))


# ── row by row ──


async def _compared(one: str, other: str) -> int:
    """How many rows both have; all are the same."""
    count = 0
    for table in COPIED:
        order = ", ".join(column.name for column in table.primary_key)
        query = f"SELECT * FROM {table.name} ORDER BY {order}"
        async with _rows(one, query) as left, _rows(other, query) as right:
            async for row in left:
                twin = await anext(right, None)
                assert row == twin, f"{table.name}: {row} became {twin}"  # noqa: S101
                count += 1
            assert await anext(right, None) is None, f"{table.name}: rows came from nowhere"  # noqa: S101
    return count


@asynccontextmanager
async def _rows(url: str, query: str) -> AsyncIterator[AsyncIterator[tuple[object, ...]]]:
    """In the database's order, with values as text that both kinds share."""
    if url.startswith("sqlite"):
        with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as file:
            yield _each(file.execute(query))
        return
    connection = await asyncpg.connect(url)
    try:
        async with connection.transaction(readonly=True):
            yield _plain(connection.cursor(query, prefetch=1000))
    finally:
        await connection.close()


async def _each(cursor: sqlite3.Cursor) -> AsyncIterator[tuple[object, ...]]:
    for row in cursor:
        yield tuple(row)


async def _plain(cursor: AsyncIterator[asyncpg.Record]) -> AsyncIterator[tuple[object, ...]]:
    async for row in cursor:
        yield tuple(_value(value) for value in row)


def _value(value: object) -> object:
    """As SQLite keeps it: ids in small letters with dashes, moments to the millisecond."""
    if isinstance(value, datetime):
        return value.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"
    return str(value) if isinstance(value, UUID) else value
