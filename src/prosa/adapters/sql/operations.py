"""The port ``Operations``: what administrators see and do."""

from collections.abc import Collection
from typing import Final
from uuid import UUID

from sqlalchemy import Connection, bindparam, case, func, select, update

from prosa.adapters.sql.columns import Now, NowPlus
from prosa.adapters.sql.database import Database
from prosa.adapters.sql.insertion import insert_or
from prosa.adapters.sql.listing import LISTED, listed, listing, usernames
from prosa.adapters.sql.rows import Record, unfinished
from prosa.adapters.sql.standing import standing
from prosa.adapters.sql.tables import gateways, runs, workers
from prosa.core.errors import NotFound
from prosa.core.operations import LOST_SECONDS, Detail, Listing, Process, Standing, Wanted
from prosa.core.run import RunState
from prosa.core.trail import Life

_detail: Final = select(
    *LISTED,
    runs.c.reply_id,
    runs.c.error_message,
    runs.c.prompt_tokens,
    runs.c.completion_tokens,
    runs.c.stop_requested,
    runs.c.dispatches,
    runs.c.first_text_at,
    runs.c.saved_at,
    runs.c.trail,
    case((unfinished, func.length(runs.c.saved))).label("characters"),
).where(runs.c.id == bindparam("run"))


class SqlOperations:
    """See ports.Operations."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def standing(self, pools: Collection[str]) -> Standing:
        return await self._database.read(lambda tx: standing(tx, pools))

    async def listing(self, wanted: Wanted, cursor: str | None, limit: int) -> Listing:
        return await self._database.read(lambda tx: listing(tx, wanted, cursor, limit))

    async def detail(self, run: UUID) -> Detail:
        return await self._database.read(lambda tx: _read(tx, run))

    async def drain(self, worker: str) -> None:
        await self._database.write(lambda tx: _drain(tx, worker))

    async def announce(self, gateway: Process, *, sockets: int, watched: int, draining: bool) -> None:
        values = {"alive_at": Now(), "sockets": sockets, "watched": watched, "draining": draining}
        await self._database.write(lambda tx: _announce(tx, gateway, values), synced=False)


def _read(tx: Connection, run: UUID) -> Detail:
    found = tx.execute(_detail, {"run": run}).first()
    if found is None:
        raise NotFound(f"There is no run {run}.")
    return Detail(
        listed=listed(found, usernames(tx, [found])[found.user_id]),
        reply=found.reply_id,
        error_message=found.error_message,
        prompt_tokens=found.prompt_tokens,
        completion_tokens=found.completion_tokens,
        stop_requested=found.stop_requested,
        dispatches=found.dispatches,
        life=_life(found),
    )


def _life(run: Record) -> Life:
    return Life(
        state=RunState(run.state),
        model=run.model,
        pool=run.pool,
        attempt=run.attempt,
        worker=run.worker,
        created_at=run.created_at,
        queued_at=run.queued_at,
        started_at=run.started_at,
        first_text_at=run.first_text_at,
        saved_at=run.saved_at,
        saved_characters=run.characters,
        ended_at=run.ended_at,
        outcome=run.error_code or run.finish,
        trail=run.trail,
    )


def _drain(tx: Connection, worker: str) -> None:
    there = workers.c.alive_at >= NowPlus(-LOST_SECONDS)
    changed = tx.execute(update(workers).where(workers.c.name == worker, there).values(drain_wanted=True))
    if changed.rowcount == 0:
        raise NotFound(f"There is no worker {worker}. It may have left.")


def _announce(tx: Connection, gateway: Process, values: dict[str, object]) -> None:
    whole = {"name": gateway.name, "host": gateway.host, "version": gateway.version, **values}
    insertion = insert_or(tx, gateways).values(**whole, started_at=gateway.started_at)
    tx.execute(insertion.on_conflict_do_update(index_elements=[gateways.c.name], set_=values))
