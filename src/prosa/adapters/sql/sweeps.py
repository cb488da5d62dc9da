"""The port ``Sweeps``: upkeep that every worker does, safe to run by many at once."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Final
from uuid import UUID

import msgspec
from sqlalchemy import (
    ColumnElement,
    Connection,
    Float,
    Integer,
    Select,
    and_,
    bindparam,
    case,
    delete,
    func,
    literal,
    or_,
    select,
    update,
)

from prosa.adapters.sql.claim import HELD_BY_DEAD
from prosa.adapters.sql.columns import Now, NowPlus
from prosa.adapters.sql.database import Database
from prosa.adapters.sql.insertion import insert_or
from prosa.adapters.sql.rows import Record, is_in, jobs, read_rows
from prosa.adapters.sql.steps import FIRST_IN_CHAT, end_locked, lock_run, lock_user, postpone, promote_user
from prosa.adapters.sql.tables import gateways, runs, sessions, workers
from prosa.core.errors import Failed, NoWorker, RunTimeout
from prosa.core.events import Job
from prosa.core.operations import Duty
from prosa.core.policy import Limits, redispatch_after
from prosa.core.relay import Row
from prosa.core.run import LIVE, End, Failure, RunState

ASLEEP: Final = timedelta(seconds=3)
"""A silence of all workers that is longer counts as time away."""


def _waiting_for_nothing() -> Select[UUID]:
    others = runs.alias("others")
    taken = select(func.count()).select_from(others).where(others.c.user_id == runs.c.user_id, is_in(*LIVE, of=others))
    idle = and_(FIRST_IN_CHAT, taken.scalar_subquery() < bindparam("most"))
    waiting = select(runs.c.user_id).where(is_in(RunState.WAITING), idle)
    return waiting.distinct().limit(bindparam("limit", type_=Integer))


# Put together once: each alias of a table costs milliseconds, and more with each that was made before.
_idle_users: Final = _waiting_for_nothing()
_limit: Final = bindparam("limit", type_=Integer)
_orphaned: Final = (
    select(runs.c.id, runs.c.pool)
    .where(is_in(RunState.RUNNING), HELD_BY_DEAD)
    .order_by(runs.c.started_at, runs.c.id)
    .limit(_limit)
)
_counting_queued: Final = (
    select(func.count()).select_from(runs).where(runs.c.pool == bindparam("pool"), is_in(RunState.QUEUED))
)
_due: Final = and_(
    runs.c.ended_at.is_(None),
    or_(runs.c.end_by <= Now(), and_(is_in(RunState.QUEUED), runs.c.start_by <= Now())),
)
_late: Final = select(runs.c.id, runs.c.user_id).where(_due).order_by(runs.c.created_at, runs.c.id).limit(_limit)


class SqlSweeps:
    """See ports.Sweeps."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def heartbeat(
        self, worker: str, *, slots: int, draining: bool, alone: bool = False, duty: Duty | None = None
    ) -> bool:
        values = {"alive_at": Now(), "slots": slots, "draining": draining, **_told(duty)}
        return await self._database.write(lambda tx: _heartbeat(tx, worker, values, alone=alone), synced=False)

    async def orphans(self, worker: str, lease_seconds: float, limit: int) -> Sequence[Job]:
        return await self._database.read(lambda tx: _orphans(tx, worker, lease_seconds, limit))

    async def undispatched(self, pool: str, ready: int, limits: Limits) -> Sequence[Job]:
        return await self._database.write(lambda tx: _undispatched(tx, pool, ready, limits))

    async def promote(self, limits: Limits, limit: int) -> Sequence[Job]:
        return await self._database.write(lambda tx: _promote(tx, limits, limit))

    async def expire(self, limits: Limits, limit: int) -> Sequence[Row]:
        return await self._database.write(lambda tx: _expire(tx, limits, limit))

    async def prune(self, before_seconds: float) -> None:
        await self._database.write(lambda tx: _prune(tx, before_seconds))


def _told(duty: Duty | None) -> dict[str, object]:
    if duty is None:
        return {}
    process = duty.process
    return {
        "host": process.host,
        "version": process.version,
        "started_at": process.started_at,
        "pools": msgspec.json.encode(duty.pools).decode(),
        "slots_used": duty.slots_used,
    }


_MOMENT_SECONDS: Final = 0.5


