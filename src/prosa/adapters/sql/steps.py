"""The steps that several transactions share: lock a user, end a run, promote what may go.

Order of locks: the user's row, then runs. Nobody who holds a run's row waits for a user's.
"""

from typing import Final
from uuid import UUID

from sqlalchemy import ColumnElement, Connection, bindparam, func, select, update

from prosa.adapters.sql.columns import Now, NowPlus
from prosa.adapters.sql.rows import Record, is_in, jobs, live, unfinished
from prosa.adapters.sql.tables import chats, messages, runs, users
from prosa.core.events import Job
from prosa.core.policy import Limits
from prosa.core.run import End, Finish, RunState

STOPPED: Final = End(RunState.STOPPED, Finish.STOPPED)

# What every transaction needs is built once: SQLAlchemy takes longer to put a statement together than to run it.
_one_user: Final = select(users.c.id).where(users.c.id == bindparam("user"))
_user: Final = _one_user.with_for_update(key_share=True)
_try_user: Final = _one_user.with_for_update(key_share=True, skip_locked=True)
_running: Final = select(func.count()).select_from(runs).where(runs.c.user_id == bindparam("user"), unfinished, live)


def _first_in_chat() -> ColumnElement[bool]:
    """The run has no unfinished one before it in its chat (L5)."""
    before = runs.alias("before")
    same = before.c.chat_id == runs.c.chat_id
    return (
        ~select(before.c.id)
        .where(same, before.c.user_id == runs.c.user_id, before.c.ordinal < runs.c.ordinal, before.c.ended_at.is_(None))
        .exists()
    )


FIRST_IN_CHAT: Final = _first_in_chat()


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


def end_run(tx: Connection, run: UUID, end: End, text: str, *fence: ColumnElement[bool], **changes: object) -> bool:
    """End a run that has no end, and move its text into the reply. False: the fence held, nothing was changed."""
    failure = end.failure
    values = {
        "state": end.state,
        "ended_at": Now(),
        "saved": "",
        "finish": end.finish,
        "prompt_tokens": end.usage.prompt_tokens,
        "completion_tokens": end.usage.completion_tokens,
        "error_code": failure and failure.code,
        "error_message": failure and failure.message,
        "error_retryable": failure and failure.retryable,
    }
    query = update(runs).where(runs.c.id == run, unfinished, *fence).values({**values, **changes})
    changed = tx.execute(query.returning(runs.c.chat_id, runs.c.reply_id)).first()
    if changed is None:
        return False
    reply = (messages.c.chat_id == changed.chat_id, messages.c.id == changed.reply_id)
    tx.execute(update(messages).where(*reply).values(text=text))
    tx.execute(update(chats).where(chats.c.id == changed.chat_id).values(updated_at=Now()))
    return True


def end_locked(tx: Connection, run: Record, end: End) -> None:
    """End a locked run with what is saved of it, over its owner's head.

    A running one gets a higher attempt: its reader may have seen text that was not saved (L4). Its claim goes,
    or its owner would take the end for its own.
    """
    attempt = run.attempt + (run.state == RunState.RUNNING)
    end_run(tx, run.id, end, run.saved, attempt=attempt, claim=None, worker=None)


def promote_user(
    tx: Connection, user: UUID, limits: Limits, *, told: bool = True, room: int | None = None
) -> tuple[Job, ...]:
    """Queue the locked user's oldest waiting runs that are first in an idle chat, while the user is below N.

    ``told``: the caller hands the jobs to somebody who dispatches them; otherwise the next sweep does.
    ``room``: at most so many.
    """
    free = limits.user_runs - tx.execute(_running, {"user": user}).scalar_one()
    if free <= 0:
        return ()
    waiting = (runs.c.user_id == user, is_in(RunState.WAITING))
    oldest = select(runs.c.id, runs.c.pool).where(*waiting, FIRST_IN_CHAT)
    found = tx.execute(
        oldest.order_by(runs.c.created_at, runs.c.id).limit(free if room is None else min(free, room))
    ).all()
    if found:
        tx.execute(
            update(runs)
            .where(runs.c.id.in_([run.id for run in found]), *waiting)
            .values(queued(runs.c.start_seconds, told=told))
        )
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
