"""Synthetic rows: years of runs, and a thousand new ones a second. No message is behind them: nothing here reads one.

Everything is made by statements of PostgreSQL, with foreign keys unchecked and indexes built at the end.
"""

import asyncio
from typing import Final

import asyncpg

CHUNK: Final = 500_000
PEOPLE: Final = 10_000
CHAT_RUNS: Final = 10
DAYS: Final = 30
HELD: Final = 16
"""Running runs of each announced worker."""
LINE: Final = 2_000
"""Runs in the queue of a pool that nobody serves."""
FEED_SECONDS: Final = 0.1
PARKED: Final = "parked"

_COLUMNS: Final = """id, user_id, chat_id, request_id, message_id, reply_id, kind, ordinal, pool, model, state, attempt,
    claim, worker, finish, error_code, error_message, dispatches, queued_at, start_by, started_at, end_by,
    first_text_at, saved_at, ended_at, created_at, trail, prompt_tokens, completion_tokens"""
_STAMP: Final = "lpad(to_hex((extract(epoch FROM at) * 1000)::bigint), 12, '0')"
_ID: Final = f"({_STAMP} || '7{{kind}}8' || lpad(to_hex(g), 15, '0'))::uuid"
_PERSON: Final = "('00000000-0000-4000-8000-' || lpad(to_hex(({0}) % {1}), 12, '0'))::uuid"
_CHAT: Final = "('00000000-0000-7000-8000-' || lpad(to_hex({0}), 12, '0'))::uuid"

# One in a hundred failed, one in a hundred was stopped; four models, one of them rare; a hundred workers.
_ENDED: Final = f"""INSERT INTO runs ({_COLUMNS})
    SELECT {_ID.format(kind="000")}, {_PERSON.format(f"g / {CHAT_RUNS}", PEOPLE)}, {_CHAT.format(f"g / {CHAT_RUNS}")},
        {_ID.format(kind="001")}, {_ID.format(kind="002")}, {_ID.format(kind="003")}, 'send', g % {CHAT_RUNS} + 1,
        'default', CASE WHEN g % 5000 = 0 THEN 'rare' ELSE 'model-' || g % 3 END, state, 1, g, worker,
        CASE state WHEN 'done' THEN 'stop' WHEN 'stopped' THEN 'stopped' END,
        CASE state WHEN 'failed' THEN (ARRAY['model_broke', 'timeout', 'model_overloaded'])[g / 100 % 3 + 1] END,
        CASE state WHEN 'failed' THEN 'It did not work.' END, 1, at, at + interval '10 min', at + interval '0.1 s',
        at + interval '15 min', at + interval '0.4 s', at + interval '5 s', at + interval '6 s', at,
        'c1 ' || (extract(epoch FROM at) * 1000)::bigint || ' ' || worker || ';', 200, 120
    FROM generate_series($1::bigint, $2::bigint) AS g,
        LATERAL (SELECT $3::timestamptz + $4::float8 * (g - $1) * interval '1 s' AS at,
            CASE g % 100 WHEN 7 THEN 'failed' WHEN 8 THEN 'stopped' ELSE 'done' END AS state,
            'wk-' || g % 100 AS worker) AS made"""
_UNFINISHED: Final = f"""INSERT INTO runs ({_COLUMNS})
    SELECT {_ID.format(kind="000")}, {_PERSON.format("g", PEOPLE)}, {_CHAT.format("g")}, {_ID.format(kind="001")},
        {_ID.format(kind="002")}, {_ID.format(kind="003")}, 'send', 1,
        CASE WHEN held THEN 'default' ELSE '{PARKED}' END, 'model-0',
        CASE WHEN held THEN 'running' ELSE 'queued' END, 1, g,
        CASE WHEN held THEN 'wk-' || g % $3::bigint END, NULL, NULL, NULL, 1, at, at + interval '1000 days',
        at, at + interval '1000 days', at, at, NULL, at, NULL, 0, 0
    FROM generate_series($1::bigint, $1::bigint + $2::bigint - 1) AS g,
        LATERAL (SELECT now() AS at, g - $1::bigint < $3::bigint * {HELD} AS held) AS made"""


