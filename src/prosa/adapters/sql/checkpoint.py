"""Checkpoint: the new text of all runs of a worker in one statement, each guarded by claim and length (L3, L4)."""

from collections.abc import Sequence
from functools import cache
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Connection,
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

from prosa.adapters.sql.columns import Id
from prosa.adapters.sql.given import given, rows
from prosa.adapters.sql.rows import is_in
from prosa.adapters.sql.tables import runs
from prosa.core.run import RunState
from prosa.core.work import Save, Saved

_length = func.length(runs.c.saved)


def checkpoint(tx: Connection, worker: str, saves: Sequence[Save]) -> list[Saved]:
    """See ports.Runs.checkpoint. Text that fitted nowhere is reported by the length that is stored."""
    if not saves:
        return []
    values = {**rows(saves), "by": worker}
    append, look = _statements(tx.dialect.name)
    found = [Saved(run.id, run.seq, run.stop_requested) for run in tx.execute(append, values)]
    if len(found) < len(saves):
        done = {saved.run for saved in found}
        rest = tx.execute(look, values).all()
        found += [Saved(run.id, run.seq, run.stop_requested) for run in rest if run.id not in done]
    return found


@cache
def _statements(dialect: str) -> tuple[ReturningUpdate[Any], Select[*tuple[Any, ...]]]:
    """Append what fits; and look at all that is owned."""
    saves = given(
        dialect,
        column("run", Id()),
        column("claim", BigInteger),
        column("at", Integer),
        column("text", Text),
        column("whole", Boolean),
    )
    owned = and_(
        runs.c.id == saves.c.run,
        runs.c.claim == saves.c.claim,
        runs.c.worker == bindparam("by"),
        is_in(RunState.RUNNING),
    )
    columns = (runs.c.id, _length.label("seq"), runs.c.stop_requested)
    # Who ends runs at this moment holds their rows, in another order: waiting for them would be a deadlock now and
    # then. What is passed over is told by its stored length, and the next checkpoint sends it whole.
    fits = select(runs.c.id, saves.c.text, saves.c.whole).join_from(saves, runs, owned)
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
        )
    )
    return append.returning(*columns), select(*columns).join_from(runs, saves, owned)
