"""Claim: take a run under a fresh claim, from its queue or from a worker that is gone (L3)."""

from collections.abc import Collection, Sequence
from functools import cache
from typing import Any, Final

import msgspec
from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    Float,
    Text,
    bindparam,
    case,
    cast,
    column,
    func,
    null,
    or_,
    select,
    update,
)
from sqlalchemy.sql.dml import ReturningUpdate

from prosa.adapters.sql.branch import Question, prompts
from prosa.adapters.sql.columns import Id, Now, NowPlus
from prosa.adapters.sql.given import given, with_rows
from prosa.adapters.sql.rows import Record, is_in, read_row, row_of, run_columns
from prosa.adapters.sql.steps import end_locked, lock_run, lock_user, promote_user
from prosa.adapters.sql.tables import runs, workers
from prosa.adapters.sql.trail import noted
from prosa.core.chat import Turn
from prosa.core.policy import Crashes, Limits, crashed
from prosa.core.relay import Row
from prosa.core.run import Claimant, End, Failure, RunState
from prosa.core.trail import What
from prosa.core.work import Held


def _held_by_dead() -> ColumnElement[bool]:
    since = NowPlus(-bindparam("lease", type_=Float))
    alive = select(workers.c.name).where(workers.c.name == runs.c.worker, workers.c.alive_at > since)
    return (runs.c.worker != bindparam("by", type_=Text)) & or_(bindparam("lease", type_=Float) <= 0, ~alive.exists())


HELD_BY_DEAD: Final = _held_by_dead()
"""The run belongs to another worker than ``by`` whose heartbeat is older than ``lease`` seconds; 0: to any other."""


class Terms(msgspec.Struct, frozen=True):
    """Under which a run is claimed: see ports.Runs.claim."""

    lease_seconds: float
    continues: Collection[str]
    limits: Limits


class Wanted(msgspec.Struct, frozen=True):
    """One claim."""

    claimant: Claimant
    terms: Terms


def claims(tx: Connection, wanted: Sequence[Wanted]) -> list[Held | Row | None]:
    """See ports.Runs.claim; many at once. Their terms differ in nothing but the lease."""
    taken, ended = _taken_by_claim(tx, wanted)
    asked = [Question(run.id, run.chat_id, run.message_id) for run in taken.values()]
    turns = prompts(tx, asked) if asked else {}
    held: dict[int, Held | Row] = {claim: _held(run, turns[run.id]) for claim, run in taken.items()}
    held |= ended
    return [held.get(one.claimant.claim) for one in wanted]


def _taken_by_claim(tx: Connection, wanted: Sequence[Wanted]) -> tuple[dict[int, Record], dict[int, Row]]:
    """What is taken, and what was ended instead.

    In the order of the runs' ids: two workers that take over the same runs would wait for each other else.
    """
    in_order = sorted(wanted, key=lambda one: one.claimant.run)
    taken: dict[int, Record] = {run.claim: run for run in _take_queued(tx, in_order)}
    ended: dict[int, Row] = {}
    for one in in_order:
        claim = one.claimant.claim
        found = None if claim in taken else _otherwise(tx, one)
        if isinstance(found, Row):
            ended[claim] = found
        elif found is not None:
            taken[claim] = found
    return taken, ended


def _take_queued(tx: Connection, wanted: Sequence[Wanted]) -> list[Record]:
    values = [{"run": one.claimant.run, "own": one.claimant.claim, "by": one.claimant.worker} for one in wanted]
    return list(with_rows(tx, _taking_queued, values, **_given(wanted[0].terms)))


def _otherwise(tx: Connection, one: Wanted) -> Record | Row | None:
    """A run that is not queued: ours already, a dead worker's (a Row: it is over now), or not to be had."""
    claimant = one.claimant
    found = _found(tx, claimant, one.terms.lease_seconds)
    if found is None or found.state != RunState.RUNNING:
        return None
    if found.claim == claimant.claim and found.worker == claimant.worker:
        # The first try had worked, and its answer was lost.
        return tx.execute(_taken, {"run": claimant.run}).one()
    return _take_over(tx, claimant, found, one.terms) if found.dead else None