async def filled(url: str, rows: int, workers: int) -> bool:
    """Fill an empty database. False: it had so many rows already, of a run before."""
    connection = await asyncpg.connect(url)
    try:
        if await connection.fetchval("SELECT count(*) FROM (SELECT 1 FROM runs LIMIT $1) AS those", rows) == rows:
            return False
        await connection.execute("SET session_replication_role = replica; SET maintenance_work_mem = '1GB'")
        await _people(connection, rows)
        again = await _without_indexes(connection)
        began = await connection.fetchval(f"SELECT now() - interval '{DAYS} days'")
        step = DAYS * 86_400 / rows
        for first in range(1, rows + 1, CHUNK):
            at = await connection.fetchval("SELECT $1::timestamptz + $2::float8 * interval '1 s'", began, first * step)
            await connection.execute(_ENDED, first, min(first + CHUNK - 1, rows), at, step)
        await connection.execute(_UNFINISHED, 2 * rows, workers * HELD + LINE, workers)
        for statement in again:
            await connection.execute(statement)
        await connection.execute("ANALYZE")
        return True
    finally:
        await connection.close()


async def _people(connection: asyncpg.Connection, rows: int) -> None:
    person, chat = _PERSON.format("g", PEOPLE), _CHAT.format("g")
    await connection.execute(
        f"INSERT INTO users (id, username, username_key) SELECT {person}, 'person-' || g, 'person-' || g "
        f"FROM generate_series(0, {PEOPLE - 1}) AS g ON CONFLICT DO NOTHING"
    )
    await connection.execute(
        f"INSERT INTO chat_sessions (id, user_id) SELECT {chat}, {person} "
        f"FROM generate_series(0, {rows // CHAT_RUNS}) AS g ON CONFLICT DO NOTHING"
    )


async def _without_indexes(connection: asyncpg.Connection) -> list[str]:
    """Drop what is cheaper to build at once; the statements that build it."""
    unique = await connection.fetch(
        "SELECT conname AS name, pg_get_constraintdef(oid) AS made FROM pg_constraint "
        "WHERE conrelid = 'runs'::regclass AND contype = 'u' AND conindid NOT IN "
        "(SELECT conindid FROM pg_constraint WHERE confrelid = 'runs'::regclass)"
    )
    known = [row["name"] for row in unique]
    indexes = await connection.fetch(
        "SELECT indexname AS name, indexdef AS made FROM pg_indexes WHERE tablename = 'runs' AND indexname <> ALL($1) "
        "AND indexname NOT IN (SELECT conname FROM pg_constraint WHERE conrelid = 'runs'::regclass)",
        known,
    )
    for row in unique:
        await connection.execute(f'ALTER TABLE runs DROP CONSTRAINT "{row["name"]}"')
    for row in indexes:
        await connection.execute(f'DROP INDEX "{row["name"]}"')
    restored = [f'ALTER TABLE runs ADD CONSTRAINT "{row["name"]}" {row["made"]}' for row in unique]
    return restored + [row["made"] for row in indexes]


class Feed:
    """So many new runs a second, ended as soon as they are there, until cancelled. ``made`` counts them."""

    def __init__(self, url: str, rows: int, a_second: int) -> None:
        self._url = url
        self._next = 3 * rows + 1_000_000
        self._a_second = a_second
        self.made = 0

    async def run(self) -> None:
        connection = await asyncpg.connect(self._url)
        loop = asyncio.get_running_loop()
        try:
            await connection.execute("SET session_replication_role = replica")
            begun = loop.time()
            # Numbers of an earlier run on the same rows are taken.
            self._next += int(await connection.fetchval("SELECT extract(epoch FROM now()) * 1000")) * 10
            while True:
                due = int((loop.time() - begun) * self._a_second) - self.made
                if due > 0:
                    last = self._next + due - 1
                    at = await connection.fetchval("SELECT now() - interval '7 s'")
                    await connection.execute(_ENDED, self._next, last, at, 0.0)
                    self._next, self.made = last + 1, self.made + due
                await asyncio.sleep(FEED_SECONDS)
        finally:
            await connection.close()
