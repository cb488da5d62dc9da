"""Runs as the rest of Prosa reads them: one select, and how its rows become structs."""

from collections.abc import Iterable
from typing import Any, Final, TypeAlias
from uuid import UUID

from sqlalchemy import ColumnElement, Connection, FromClause, and_, case, literal_column, select
from sqlalchemy import Row as SqlRow

from prosa.adapters.sql.tables import messages, runs
from prosa.core.errors import NotFound
from prosa.core.events import Job
from prosa.core.relay import Row
from prosa.core.run import LIVE, End, Failure, Finish, RunState, Usage

Record: TypeAlias = SqlRow[*tuple[Any, ...]]
"""A row of a result, read by the names of its columns."""


def is_in(*states: RunState, of: FromClause = runs) -> ColumnElement[bool]:
    """States as literals, so that PostgreSQL can use the partial indexes with prepared statements."""
    return of.c.state.in_([literal_column(f"'{state.value}'") for state in states])


live: Final = is_in(*sorted(LIVE))
unfinished: Final = runs.c.ended_at.is_(None)
_end_columns: Final = (
    runs.c.finish,
    runs.c.prompt_tokens,
    runs.c.completion_tokens,
    runs.c.error_code,
    runs.c.error_message,
    runs.c.error_retryable,
)
end_columns: Final = (runs.c.state, *_end_columns)

run_columns: Final = (
    runs.c.id,
    runs.c.chat_id,
    runs.c.user_id,
    runs.c.reply_id,
    runs.c.request_id,
    runs.c.pool,
    runs.c.model,
    runs.c.ordinal,
    runs.c.state,
    runs.c.attempt,
    runs.c.claim,
    runs.c.worker,
    *_end_columns,
)
"""What ``row_of`` reads, besides ``text``."""

_rows: Final = select(*run_columns, case((unfinished, runs.c.saved), else_=messages.c.text).label("text")).join_from(
    runs, messages, and_(messages.c.chat_id == runs.c.chat_id, messages.c.id == runs.c.reply_id)
)


def read_rows(tx: Connection, *conditions: ColumnElement[bool]) -> list[Row]:
    """In the order of the chat."""
    return [row_of(record) for record in tx.execute(_rows.where(*conditions).order_by(runs.c.ordinal))]


def read_row(tx: Connection, run: UUID, *conditions: ColumnElement[bool]) -> Row | None:
    found = read_rows(tx, runs.c.id == run, *conditions)
    return found[0] if found else None


def own_row(tx: Connection, user: UUID, run: UUID) -> Row:
    """Raises NotFound for what is not the user's."""
    row = read_row(tx, run, runs.c.user_id == user)
    if row is None:
        raise unknown_run(run)
    return row


def unknown_run(run: UUID) -> NotFound:
    return NotFound(f"There is no run {run} of yours. Load the chat again.")


def end_of(record: Record) -> End | None:
    """The outcome in ``end_columns``; None for a run without an end."""
    state = RunState(record.state)
    if not state.ended:
        return None
    return End(
        state,
        Finish(record.finish) if record.finish else None,
        Usage(record.prompt_tokens, record.completion_tokens),
        Failure(record.error_code, record.error_message, record.error_retryable) if record.error_code else None,
    )


def jobs(records: Iterable[Record]) -> tuple[Job, ...]:
    """Jobs of records with ``id`` and ``pool``."""
    return tuple(Job(record.id, record.pool) for record in records)


def row_of(record: Record) -> Row:
    return Row(
        run=record.id,
        chat=record.chat_id,
        user=record.user_id,
        reply=record.reply_id,
        request=record.request_id,
        pool=record.pool,
        model=record.model,
        ordinal=record.ordinal,
        state=RunState(record.state),
        attempt=record.attempt,
        claim=record.claim,
        worker=record.worker,
        text=record.text,
        end=end_of(record),
    )
