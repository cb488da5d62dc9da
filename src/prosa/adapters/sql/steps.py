"""The steps that several transactions share: lock a user, end a run, promote what may go.

Order of locks: the user's row, then runs. Nobody who holds a run's row waits for a user's.
"""

from datetime import timedelta
from functools import cache
from typing import Any, Final
from uuid import UUID

from sqlalchemy import ColumnElement, Connection, Integer, Select, Update, bindparam, column, func, select, update
from sqlalchemy.sql.dml import ReturningUpdate

from prosa.adapters.sql.columns import Id, Now, NowPlus
from prosa.adapters.sql.given import given
from prosa.adapters.sql.rows import Record, is_in, jobs, unfinished
from prosa.adapters.sql.tables import chats, messages, runs, users
from prosa.core.events import Job
from prosa.core.policy import Limits
from prosa.core.run import LIVE, End, Finish, RunState

STOPPED: Final = End(RunState.STOPPED, Finish.STOPPED)

# What every transaction needs is built once: SQLAlchemy takes longer to put a statement together than to run it.
_one_user: Final = select(users.c.id).where(users.c.id == bindparam("user"))
_user: Final = _one_user.with_for_update(key_share=True)
_try_user: Final = _one_user.with_for_update(key_share=True, skip_locked=True)
END: Final = (
    "state",
    "finish",
    "prompt_tokens",
    "completion_tokens",
    "error_code",
    "error_message",
    "error_retryable",
)
_write_reply: Final = (
    update(messages)
    .where(messages.c.chat_id == bindparam("chat"), messages.c.id == bindparam("reply"))
    .values(text=bindparam("written"))
)
_touch: Final = update(chats).where(chats.c.id == bindparam("chat")).values(updated_at=Now())


def _first_in_chat() -> ColumnElement[bool]:
    """The run has no unfinished one before it in its chat (L5)."""
    before = runs.alias("before")
    same = before.c.chat_id == runs.c.chat_id
    return (
        ~select(before.c.id)
        .where(same, before.c.user_id == runs.c.user_id, before.c.ordinal < runs.c.ordinal, before.c.ended_at.is_(None))
        .exists()
    )


def _waiting_of_user() -> Select[Any]:
    """The user's oldest waiting runs that are first in an idle chat, each with the number of the user's live ones."""
    others = runs.alias("others")
    same = (others.c.user_id == runs.c.user_id, others.c.ended_at.is_(None), is_in(*sorted(LIVE), of=others))
    count = select(func.count()).select_from(others).where(*same).scalar_subquery()
    query = select(runs.c.id, runs.c.pool, count.label("live"))
    waiting = query.where(runs.c.user_id == bindparam("user"), is_in(RunState.WAITING), FIRST_IN_CHAT)
    return waiting.order_by(runs.c.created_at, runs.c.id).limit(bindparam("limit", type_=Integer))


FIRST_IN_CHAT: Final = _first_in_chat()
_waiting: Final = _waiting_of_user()


def lock_user(tx: Connection, user: UUID, *, skip_locked: bool = False) -> bool:
    """FOR NO KEY UPDATE, so that rows may go on referring to the user. SQLite's transaction has locked all already.

    False: there is no such user, or (``skip_locked``) another transaction works on it.
    """
    return tx.execute(_try_user if skip_locked else _user, {"user": user}).first() is not None


def lock_run(tx: Connection, *conditions: ColumnElement[bool], skip_locked: bool = False) -> Record | None:
    """The run's row as it is now, held still: its worker's writes wait."""
    columns = (runs.c.id, runs.c.user_id, runs.c.state, runs.c.attempt, runs.c.claim, runs.c.worker, runs.c.saved)
    counts = (runs.c.crashes_row, runs.c.crashes_total)
    query = select(*columns, *counts).where(*conditions)
    return tx.execute(query.with_for_update(key_share=True, skip_locked=skip_locked)).first()


