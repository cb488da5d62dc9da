"""The statements of an accept (accept.py), put together once for each database."""

from functools import cache
from typing import Any, Final, TypeAlias

from sqlalchemy import (
    Float,
    FromClause,
    Integer,
    Label,
    Select,
    String,
    Text,
    and_,
    bindparam,
    case,
    column,
    func,
    insert,
    select,
    true,
)
from sqlalchemy.sql.dml import Insert, ReturningInsert

from prosa.adapters.sql.chats import DELETED
from prosa.adapters.sql.columns import Id
from prosa.adapters.sql.given import given
from prosa.adapters.sql.insertion import insert_for
from prosa.adapters.sql.rows import is_in
from prosa.adapters.sql.steps import queued
from prosa.adapters.sql.tables import chats, messages, runs, users
from prosa.core.chat import Role
from prosa.core.run import LIVE, RunState

Statement: TypeAlias = Select[*tuple[Any, ...]]

MESSAGES: Final = "new_messages"
RUNS: Final = "new_runs"


@cache
def locking(dialect: str) -> Statement:
    """The users that exist, locked in the order of their ids."""
    asked = given(dialect, column("user", Id()))
    query = select(users.c.id).join_from(asked, users, users.c.id == asked.c.user).order_by(users.c.id)
    return query.with_for_update(key_share=True, of=users)


_before: Final = (
    runs.c.id.label("run"),
    runs.c.chat_id,
    runs.c.message_id,
    runs.c.kind,
    runs.c.asked_parent,
    runs.c.asked_model,
    messages.c.text.label("question"),
)


@cache
def standing(dialect: str) -> Statement:
    """How things stand for each ask, now that its user is locked.

    What was asked before under the same id; the user's own chat, its newest reply, and whether the message or the
    reply that is named is there; how many unfinished runs there are, and how many are queued in the pool. In one
    statement: each costs a round trip.
    """
    names = ("user", "request", "chat", "message", "parent")
    asked = given(dialect, *(column(name, Id()) for name in names), column("pool", Text))
    same = and_(runs.c.user_id == asked.c.user, runs.c.request_id == asked.c.request)
    question = and_(messages.c.chat_id == runs.c.chat_id, messages.c.id == runs.c.message_id)
    own = and_(chats.c.id == asked.c.chat, chats.c.user_id == asked.c.user, chats.c.status != DELETED)
    columns = (asked.c.user, *_before, *_in_chat(asked), *_unfinished(asked))
    query = select(*columns).join_from(asked, runs, same, isouter=True)
    return query.join(messages, question, isouter=True).join(chats, own, isouter=True)


def _in_chat(asked: FromClause) -> tuple[Label[Any], ...]:
    theirs = messages.alias("theirs")
    here = theirs.c.chat_id == chats.c.id
    replies = select(theirs.c.id).where(here, theirs.c.role == Role.ASSISTANT)
    newest = replies.order_by(theirs.c.ordinal.desc()).limit(1).correlate(chats, asked)
    last = select(func.max(theirs.c.ordinal)).where(here).correlate(chats, asked)
    taken = select(theirs.c.id).where(here, theirs.c.id == asked.c.message).correlate(chats, asked)
    replied = replies.where(theirs.c.id == asked.c.parent).correlate(chats, asked)
    return (
        chats.c.id.label("own"),
        newest.scalar_subquery().label("newest"),
        last.scalar_subquery().label("last"),
        taken.exists().label("taken"),
        replied.exists().label("replied"),
    )


def _unfinished(asked: FromClause) -> tuple[Label[Any], ...]:
    """Of the user: those that are live, those that wait, and those of the chat. ``ahead``: anybody's in the queue."""
    mine = runs.alias("mine")
    count = select(func.count()).select_from(mine).where(mine.c.user_id == asked.c.user, mine.c.ended_at.is_(None))
    counts = {
        "live": is_in(*sorted(LIVE), of=mine),
        "waiting": is_in(RunState.WAITING, of=mine),
        "busy": mine.c.chat_id == asked.c.chat,
    }
    queue = select(func.count()).select_from(mine).where(mine.c.pool == asked.c.pool, is_in(RunState.QUEUED, of=mine))
    found = {name: count.where(one) for name, one in counts.items()} | {"ahead": queue}
    return tuple(one.correlate(asked).scalar_subquery().label(name) for name, one in found.items())


@cache
def beginning(dialect: str) -> ReturningInsert[Any]:
    """New chats; one whose id is taken is left out."""
    new = given(dialect, column("chat", Id()), column("user", Id()), column("title", Text))
    # SQLite would read ON CONFLICT as the ON of a join, were there no WHERE.
    values = select(new.c.chat, new.c.user, new.c.title).where(true())
    query = insert_for(dialect, chats).from_select(["id", "user_id", "title"], values)
    return query.on_conflict_do_nothing().returning(chats.c.id, chats.c.user_id)


@cache
def storing(dialect: str) -> tuple[Insert, ...]:
    """Messages (the rows ``MESSAGES``) and runs (``RUNS``): in one statement where the database can do that, for each
    costs a round trip."""
    of_messages, of_runs = _storing_messages(dialect), _storing_runs(dialect)
    if dialect == "postgresql":
        return (of_runs.add_cte(of_messages.cte("stored_messages")),)
    return of_messages, of_runs


def _storing_messages(dialect: str) -> Insert:
    ids = tuple(column(name, Id()) for name in ("chat", "id", "parent"))
    texts = (column("role", String), column("text", Text), column("ordinal", Integer))
    new = given(dialect, *ids, *texts, name=MESSAGES)
    names = ["chat_id", "id", "parent_id", "role", "text", "ordinal"]
    return insert(messages).from_select(names, select(*new.c))


def _storing_runs(dialect: str) -> Insert:
    """Runs that are queued or wait: a queued one's time to start counts from here."""
    names = ("id", "user_id", "chat_id", "request_id", "message_id", "reply_id", "asked_parent")
    texts = ("kind", "asked_model", "pool", "model", "state")
    numbers = (column("ordinal", Integer), column("start_seconds", Float))
    given_ids = (column(name, Id()) for name in names)
    new = given(dialect, *given_ids, *(column(name, Text) for name in texts), *numbers, name=RUNS)
    ready = new.c.state == RunState.QUEUED.value
    values = {name: value for name, value in queued(new.c.start_seconds).items() if name != "state"}
    dispatches = values.pop("dispatches")
    times = {name: case((ready, value)) for name, value in values.items()}
    counted = case((ready, dispatches), else_=0)
    columns = [*(named.name for named in new.c), *times, "dispatches"]
    return insert(runs).from_select(columns, select(*new.c, *times.values(), counted))


_mine: Final = and_(chats.c.id == runs.c.chat_id, chats.c.status != DELETED)
_others: Final = runs.alias("others")
_busy: Final = (
    select(func.count())
    .select_from(_others)
    .where(_others.c.chat_id == runs.c.chat_id, _others.c.user_id == runs.c.user_id, _others.c.ended_at.is_(None))
    .correlate(runs)
)
regenerated: Final = (
    select(runs.c.chat_id, runs.c.message_id, runs.c.ended_at, _busy.scalar_subquery().label("busy"))
    .join_from(runs, chats, _mine)
    .where(runs.c.reply_id == bindparam("reply"), runs.c.user_id == bindparam("user"))
)
last_ordinal: Final = select(func.max(messages.c.ordinal)).where(messages.c.chat_id == bindparam("chat"))
