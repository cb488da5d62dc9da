"""Claim: take a run under a fresh claim, from its queue or from a worker that is gone (L3)."""

from collections.abc import Collection
from typing import Any, Final

import msgspec
from sqlalchemy import ColumnElement, Connection, Float, bindparam, case, func, select, update
from sqlalchemy.sql.dml import ReturningUpdate

from prosa.adapters.sql.branch import turns
from prosa.adapters.sql.columns import Now, NowPlus
from prosa.adapters.sql.rows import Record, is_in, row_of, run_columns
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
    taken = _take(tx, _take_queued, claimant, terms)
    if taken is not None:
        return _held(tx, taken)
    found = _found(tx, claimant, terms.lease_seconds)
    if found is None or found.state != RunState.RUNNING:
        return None
    if found.claim == claimant.claim and found.worker == claimant.worker:
        # The first try had worked, and its answer was lost.
        taken = tx.execute(_taken, {"run": claimant.run}).one()
    elif found.dead:
        taken = _take_over(tx, claimant, found, terms)
    return _held(tx, taken) if taken is not None else None


def _found(tx: Connection, claimant: Claimant, lease_seconds: float) -> Record | None:
    dead = held_by_dead(claimant.worker, lease_seconds).label("dead")
    columns = (runs.c.user_id, runs.c.state, runs.c.claim, runs.c.worker, runs.c.crashes_row, runs.c.crashes_total)
    return tx.execute(select(*columns, dead).where(runs.c.id == claimant.run)).first()


def _take_over(tx: Connection, claimant: Claimant, found: Record, terms: Terms) -> Record | None:
    """One more worker died on the run. Two that notice it at once: the second finds another claim."""
    crashes, failed = crashed(Crashes(found.crashes_row, found.crashes_total))
    if failed is None:
        counts = {"before": found.claim, "in_row": crashes.row, "in_all": crashes.total}
        return _take(tx, _take_running, claimant, terms, **counts)
    lock_user(tx, found.user_id)
    run = lock_run(tx, runs.c.id == claimant.run, is_in(RunState.RUNNING), runs.c.claim == found.claim)
    if run is not None:
        end_locked(tx, run, End(RunState.FAILED, failure=Failure.of(failed)))
        promote_user(tx, found.user_id, terms.limits, told=False)
    return None


def _take(
    tx: Connection, statement: ReturningUpdate[Any], claimant: Claimant, terms: Terms, **given: object
) -> Record | None:
    """The run under its new claim; None where the statement's fence held."""
    values = {
        "run": claimant.run,
        "own": claimant.claim,
        "by": claimant.worker,
        "continues": list(terms.continues),
        "seconds": terms.limits.run_seconds,
    }
    return tx.execute(statement, values | given).first()


def _held(tx: Connection, run: Record) -> Held:
    left = (run.end_by - run.now).total_seconds()
    return Held(row_of(run), turns(tx, run.chat_id, run.message_id), run.stop_requested, left)


def _taking(*fence: ColumnElement[bool], **changes: object) -> ReturningUpdate[Any]:
    query = update(runs).where(runs.c.id == bindparam("run"), *fence)
    continues = runs.c.model.in_(bindparam("continues", expanding=True))
    return query.values(
        state=RunState.RUNNING,
        attempt=runs.c.attempt + 1,
        claim=bindparam("own"),
        worker=bindparam("by"),
        saved=case((continues, runs.c.saved), else_=""),
        started_at=func.coalesce(runs.c.started_at, Now()),
        end_by=func.coalesce(runs.c.end_by, NowPlus(bindparam("seconds", type_=Float))),
        **changes,
    ).returning(*_COLUMNS)


# A run that runs has its text in ``saved``: its message is empty until the end.
_COLUMNS: Final = (
    *run_columns,
    runs.c.saved.label("text"),
    runs.c.message_id,
    runs.c.stop_requested,
    runs.c.end_by,
    Now().label("now"),
)
_taken: Final = select(*_COLUMNS).where(runs.c.id == bindparam("run"))
_take_queued: Final = _taking(is_in(RunState.QUEUED))
_take_running: Final = _taking(
    is_in(RunState.RUNNING),
    runs.c.claim == bindparam("before"),
    crashes_row=bindparam("in_row"),
    crashes_total=bindparam("in_all"),
)