def _found(tx: Connection, claimant: Claimant, lease_seconds: float) -> Record | None:
    return tx.execute(_finding, {"run": claimant.run, "by": claimant.worker, "lease": lease_seconds}).first()


def _take_over(tx: Connection, claimant: Claimant, found: Record, terms: Terms) -> Record | Row | None:
    """One more worker died on the run. Two that notice it at once: the second finds another claim."""
    crashes, failed = crashed(Crashes(found.crashes_row, found.crashes_total))
    if failed is None:
        counts = {"before": found.claim, "lost_by": found.worker, "in_row": crashes.row, "in_all": crashes.total}
        return _take(tx, claimant, terms, **counts)
    # Rows of other runs are held here already, so nobody's user is waited for: the next sweep meets the run again.
    if not lock_user(tx, found.user_id, skip_locked=True):
        return None
    run = lock_run(tx, runs.c.id == claimant.run, is_in(RunState.RUNNING), runs.c.claim == found.claim)
    if run is None:
        return None
    end_locked(tx, run, End(RunState.FAILED, failure=Failure.of(failed)))
    promote_user(tx, found.user_id, terms.limits, told=False)
    return read_row(tx, claimant.run)


def _take(tx: Connection, claimant: Claimant, terms: Terms, **given: object) -> Record | None:
    """The run under its new claim; None where another was faster."""
    own = {"run": claimant.run, "own": claimant.claim, "by": claimant.worker}
    return tx.execute(_taking_running, own | _given(terms) | given).first()


def _given(terms: Terms) -> dict[str, object]:
    return {"continues": list(terms.continues), "seconds": terms.limits.run_seconds}


def _held(run: Record, turns: tuple[Turn, ...]) -> Held:
    left = (run.end_by - run.now).total_seconds()
    queued = (run.now - run.queued_at).total_seconds() if run.queued_at else 0.0
    return Held(row_of(run), turns, run.stop_requested, left, max(queued, 0.0), run.lost_by)


# A run that runs has its text in ``saved``: its message is empty until the end.
_COLUMNS: Final = (
    *run_columns,
    runs.c.saved.label("text"),
    runs.c.message_id,
    runs.c.stop_requested,
    runs.c.end_by,
    runs.c.queued_at,
    Now().label("now"),
)
_finding: Final = select(
    runs.c.user_id,
    runs.c.state,
    runs.c.claim,
    runs.c.worker,
    runs.c.crashes_row,
    runs.c.crashes_total,
    HELD_BY_DEAD.label("dead"),
).where(runs.c.id == bindparam("run"))
_NOBODY: Final = null().label("lost_by")
_taken: Final = select(*_COLUMNS, _NOBODY).where(runs.c.id == bindparam("run"))


def _changes(what: What, own: ColumnElement[int], by: ColumnElement[str]) -> dict[str, object]:
    """What a claim changes. An engine that cannot continue takes the saved text back (L4)."""
    continues = runs.c.model.in_(bindparam("continues", expanding=True))
    return {
        "state": RunState.RUNNING,
        "attempt": runs.c.attempt + 1,
        "claim": own,
        "worker": by,
        "saved": case((continues, runs.c.saved), else_=""),
        "started_at": func.coalesce(runs.c.started_at, Now()),
        "end_by": func.coalesce(runs.c.end_by, NowPlus(bindparam("seconds", type_=Float))),
        "trail": noted(what, runs.c.attempt + 1, by),
    }


_taking_running: Final = (
    update(runs)
    .where(runs.c.id == bindparam("run"), is_in(RunState.RUNNING), runs.c.claim == bindparam("before"))
    .values(_changes(What.TAKEN_OVER, bindparam("own", type_=BigInteger), bindparam("by", type_=Text)))
    .values(crashes_row=bindparam("in_row"), crashes_total=bindparam("in_all"))
    .returning(*_COLUMNS, cast(bindparam("lost_by"), Text).label("lost_by"))
)


@cache
def _taking_queued(dialect: str) -> ReturningUpdate[Any]:
    wanted = given(dialect, column("run", Id()), column("own", BigInteger), column("by", Text))
    query = update(runs).where(runs.c.id == wanted.c.run, is_in(RunState.QUEUED))
    return query.values(_changes(What.CLAIMED, wanted.c.own, wanted.c.by)).returning(*_COLUMNS, _NOBODY)