def _heartbeat(tx: Connection, worker: str, values: dict[str, object], *, alone: bool) -> bool:
    if alone:
        _wake(tx, worker)
    insertion = insert_or(tx, workers).values(name=worker, **values)
    stored = insertion.on_conflict_do_update(index_elements=[workers.c.name], set_=values)
    return bool(tx.execute(stored.returning(workers.c.drain_wanted)).scalar_one())


def _wake(tx: Connection, worker: str) -> None:
    """Account for the time in which nobody's heart beat, and for the jobs that were lost with their process."""
    beats = {beat.name: beat.alive_at for beat in tx.execute(select(workers.c.name, workers.c.alive_at))}
    if worker not in beats:
        tx.execute(update(runs).where(is_in(RunState.QUEUED)).values(dispatches=0, dispatched_at=None))
        # Whoever else was here is dead. This process may have announced itself as a gateway a moment ago.
        tx.execute(delete(workers))
        tx.execute(delete(gateways).where(gateways.c.alive_at < NowPlus(-_MOMENT_SECONDS)))
    if not beats:
        return
    asleep = tx.execute(select(Now())).scalar_one() - max(beats.values())
    if asleep > ASLEEP:
        postpone(tx, asleep)


def _orphans(tx: Connection, worker: str, lease_seconds: float, limit: int) -> tuple[Job, ...]:
    return jobs(tx.execute(_orphaned, {"by": worker, "lease": lease_seconds, "limit": limit}))


def _undispatched(tx: Connection, pool: str, ready: int, limits: Limits) -> tuple[Job, ...]:
    missing = tx.execute(_counting_queued, {"pool": pool}).scalar_one() - ready
    if missing <= 0:
        return ()
    due = or_(runs.c.dispatched_at.is_(None), runs.c.dispatched_at <= NowPlus(-_pause(limits)))
    query = select(runs.c.id, runs.c.pool).where(runs.c.pool == pool, is_in(RunState.QUEUED), due)
    oldest = query.order_by(runs.c.queued_at, runs.c.id).limit(missing)
    found = tx.execute(oldest.with_for_update(key_share=True, skip_locked=True)).all()
    if found:
        told = {"dispatches": runs.c.dispatches + 1, "dispatched_at": Now()}
        tx.execute(update(runs).where(runs.c.id.in_([run.id for run in found])).values(told))
    return jobs(found)


def _pause(limits: Limits) -> ColumnElement[float]:
    """The policy as SQL. It grows no more where the next pause is the same."""
    pauses = [(count, redispatch_after(count, limits)) for count in range(1, 16)]
    usual = literal(pauses[-1][1], Float)
    return case(*((runs.c.dispatches <= count, literal(seconds, Float)) for count, seconds in pauses), else_=usual)


def _promote(tx: Connection, limits: Limits, limit: int) -> tuple[Job, ...]:
    """Users who wait for nothing: none of their chats' runs and not their own N."""
    promoted: list[Job] = []
    for user in tx.execute(_idle_users, {"most": limits.user_runs, "limit": limit}).scalars().all():
        room = limit - len(promoted)
        if room > 0 and lock_user(tx, user, skip_locked=True):
            promoted += promote_user(tx, user, limits, room=room)
    return tuple(promoted)


def _expire(tx: Connection, limits: Limits, limit: int) -> list[Row]:
    """Runs that a worker is writing this moment are left for the next sweep."""
    users: dict[UUID, bool] = {}
    ended: list[UUID] = []
    for run in tx.execute(_late, {"limit": limit}).all():
        if run.user_id not in users:
            users[run.user_id] = lock_user(tx, run.user_id, skip_locked=True)
        if users[run.user_id] and _expire_run(tx, run.id):
            ended.append(run.id)
    for user, locked in users.items():
        if locked:
            promote_user(tx, user, limits, told=False)
    return read_rows(tx, runs.c.id.in_(ended)) if ended else []


def _expire_run(tx: Connection, run: UUID) -> bool:
    found = lock_run(tx, runs.c.id == run, _due, skip_locked=True)
    if found is None:
        return False
    end_locked(tx, found, End(RunState.FAILED, failure=Failure.of(_reason(found))))
    return True


def _reason(run: Record) -> Failed:
    if run.attempt == 0:
        return NoWorker("No worker took the message in time. Try again later.")
    return RunTimeout("The answer took longer than it may. What was saved of it stays; try again or ask for less.")


def _prune(tx: Connection, before_seconds: float) -> None:
    for processes in (workers, gateways):
        tx.execute(delete(processes).where(processes.c.alive_at < NowPlus(-before_seconds)))
    tx.execute(delete(sessions).where(sessions.c.expires_at < Now()))
