"""Checkpoint: the new text of all runs of a worker in one statement, each guarded by claim and length (L3, L4)."""

from collections.abc import Sequence
from functools import cache
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    ColumnElement,
    Connection,
    Float,
    FromClause,
    Integer,
    Select,
    Text,
    and_,
    bindparam,
    case,
    column,
    func,
    or_,
    select,
    update,
)
from sqlalchemy.sql.dml import ReturningUpdate

from prosa.adapters.sql.columns import Id, Now
from prosa.adapters.sql.given import given, with_rows
from prosa.adapters.sql.rows import is_in
from prosa.adapters.sql.tables import runs
from prosa.adapters.sql.trail import first_text
from prosa.core.run import RunState
from prosa.core.work import Save, Saved

_length = func.length(runs.c.saved)
_columns = (runs.c.id, _length.label("seq"), runs.c.stop_requested)


def checkpoint(tx: Connection, worker: str, saves: Sequence[Save]) -> list[Saved]:
    """See ports.Runs.checkpoint. Text that fitted nowhere is reported by the length that is stored."""
    if not saves:
        return []
    found = [Saved(run.id, run.seq, run.stop_requested) for run in with_rows(tx, _append, saves, by=worker)]
    if len(found) < len(saves):
        done = {saved.run for saved in found}
        rest = with_rows(tx, _look, saves, by=worker).all()
        found += [Saved(run.id, run.seq, run.stop_requested) for run in rest if run.id not in done]
    return found


def _saves(dialect: str) -> tuple[FromClause, ColumnElement[bool]]:
    """What comes with a checkpoint, and which run of the worker each is for."""
    saves = given(
        dialect,
        column("run", Id()),
        column("claim", BigInteger),
        column("at", Integer),
        column("text", Text),
        column("whole", Boolean),
        column("spoke", Float),
    )
    by = runs.c.worker == bindparam("by")
    return saves, and_(runs.c.id == saves.c.run, runs.c.claim == saves.c.claim, by, is_in(RunState.RUNNING))


@cache
def _append(dialect: str) -> ReturningUpdate[Any]:
    """Append what fits.

    Who ends runs at this moment holds their rows, in another order: waiting for them would be a deadlock now and
    then. What is passed over is told by its stored length, and the next checkpoint sends it whole.
    """
    saves, owned = _saves(dialect)
    fits = select(runs.c.id, saves.c.text, saves.c.whole, saves.c.spoke).join_from(saves, runs, owned)
    free = (
        fits.where(or_(saves.c.whole, _length == saves.c.at))
        .with_for_update(key_share=True, skip_locked=True, of=runs)
        .cte("free")
    )
    append = (
        update(runs)
        .where(runs.c.id == free.c.id)
        .values(
            saved=case((free.c.whole, free.c.text), else_=runs.c.saved + free.c.text),
            crashes_row=case((free.c.text != "", 0), else_=runs.c.crashes_row),
            first_text_at=first_text(free.c.spoke),
            saved_at=Now(),
        )
    )
    return append.returning(*_columns)


@cache
def _look(dialect: str) -> Select[*tuple[Any, ...]]:
    """All that is owned."""
    saves, owned = _saves(dialect)
    return select(*_columns).join_from(runs, saves, owned)
