"""Lists of runs for administrators: keyset pages that cost the same among a thousand runs and among ten million.

Every list walks one index from its newest entry, and looks at ``SCAN`` runs at most: the filters that the index does
not know are asked of those. A page that found less than it may hold says where the walk stopped, and the next one goes
on. Ids sort by time, so the primary key is the list of all runs; chats, users, codes and ends have indexes with the
newest first; those without an end are few enough to be sorted.

PostgreSQL's planner is left no choice: a bound from below instead of an equality keeps it from going through all runs
by their ids in the hope that one of the kind will come soon.
"""

from collections.abc import Sequence
from typing import Annotated, Any, Final
from uuid import UUID

import msgspec
from sqlalchemy import ColumnElement, Connection, Select, Subquery, func, literal, literal_column, select, tuple_

from prosa.adapters.sql.accounts import folded
from prosa.adapters.sql.columns import Id
from prosa.adapters.sql.pages import cursor_of, read_cursor
from prosa.adapters.sql.rows import Record, is_in
from prosa.adapters.sql.tables import name_key, runs, users
from prosa.core.operations import Listed, Listing, Wanted
from prosa.core.run import RunState

SCAN: Final = 10_000
"""Runs that one page looks at, at most."""
FEW: Final = 20_000
"""So many unfinished runs are sorted; where there are more, they are most of the newest anyway."""
_ALL: Final = UUID(int=2**128 - 1)

LISTED: Final = (
    runs.c.id,
    runs.c.chat_id,
    runs.c.user_id,
    runs.c.ordinal,
    runs.c.state,
    runs.c.finish,
    runs.c.error_code,
    runs.c.model,
    runs.c.pool,
    runs.c.worker,
    runs.c.attempt,
    runs.c.crashes_total,
    runs.c.created_at,
    runs.c.queued_at,
    runs.c.started_at,
    runs.c.ended_at,
)
_BROKEN: Final = (RunState.FAILED, RunState.STOPPED)
# How an index of the unfinished is walked, which keeps the planner to it.
_BY_INDEX: Final = {
    RunState.WAITING: (runs.c.user_id, runs.c.created_at, runs.c.id),
    RunState.QUEUED: (runs.c.pool, runs.c.queued_at, runs.c.id),
    RunState.RUNNING: (runs.c.worker,),
}


