"""Checkpoint: the new text of all runs of a worker in one statement, each guarded by claim and length (L3, L4)."""

from collections.abc import Sequence

import msgspec
from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Connection,
    FromClause,
    Integer,
    Text,
    and_,
    case,
    cast,
    column,
    func,
    literal,
    or_,
    select,
    update,
)

from prosa.adapters.sql.columns import Id
from prosa.adapters.sql.rows import is_in
from prosa.adapters.sql.tables import runs
from prosa.core.run import RunState
from prosa.core.work import Save, Saved

_length = func.length(runs.c.saved)


def checkpoint(tx: Connection, worker: str, saves: Sequence[Save]) -> list[Saved]:
    """See ports.Runs.checkpoint. Text that fitted nowhere is reported by the length that is stored."""
    if not saves:
        return []
    given = _given(tx, msgspec.json.encode(saves).decode())
    owned = and_(
        runs.c.id == given.c.run,
        runs.c.claim == given.c.claim,
        runs.c.worker == worker,
        is_in(RunState.RUNNING),
    )
    columns = (runs.c.id, _length.label("seq"), runs.c.stop_requested)
    appended = (
        update(runs)
        .where(owned, or_(given.c.whole, _length == given.c.at))
        .values(
            saved=case((given.c.whole, given.c.text), else_=runs.c.saved + given.c.text),
            crashes_row=case((given.c.text != "", 0), else_=runs.c.crashes_row),
        )
    )
    found = [Saved(run.id, run.seq, run.stop_requested) for run in tx.execute(appended.returning(*columns))]
    if len(found) < len(saves):
        done = {saved.run for saved in found}
        rest = tx.execute(select(*columns).join_from(runs, given, owned)).all()
        found += [Saved(run.id, run.seq, run.stop_requested) for run in rest if run.id not in done]
    return found


def _given(tx: Connection, payload: str) -> FromClause:
    """The saves as a table: both databases unpack JSON, so one parameter carries them all."""
    document = literal(payload, Text)
    columns = (
        column("run", Id()),
        column("claim", BigInteger),
        column("at", Integer),
        column("text", Text),
        column("whole", Boolean),
    )
    if tx.dialect.name == "postgresql":
        unpacked = func.json_to_recordset(cast(document, JSON))
        return unpacked.table_valued(*columns, name="given").render_derived(with_types=True)
    each = func.json_each(document).table_valued("value")
    fields = [
        func.json_extract(each.c.value, f"$.{field.name}", type_=field.type).label(field.name) for field in columns
    ]
    return select(*fields).subquery("given")
