"""How the installation stands: processes, queues and the rates of the last minute, at a cost that has a bound.

Whatever the size of the table: counts stop at ``MOST``, and rates come from the newest runs. Moments are asked of the
database first and given to the statements: an index can be searched for a value, and not for a clock.
"""

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any, Final

import msgspec
from sqlalchemy import ColumnElement, Connection, Select, Text, bindparam, func, literal_column, select

from prosa.adapters.sql.columns import Moment, Now
from prosa.adapters.sql.rows import Record, is_in
from prosa.adapters.sql.tables import gateways, runs, workers
from prosa.core.operations import MISSED_SECONDS, Gateway, Line, Rates, Standing, Worker, percentile
from prosa.core.run import RunState

WINDOW_SECONDS: Final = 60.0
MOST: Final = 100_000
"""More runs in one state, or in one queue, are not counted."""
MOST_RUNNING: Final = 20_000
NEWEST: Final = 3_000
"""Runs that the rate of accepts is taken from."""
SAMPLE: Final = 500
"""Answers of a pool that rates and times are taken from."""
PROCESSES: Final = 1_000


def standing(tx: Connection, pools: Collection[str]) -> Standing:
    """See ports.Operations.standing."""
    now = tx.execute(select(Now())).scalar_one()
    there = tuple(one for one in (_worker(record, now) for record in tx.execute(_workers)) if _shown(one))
    served = sorted({*pools, *(pool for worker in there for pool in worker.pools)})
    return Standing(
        now=now,
        counts={state: tx.execute(query).scalar_one() for state, query in _counting.items()},
        lines=tuple(_lines(tx, served, now)),
        gateways=tuple(one for one in (_gateway(record, now) for record in tx.execute(_gateways)) if _shown(one)),
        workers=there,
        rates=_rates(tx, served, now),
    )


def _shown(process: Worker | Gateway) -> bool:
    """Not who drained and is gone, as it should be; and not for ever who just vanished."""
    return process.alive or (not process.draining and process.alive_seconds < MISSED_SECONDS)


def _lines(tx: Connection, pools: Iterable[str], now: datetime) -> Iterable[Line]:
    running = {one.pool: one.number for one in tx.execute(_running)}
    for pool in pools:
        queue = tx.execute(_queue, {"pool": pool}).one()
        # Who was queued since the moment was asked for has waited for no time.
        oldest = None if queue.oldest is None else _between(queue.oldest, now)
        yield Line(pool, queue.number, running.get(pool, 0), oldest)


def _rates(tx: Connection, pools: Iterable[str], now: datetime) -> Rates:
    since = {"since": now - timedelta(seconds=WINDOW_SECONDS)}
    accepted, failed = (tx.execute(query, since).one() for query in (_accepted, _failed))
    answered, first, whole = 0.0, list[float](), list[float]()
    for pool in pools:
        done = tx.execute(_answered, {"pool": pool, **since}).all()
        answered += _rate(len(done), SAMPLE, done[-1].ended_at if done else None, now)
        first += [_between(run.queued_at, run.first_text_at) for run in done if run.first_text_at and run.queued_at]
        whole += [_between(run.started_at, run.ended_at) for run in done if run.started_at]
    return Rates(
        accepted_per_second=_rate(accepted.number, NEWEST, accepted.oldest, now),
        answered_per_second=round(answered, 3),
        failed_per_second=_rate(failed.number, NEWEST, failed.oldest, now),
        first_token_p50_seconds=percentile(first, 0.5),
        first_token_p95_seconds=percentile(first, 0.95),
        run_p50_seconds=percentile(whole, 0.5),
        run_p95_seconds=percentile(whole, 0.95),
    )


def _rate(number: int, most: int, oldest: datetime | None, now: datetime) -> float:
    """Of so many in the window; where more were not looked at, of the time that these span."""
    full = number >= most and oldest is not None
    seconds = max(_between(oldest, now), 0.001) if full and oldest is not None else WINDOW_SECONDS
    return round(number / seconds, 3)


def _between(begin: datetime, end: datetime) -> float:
    return max((end - begin).total_seconds(), 0.0)


def _worker(record: Record, now: datetime) -> Worker:
    return Worker(
        name=record.name,
        host=record.host or "",
        version=record.version or "",
        started_at=record.started_at,
        alive_seconds=_between(record.alive_at, now),
        slots=record.slots,
        slots_used=record.slots_used or 0,
        pools=_pools(record.pools),
        draining=record.draining,
        drain_wanted=record.drain_wanted,
    )


def _pools(written: str | None) -> Mapping[str, int]:
    try:
        return msgspec.json.decode(written or "{}", type=dict[str, int])
    except msgspec.MsgspecError:
        return {}


def _gateway(record: Record, now: datetime) -> Gateway:
    return Gateway(
        name=record.name,
        host=record.host,
        version=record.version,
        started_at=record.started_at,
        alive_seconds=_between(record.alive_at, now),
        sockets=record.sockets,
        watched=record.watched,
        draining=record.draining,
    )


# ── statements ───────────────────────────────────────────────────────────────────────────────────────────────


def _most(value: int) -> ColumnElement[int]:
    return literal_column(str(value))


def _counted(state: RunState) -> Select[*tuple[Any, ...]]:
    some = select(literal_column("1").label("one")).select_from(runs).where(is_in(state)).limit(_most(MOST)).subquery()
    return select(func.count()).select_from(some)


def _count_and_oldest(some: Select[*tuple[Any, ...]], moment: str) -> Select[*tuple[Any, ...]]:
    found = some.subquery()
    oldest = func.min(found.c[moment], type_=Moment())
    return select(func.count().label("number"), oldest.label("oldest")).select_from(found)


def _newest() -> Select[*tuple[Any, ...]]:
    """By their ids, which sort by time."""
    newest = select(runs.c.created_at).order_by(runs.c.id.desc()).limit(_most(NEWEST)).subquery()
    return select(newest.c.created_at).where(newest.c.created_at > _since)


def _running_by_pool() -> Select[*tuple[Any, ...]]:
    held = select(runs.c.pool).where(is_in(RunState.RUNNING)).order_by(runs.c.worker)
    some = held.limit(_most(MOST_RUNNING)).subquery()
    return select(some.c.pool, func.count().label("number")).group_by(some.c.pool)


_since: Final = bindparam("since", type_=Moment())
_counting: Final = {state: _counted(state) for state in RunState if not state.ended}
_workers: Final = select(workers).order_by(workers.c.name).limit(_most(PROCESSES))
_gateways: Final = select(gateways).order_by(gateways.c.name).limit(_most(PROCESSES))
_running: Final = _running_by_pool()
_of_pool: Final = runs.c.pool == bindparam("pool", type_=Text)
_queue: Final = _count_and_oldest(
    select(runs.c.queued_at).where(_of_pool, is_in(RunState.QUEUED)).order_by(runs.c.queued_at).limit(_most(MOST)),
    "queued_at",
)
_accepted: Final = _count_and_oldest(_newest(), "created_at")
_failed: Final = _count_and_oldest(
    select(runs.c.ended_at)
    .where(is_in(RunState.FAILED), runs.c.ended_at > _since)
    .order_by(runs.c.ended_at.desc())
    .limit(_most(NEWEST)),
    "ended_at",
)
_answered: Final = (
    select(runs.c.queued_at, runs.c.started_at, runs.c.first_text_at, runs.c.ended_at)
    .where(_of_pool, is_in(RunState.DONE), runs.c.ended_at > _since)
    .order_by(runs.c.ended_at.desc())
    .limit(_most(SAMPLE))
)