def ending(*fence: ColumnElement[bool], **changes: object) -> ReturningUpdate[Any]:
    """The statement that ends a run which has no end, where the fence lets it (``end_run``)."""
    values = {name: bindparam(f"end_{name}", type_=runs.c[name].type) for name in END}
    query = update(runs).where(runs.c.id == bindparam("run"), unfinished, *fence)
    return query.values(values | {"ended_at": Now(), "saved": ""} | changes).returning(runs.c.chat_id, runs.c.reply_id)


def end_run(tx: Connection, statement: ReturningUpdate[Any], run: UUID, end: End, text: str, **given: object) -> bool:
    """End a run and move its text into the reply. False: the statement's fence held, nothing was changed."""
    changed = tx.execute(statement, {"run": run, **end_values(end), **given}).first()
    if changed is None:
        return False
    tx.execute(_write_reply, {"chat": changed.chat_id, "reply": changed.reply_id, "written": text})
    tx.execute(_touch, {"chat": changed.chat_id})
    return True


def end_values(end: End) -> dict[str, object]:
    """The parameters of an end, by the columns' names behind ``end_``."""
    failure = end.failure
    return {
        "end_state": end.state,
        "end_finish": end.finish,
        "end_prompt_tokens": end.usage.prompt_tokens,
        "end_completion_tokens": end.usage.completion_tokens,
        "end_error_code": failure and failure.code,
        "end_error_message": failure and failure.message,
        "end_error_retryable": failure and failure.retryable,
    }


def end_locked(tx: Connection, run: Record, end: End) -> None:
    """End a locked run with what is saved of it, over its owner's head.

    A running one gets a higher attempt: its reader may have seen text that was not saved (L4). Its claim goes,
    or its owner would take the end for its own.
    """
    attempt = run.attempt + (run.state == RunState.RUNNING)
    end_run(tx, _end_locked, run.id, end, run.saved, raised=attempt)


@cache
def touching(dialect: str) -> Update:
    """These chats changed now."""
    touched = given(dialect, column("chat", Id()))
    return update(chats).where(chats.c.id == touched.c.chat).values(updated_at=Now())


def promote_user(
    tx: Connection, user: UUID, limits: Limits, *, told: bool = True, room: int | None = None
) -> tuple[Job, ...]:
    """Queue the locked user's oldest waiting runs that are first in an idle chat, while the user is below N.

    ``told``: the caller hands the jobs to somebody who dispatches them; otherwise the next sweep does.
    ``room``: at most so many.
    """
    waiting = tx.execute(_waiting, {"user": user, "limit": limits.user_runs if room is None else room}).all()
    free = limits.user_runs - waiting[0].live if waiting else 0
    found = waiting[: max(free, 0)]
    if found:
        ready = update(runs).where(runs.c.id.in_([run.id for run in found]), is_in(RunState.WAITING))
        tx.execute(ready.values(queued(runs.c.start_seconds, told=told)))
    return jobs(found)


def queued(start_seconds: float | ColumnElement[float], *, told: bool = True) -> dict[str, object]:
    """The values of a run that becomes queued now: its time to start counts from here."""
    return {
        "state": RunState.QUEUED,
        "queued_at": Now(),
        "start_by": NowPlus(start_seconds),
        "dispatches": int(told),
        "dispatched_at": Now() if told else None,
    }


_end_locked: Final = ending(attempt=bindparam("raised"), claim=None, worker=None)


def postpone(tx: Connection, by: timedelta) -> None:
    """Move the deadlines of all runs that have no end."""
    waiting = select(runs.c.id, runs.c.start_by, runs.c.end_by).where(runs.c.ended_at.is_(None))
    moved = [
        {"run": run.id, "start": run.start_by and run.start_by + by, "end": run.end_by and run.end_by + by}
        for run in tx.execute(waiting)
    ]
    if moved:
        query = update(runs).where(runs.c.id == bindparam("run"))
        tx.execute(query.values(start_by=bindparam("start"), end_by=bindparam("end")), moved)
