"""The port ``Reads``: what gateways read of runs."""

from collections.abc import Mapping, Sequence
from uuid import UUID

from sqlalchemy import Connection, func, select

from prosa.adapters.sql.census import census
from prosa.adapters.sql.chats import own_chat, unfinished_runs
from prosa.adapters.sql.database import Database
from prosa.adapters.sql.places import places
from prosa.adapters.sql.rows import own_row, read_rows, unfinished
from prosa.adapters.sql.tables import runs
from prosa.core.relay import Place, Row
from prosa.core.run import RunState
from prosa.core.work import Census


class SqlReads:
    """See ports.Reads."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def rows(self, runs: Sequence[UUID]) -> Sequence[Row]:
        return await self._database.read(lambda tx: _rows(tx, runs))

    async def places(self, runs: Sequence[UUID]) -> Sequence[Place]:
        return await self._database.read(lambda tx: places(tx, runs)) if runs else []

    async def unfinished(self, user: UUID, chat: UUID) -> Sequence[UUID]:
        return await self._database.read(lambda tx: _unfinished(tx, user, chat))

    async def own(self, user: UUID, run: UUID) -> Row:
        return await self._database.read(lambda tx: own_row(tx, user, run))

    async def counts(self) -> Mapping[RunState, int]:
        return await self._database.read(_counts)

    async def census(self, lease_seconds: float) -> Census:
        return await self._database.read(lambda tx: census(tx, lease_seconds))


def _rows(tx: Connection, asked: Sequence[UUID]) -> list[Row]:
    return read_rows(tx, runs.c.id.in_(asked)) if asked else []


def _unfinished(tx: Connection, user: UUID, chat: UUID) -> tuple[UUID, ...]:
    own_chat(tx, user, chat)
    return unfinished_runs(tx, chat)


def _counts(tx: Connection) -> dict[RunState, int]:
    query = select(runs.c.state, func.count().label("number")).where(unfinished).group_by(runs.c.state)
    counts = {RunState(record.state): record.number for record in tx.execute(query)}
    return {state: counts.get(state, 0) for state in RunState if not state.ended}
