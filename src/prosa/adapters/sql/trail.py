"""The trail of a run (core/trail.py) as SQL: an entry is appended by the statement that changes the row."""

from datetime import datetime

from sqlalchemy import ColumnElement, Text, case, cast, func, literal_column

from prosa.adapters.sql.columns import NowPlus, Stamp
from prosa.adapters.sql.tables import runs
from prosa.core.trail import LETTERS, MOST_CHARACTERS, What


def noted(
    what: What | ColumnElement[str], attempt: ColumnElement[int], worker: ColumnElement[str] | None = None
) -> ColumnElement[str]:
    """The row's trail with one more entry. ``what`` may be the letter of one (``letter``)."""
    space, end = literal_column("' '", Text), literal_column("';'", Text)
    kind = letter(what) if isinstance(what, What) else what
    head = kind + cast(attempt, Text) + space + Stamp() + space
    entry = head + end if worker is None else head + worker + end
    before = func.coalesce(runs.c.trail, literal_column("''", Text))
    return case((func.length(before) < literal_column(str(MOST_CHARACTERS)), before + entry), else_=before)


def letter(what: What) -> ColumnElement[str]:
    return literal_column(f"'{LETTERS[what]}'", Text)


def first_text(spoke: ColumnElement[float]) -> ColumnElement[datetime | None]:
    """When the run's first text came: ``spoke`` seconds before now (NULL: none yet), unless it is known already."""
    return func.coalesce(runs.c.first_text_at, case((spoke.is_not(None), NowPlus(-spoke))))
