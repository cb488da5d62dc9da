"""The census: how many runs of each state, since when, and which workers; one statement, served by partial indexes."""

from datetime import datetime
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Float, Integer, Select, and_, bindparam, func, literal, null, select
from sqlalchemy import union_all as together

from prosa.adapters.sql.columns import Moment, Now, NowPlus
from prosa.adapters.sql.rows import is_in
from prosa.adapters.sql.tables import runs, workers
from prosa.core.operations import MISSED_SECONDS
from prosa.core.run import RunState
from prosa.core.work import Census

_since: Final = {
    RunState.WAITING: runs.c.created_at,
    RunState.QUEUED: runs.c.queued_at,
    RunState.RUNNING: runs.c.started_at,
}
"""Since when a run is in its state; a running one since its first claim."""
_alive: Final = workers.c.alive_at > NowPlus(-bindparam("lease", type_=Float))
_standing: Final = {
    "alive": and_(_alive, ~workers.c.draining),
    "draining": and_(_alive, workers.c.draining),
    # Who was told to end, and ended, is no loss; and nobody is missed for ever.
    "silent": and_(~_alive, ~workers.c.draining, workers.c.alive_at > NowPlus(-MISSED_SECONDS)),
}


def census(tx: Connection, lease_seconds: float) -> Census:
    """See ports.Reads.census."""
    found = {record.what: record for record in tx.execute(_census, {"lease": lease_seconds})}
    return Census(
        runs={state: found[state.value].number for state in _since},
        oldest_seconds={state: _age(found[state.value].since, found[state.value].now) for state in _since},
        workers={standing: found[standing].number for standing in _standing},
    )


def _age(since: datetime | None, now: datetime) -> float:
    return max((now - since).total_seconds(), 0.0) if since else 0.0


def _part(what: str, since: ColumnElement[Any], condition: ColumnElement[bool]) -> Select[*tuple[Any, ...]]:
    columns = (literal(what).label("what"), func.count(type_=Integer).label("number"), since.label("since"))
    return select(*columns, Now().label("now")).where(condition)


_census: Final = together(
    *(
        _part(state.value, func.min(since, type_=Moment()), is_in(state)).select_from(runs)
        for state, since in _since.items()
    ),
    *(_part(name, null().cast(Moment()), condition).select_from(workers) for name, condition in _standing.items()),
)
