"""Where a run stands in line, and how long that may take: estimates, for people who wait."""

from collections.abc import Sequence
from functools import cache
from typing import Any, Final
from uuid import UUID

from sqlalchemy import ColumnElement, Connection, Select, case, column, func, or_, select, tuple_

from prosa.adapters.sql.columns import Id, NowPlus
from prosa.adapters.sql.given import given, with_rows
from prosa.adapters.sql.rows import is_in
from prosa.adapters.sql.tables import runs, workers
from prosa.core.operations import LOST_SECONDS
from prosa.core.policy import eta
from prosa.core.relay import Place
from prosa.core.run import RunState

_SAMPLE: Final = 20
"""Runs whose time is averaged."""


def _position() -> ColumnElement[int]:
    """A queued run's place in its pool; a waiting one comes behind the pool and its user's earlier ones."""
    ahead = runs.alias("ahead")
    waits = is_in(RunState.WAITING)
    count = select(func.count()).select_from(ahead)
    older = tuple_(ahead.c.queued_at, ahead.c.id) < tuple_(runs.c.queued_at, runs.c.id)
    in_pool = count.where(ahead.c.pool == runs.c.pool, is_in(RunState.QUEUED, of=ahead), or_(waits, older))
    earlier = tuple_(ahead.c.created_at, ahead.c.id) < tuple_(runs.c.created_at, runs.c.id)
    of_user = count.where(ahead.c.user_id == runs.c.user_id, is_in(RunState.WAITING, of=ahead), earlier)
    queue = in_pool.correlate(runs).scalar_subquery()
    return case(
        (waits, queue + of_user.correlate(runs).scalar_subquery() + 1), (is_in(RunState.QUEUED), queue + 1), else_=0
    )


_POSITION: Final = _position()


@cache
def _positions(dialect: str) -> Select[*tuple[Any, ...]]:
    asked = given(dialect, column("run", Id()))
    return select(runs.c.id, _POSITION.label("position")).join_from(asked, runs, runs.c.id == asked.c.run)


def positions(tx: Connection, asked: Sequence[UUID]) -> dict[UUID, int]:
    """1 for the next in line, 0 for a run that runs or is over."""
    found = with_rows(tx, _positions, [{"run": run} for run in asked])
    return {run.id: run.position for run in found}


def places(tx: Connection, asked: Sequence[UUID]) -> list[Place]:
    """The places of those that wait."""
    waits = is_in(RunState.WAITING, RunState.QUEUED)
    query = select(runs.c.id, runs.c.pool, _POSITION.label("position")).where(runs.c.id.in_(asked), waits)
    found = tx.execute(query).all()
    if not found:
        return []
    slots = _slots(tx)
    usual = {pool: _usual_seconds(tx, pool) for pool in {run.pool for run in found}}
    return [Place(run.id, run.position, eta(run.position, slots, usual[run.pool])) for run in found]


def _slots(tx: Connection) -> int:
    alive = (workers.c.alive_at > NowPlus(-LOST_SECONDS), workers.c.draining.is_(False))
    slots: int | None = tx.execute(select(func.sum(workers.c.slots)).where(*alive)).scalar()
    return slots or 0


def _usual_seconds(tx: Connection, pool: str) -> float | None:
    """How long the pool's last whole answers took; None where there are none."""
    query = select(runs.c.started_at, runs.c.ended_at).where(runs.c.pool == pool, is_in(RunState.DONE))
    last = tx.execute(query.order_by(runs.c.ended_at.desc()).limit(_SAMPLE)).all()
    times = [(run.ended_at - run.started_at).total_seconds() for run in last]
    return sum(times) / len(times) if times else None
