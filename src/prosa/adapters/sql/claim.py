"""Claim: take a run under a fresh claim, from its queue or from a worker that is gone (L3)."""

from collections.abc import Collection
from uuid import UUID

import msgspec
from sqlalchemy import ColumnElement, Connection, case, func, select, update

from prosa.adapters.sql.branch import turns
from prosa.adapters.sql.columns import Now, NowPlus
from prosa.adapters.sql.rows import Record, read_row
from prosa.adapters.sql.steps import end_locked, lock_run, lock_user, promote_user
from prosa.adapters.sql.tables import runs, workers
from prosa.core.policy import Crashes, Limits, crashed
from prosa.core.run import Claimant, End, Failure, RunState
from prosa.core.work import Held


def held_by_dead(worker: str, lease_seconds: float) -> ColumnElement[bool]:
    """The run belongs to another worker whose heartbeat is over. Lease 0: to any other worker."""
    other = runs.c.worker != worker
    if lease_seconds <= 0:
        return other
    alive = select(workers.c.name).where(workers.c.name == runs.c.worker, workers.c.alive_at > NowPlus(-lease_seconds))
    return other & ~alive.exists()


class Terms(msgspec.Struct, frozen=True):
    """Under which a run is claimed: see ports.Runs.claim."""

    lease_seconds: float
    continues: Collection[str]
    limits: Limits


def claim(tx: Connection, claimant: Claimant, terms: Terms) -> Held | None:
    """See ports.Runs.claim."""
    found = _found(tx, claimant, terms.lease_seconds)
    if found is None:
        return None
    if found.state == RunState.QUEUED:
        taken = _take(tx, claimant, terms, runs.c.state == RunState.QUEUED)
    elif found.state != RunState.RUNNING:
        return None
    elif found.claim == claimant.claim and found.worker == claimant.worker:
        taken = True  # the first try had worked, and its answer was lost
    else:
        taken = bool(found.dead) and _take_over(tx, claimant, found, terms)
    return _held(tx, claimant.run) if taken else None


def _found(tx: Connection, claimant: Claimant, lease_seconds: float) -> Record | None:
    dead = held_by_dead(claimant.worker, lease_seconds).label("dead")
    columns = (runs.c.user_id, runs.c.state, runs.c.claim, runs.c.worker, runs.c.crashes_row, runs.c.crashes_total)
    return tx.execute(select(*columns, dead).where(runs.c.id == claimant.run)).first()


def _take_over(tx: Connection, claimant: Claimant, found: Record, terms: Terms) -> bool:
    """One more worker died on the run. Two that notice it at once: the second finds another claim."""
    fence = (runs.c.state == RunState.RUNNING, runs.c.claim == found.claim)
    crashes, failed = crashed(Crashes(found.crashes_row, found.crashes_total))
    if failed is None:
        return _take(tx, claimant, terms, *fence, crashes=crashes)
    lock_user(tx, found.user_id)
    run = lock_run(tx, runs.c.id == claimant.run, *fence)
    if run is not None:
        end_locked(tx, run, End(RunState.FAILED, failure=Failure.of(failed)))
        promote_user(tx, found.user_id, terms.limits, told=False)
    return False


def _take(
    tx: Connection, claimant: Claimant, terms: Terms, *fence: ColumnElement[bool], crashes: Crashes | None = None
) -> bool:
    counted = {"crashes_row": crashes.row, "crashes_total": crashes.total} if crashes else {}
    query = update(runs).where(runs.c.id == claimant.run, *fence)
    changed = tx.execute(
        query.values(
            state=RunState.RUNNING,
            attempt=runs.c.attempt + 1,
            claim=claimant.claim,
            worker=claimant.worker,
            saved=case((runs.c.model.in_(terms.continues), runs.c.saved), else_=""),
            started_at=func.coalesce(runs.c.started_at, Now()),
            end_by=func.coalesce(runs.c.end_by, NowPlus(terms.limits.run_seconds)),
            **counted,
        )
    )
    return changed.rowcount == 1


def _held(tx: Connection, run: UUID) -> Held | None:
    row = read_row(tx, run)
    query = select(runs.c.message_id, runs.c.stop_requested, runs.c.end_by, Now().label("now"))
    more = tx.execute(query.where(runs.c.id == run)).one()
    if row is None:
        return None
    left = (more.end_by - more.now).total_seconds()
    return Held(row, turns(tx, row.chat, more.message_id), more.stop_requested, left)