class _Place(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """Where a page ended. Within a chat its ordinal counts, which no other list needs."""

    run: UUID
    ordinal: Annotated[int, msgspec.Meta(ge=0, le=2**31 - 1)]


_TOP: Final = _Place(_ALL, 2**31 - 1)


class _Walk:
    """An index from its newest entry behind ``place``: those entries whose ``lead`` is ``value``, by ``last``."""

    def __init__(
        self,
        place: _Place,
        last: ColumnElement[Any] = runs.c.id,
        lead: ColumnElement[Any] | None = None,
        value: object = None,
        where: Sequence[ColumnElement[bool]] = (),
    ) -> None:
        bound = literal(place.ordinal) if last is runs.c.ordinal else literal(place.run, Id())
        if lead is None:
            query = select(*LISTED).where(last < bound, *where).order_by(last.desc())
        else:
            given = literal(value, lead.type)
            behind = tuple_(lead, last) < tuple_(given, bound)
            query = select(*LISTED).where(behind, lead >= given, *where).order_by(lead.desc(), last.desc())
        self._order = (last,) if lead is None else (lead, last)
        self._query = query

    def found(self, tx: Connection, wanted: Wanted, limit: int) -> list[Record]:
        walked = self._query.limit(_number(SCAN)).subquery()
        order = (walked.c[column.name].desc() for column in self._order)
        fitting = select(walked).where(*_filters(walked, wanted)).order_by(*order)
        return list(tx.execute(fitting.limit(_number(limit))))

    def stopped(self, tx: Connection) -> _Place | None:
        """The last run that was looked at; None where there was no more."""
        last = self._query.with_only_columns(runs.c.id, runs.c.ordinal).offset(_number(SCAN - 1)).limit(_number(1))
        found = tx.execute(last).first()
        return None if found is None else _Place(found.id, found.ordinal)


def listing(tx: Connection, wanted: Wanted, cursor: str | None, limit: int) -> Listing:
    """See ports.Operations.listing."""
    place = _TOP if cursor is None else read_cursor(cursor, _Place)
    if wanted.user is not None:
        user = _user(tx, wanted.user)
        if user is None:
            return Listing((), None)
        wanted = msgspec.structs.replace(wanted, user=str(user))
    few, walk = _sources(tx, wanted, place)
    found = [] if few is None else _sorted(tx, few, wanted, place, limit + 1)
    walked = [] if walk is None else walk.found(tx, wanted, limit + 1)
    stop = walk.stopped(tx) if walk is not None and len(walked) <= limit else None
    return _page(tx, _merged(found, walked, stop), stop, limit)


def _sources(tx: Connection, wanted: Wanted, place: _Place) -> tuple[Select[*tuple[Any, ...]] | None, _Walk | None]:
    """Unfinished runs to be sorted, and the index to walk; the most telling filter decides."""
    if wanted.run is not None:
        return select(*LISTED).where(runs.c.id == wanted.run), None
    if wanted.chat is not None:
        return None, _Walk(place, runs.c.ordinal, runs.c.chat_id, wanted.chat)
    if wanted.code is not None:
        return None, _Walk(place, lead=runs.c.error_code, value=wanted.code)
    state = wanted.state
    if wanted.user is not None:
        user = UUID(wanted.user)
        unfinished = select(*LISTED).where(runs.c.user_id == user, runs.c.ended_at.is_(None)).limit(_number(FEW))
        ended = _Walk(place, lead=runs.c.user_id, value=user, where=(runs.c.ended_at.is_not(None),))
        return (None if state and state.ended else unfinished), (ended if state is None or state.ended else None)
    if state in _BROKEN:
        return None, _Walk(place, lead=runs.c.state, value=state, where=(is_in(*_BROKEN),))
    if state in _BY_INDEX and _few(tx, state):
        return _unfinished(state), None
    return None, _Walk(place)


def _few(tx: Connection, state: RunState) -> bool:
    some = _unfinished(state).with_only_columns(runs.c.id).limit(_number(FEW + 1)).subquery()
    return tx.execute(select(func.count()).select_from(some)).scalar_one() <= FEW


def _unfinished(state: RunState) -> Select[*tuple[Any, ...]]:
    return select(*LISTED).where(is_in(state)).order_by(*_BY_INDEX[state]).limit(_number(FEW))


def _sorted(tx: Connection, few: Select[*tuple[Any, ...]], wanted: Wanted, place: _Place, limit: int) -> list[Record]:
    found = few.subquery()
    query = select(found).where(found.c.id < place.run, *_filters(found, wanted)).order_by(found.c.id.desc())
    return list(tx.execute(query.limit(_number(limit))))


def _filters(found: Subquery, wanted: Wanted) -> list[ColumnElement[bool]]:
    given = {
        found.c.id: wanted.run,
        found.c.chat_id: wanted.chat,
        found.c.user_id: None if wanted.user is None else UUID(wanted.user),
        found.c.state: wanted.state,
        found.c.model: wanted.model,
        found.c.worker: wanted.worker,
        found.c.error_code: wanted.code,
    }
    return [column == value for column, value in given.items() if value is not None]


def _merged(found: list[Record], walked: list[Record], stop: _Place | None) -> list[Record]:
    """What is older than where the walk stopped belongs to a later page."""
    here = [run for run in found if stop is None or run.id >= stop.run]
    return sorted((*here, *walked), key=lambda run: run.id, reverse=True) if here else walked


def _page(tx: Connection, found: list[Record], stop: _Place | None, limit: int) -> Listing:
    shown = found[:limit]
    if len(found) > limit:
        stop = _Place(shown[-1].id, shown[-1].ordinal)
    names = usernames(tx, shown)
    items = tuple(listed(run, names[run.user_id]) for run in shown)
    return Listing(items, None if stop is None else cursor_of(stop.run, stop.ordinal))


def _user(tx: Connection, given: str) -> UUID | None:
    """By id, or by name."""
    try:
        return UUID(given)
    except ValueError:
        found: UUID | None = tx.execute(select(users.c.id).where(name_key == folded(given))).scalar()
        return found


def usernames(tx: Connection, found: Sequence[Record]) -> dict[UUID, str]:
    ids = {run.user_id for run in found}
    named = tx.execute(select(users.c.id, users.c.username).where(users.c.id.in_(ids))) if ids else ()
    return {user.id: user.username for user in named}


def listed(run: Record, username: str) -> Listed:
    return Listed(
        id=run.id,
        chat=run.chat_id,
        user=run.user_id,
        username=username,
        state=RunState(run.state),
        finish=run.finish,
        code=run.error_code,
        model=run.model,
        pool=run.pool,
        worker=run.worker,
        attempt=run.attempt,
        crashes=run.crashes_total,
        created_at=run.created_at,
        queued_at=run.queued_at,
        started_at=run.started_at,
        ended_at=run.ended_at,
    )


def _number(value: int) -> ColumnElement[int]:
    """As a literal: of a parameter the planner knows nothing, and thinks of a tenth of the table."""
    return literal_column(str(value))
