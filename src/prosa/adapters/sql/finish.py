"""Finish: the one end of runs, each fenced by its claim, and what may go because of it (L2, L3, L5, L9)."""

from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any
from uuid import UUID

import msgspec
from sqlalchemy import (
    BigInteger,
    Connection,
    Float,
    Select,
    Text,
    Update,
    bindparam,
    column,
    select,
    update,
)
from sqlalchemy.sql.dml import ReturningUpdate

from prosa.adapters.sql.columns import Id, Now
from prosa.adapters.sql.given import given, with_rows
from prosa.adapters.sql.rows import Record, end_columns, end_of, is_in, unfinished
from prosa.adapters.sql.steps import END, end_values, promote_user, touching
from prosa.adapters.sql.tables import messages, runs, users
from prosa.adapters.sql.trail import first_text
from prosa.core.events import Job
from prosa.core.policy import Limits
from prosa.core.run import Claimant, End, RunState
from prosa.core.work import Committed


class Ending(msgspec.Struct, frozen=True):
    """One commit: see ports.Runs.finish."""

    claimant: Claimant
    text: str
    end: End
    limits: Limits
    spoke: float | None = None


def finish(tx: Connection, endings: Sequence[Ending]) -> list[Committed]:
    """See ports.Runs.finish; many at once. Users are locked in one order: two such never wait for each other."""
    by_run = [{"run": one.claimant.run} for one in endings]
    owners = {run.id: run.user_id for run in with_rows(tx, _locking_owners, by_run)}
    ended = {run.claim: run for run in _end(tx, endings)}
    promoted = _promoted(tx, {run.user_id for run in ended.values()}, endings[0].limits)
    return [
        Committed(mine=True, end=one.end, promoted=promoted.pop(owners[one.claimant.run], ()))
        if one.claimant.claim in ended
        else _outcome(tx, one.claimant)
        for one in endings
    ]


def _end(tx: Connection, endings: Sequence[Ending]) -> list[Record]:
    """End those whose fence lets it, and move their text into their replies. In the order of their ids, as claims."""
    endings = sorted(endings, key=lambda one: one.claimant.run)
    own = [{"run": one.claimant.run, "own": one.claimant.claim, "by": one.claimant.worker} for one in endings]
    values = [fence | end_values(one.end) | {"spoke": one.spoke} for fence, one in zip(own, endings, strict=True)]
    ended = list(with_rows(tx, _ending, values))
    if ended:
        texts = {one.claimant.claim: one.text for one in endings}
        written = [{"chat": run.chat_id, "reply": run.reply_id, "written": texts[run.claim]} for run in ended]
        with_rows(tx, _writing, written)
        with_rows(tx, touching, written)
    return ended


def _promoted(tx: Connection, owners: Iterable[UUID], limits: Limits) -> dict[UUID, tuple[Job, ...]]:
    """What may go now, by user; hardly anybody has something that waits."""
    asked = [{"user": user} for user in owners]
    waiting = with_rows(tx, _who_waits, asked).scalars().all() if asked else []
    return {user: promote_user(tx, user, limits) for user in waiting}


def _outcome(tx: Connection, claimant: Claimant) -> Committed:
    """Nothing was changed: the first try had worked, or the run is another's, or is gone."""
    query = select(runs.c.worker, runs.c.claim, *end_columns).where(runs.c.id == bindparam("run"))
    found = tx.execute(query, {"run": claimant.run}).first()
    if found is None:
        return Committed(mine=False, end=None)
    end = end_of(found)
    own = found.claim == claimant.claim and found.worker == claimant.worker
    return Committed(mine=own and end is not None, end=end)


# ── statements ───────────────────────────────────────────────────────────────────────────────────────────────


@cache
def _locking_owners(dialect: str) -> Select[*tuple[Any, ...]]:
    asked = given(dialect, column("run", Id()))
    query = select(runs.c.id, runs.c.user_id).join_from(asked, runs, runs.c.id == asked.c.run)
    owned = query.join(users, users.c.id == runs.c.user_id).order_by(users.c.id)
    return owned.with_for_update(key_share=True, of=users)


@cache
def _ending(dialect: str) -> ReturningUpdate[Any]:
    fence = (column("run", Id()), column("own", BigInteger), column("by", Text))
    named = (column(f"end_{name}", runs.c[name].type) for name in END)
    ends = given(dialect, *fence, *named, column("spoke", Float))
    owned = (runs.c.id == ends.c.run, runs.c.claim == ends.c.own, runs.c.worker == ends.c.by, is_in(RunState.RUNNING))
    values = {name: ends.c[f"end_{name}"] for name in END}
    more = {"ended_at": Now(), "saved": "", "first_text_at": first_text(ends.c.spoke)}
    query = update(runs).where(*owned, unfinished).values(values | more)
    return query.returning(runs.c.claim, runs.c.user_id, runs.c.chat_id, runs.c.reply_id)


@cache
def _writing(dialect: str) -> Update:
    replies = given(dialect, column("chat", Id()), column("reply", Id()), column("written", Text))
    same = (messages.c.chat_id == replies.c.chat, messages.c.id == replies.c.reply)
    return update(messages).where(*same).values(text=replies.c.written)


@cache
def _who_waits(dialect: str) -> Select[*tuple[Any, ...]]:
    asked = given(dialect, column("user", Id()))
    waits = (runs.c.user_id == asked.c.user, is_in(RunState.WAITING))
    return select(runs.c.user_id).join_from(asked, runs, waits[0]).where(waits[1]).distinct()
