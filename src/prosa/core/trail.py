"""What happened to a run: the compact trail that its row carries, and the timeline that is read of it.

The statements that change a run append one short entry to its trail: no statement and no row is added to what sending
costs. What a column says anyway (accepted, queued, first text, last checkpoint, end) is in no entry. An older version
beside this one writes none: the timeline then tells what the columns know.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Final

import msgspec

from prosa.core.run import RunState

MOST_CHARACTERS: Final = 2000
"""A longer trail grows no more: it is full after some forty claims."""
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class What(StrEnum):
    """The kinds of events of a timeline."""

    ACCEPTED = "accepted"
    QUEUED = "queued"
    CLAIMED = "claimed"
    FIRST_TEXT = "first_text"
    CHECKPOINT = "checkpoint"
    TAKEN_OVER = "taken_over"
    RELEASED = "released"
    STOP_ASKED = "stop_asked"
    ENDED = "ended"


LETTERS: Final = {What.CLAIMED: "c", What.TAKEN_OVER: "t", What.RELEASED: "r", What.STOP_ASKED: "s"}
"""What is written, and how an entry of it begins."""
_KINDS: Final = {letter: what for what, letter in LETTERS.items()}


class Event(msgspec.Struct, frozen=True):
    """One moment in a run's life.

    ``detail`` is a word for programs: the model of an accepted run, the pool of a queued one, the stored characters at
    a checkpoint, the finish or the error code of an end.
    """

    at: datetime
    what: What
    attempt: int = 0
    worker: str | None = None
    detail: str | None = None


class Life(msgspec.Struct, frozen=True):
    """What the columns of a run say of its life."""

    state: RunState
    model: str
    pool: str
    attempt: int
    worker: str | None
    created_at: datetime
    queued_at: datetime | None = None
    started_at: datetime | None = None
    first_text_at: datetime | None = None
    saved_at: datetime | None = None
    saved_characters: int | None = None
    ended_at: datetime | None = None
    outcome: str | None = None
    trail: str | None = None


def entry(what: What, attempt: int, milliseconds: int, worker: str | None = None) -> str:
    """As the statements of the store write it: ``c1 1767225600000 wk-1;``."""
    return f"{LETTERS[what]}{attempt} {milliseconds} {worker or ''};"


def read(trail: str | None) -> tuple[Event, ...]:
    """The events of a trail in the order in which they were written. What cannot be read is left out."""
    return tuple(event for part in (trail or "").split(";") if (event := _event(part)) is not None)


def _event(part: str) -> Event | None:
    head, _, rest = part.partition(" ")
    moment, _, worker = rest.partition(" ")
    what = _KINDS.get(head[:1])
    if what is None or not head[1:].isdecimal() or not moment.isdecimal():
        return None
    return Event(_EPOCH + timedelta(milliseconds=int(moment)), what, int(head[1:]), worker or None)


def timeline(life: Life) -> tuple[Event, ...]:
    """Everything that is known, oldest first."""
    # Of two in the same moment the order of the list holds: it is that of a life.
    return tuple(sorted(_events(life), key=lambda event: event.at))


def _events(life: Life) -> Iterator[Event]:
    marks = read(life.trail)
    yield Event(life.created_at, What.ACCEPTED, detail=life.model)
    if life.queued_at is not None:
        # A row's moments are told by the clock one after the other, and in no order.
        yield Event(max(life.queued_at, life.created_at), What.QUEUED, detail=life.pool)
    if life.started_at is not None and not any(mark.attempt == 1 and mark.what is What.CLAIMED for mark in marks):
        yield Event(life.started_at, What.CLAIMED, 1, life.worker if life.attempt == 1 else None)
    yield from marks
    if life.first_text_at is not None:
        yield Event(life.first_text_at, What.FIRST_TEXT, _attempt_at(marks, life.first_text_at))
    # A checkpoint is due each second, whether there is text to save or not.
    if life.saved_at is not None and life.first_text_at is not None:
        characters = None if life.saved_characters is None else str(life.saved_characters)
        yield Event(life.saved_at, What.CHECKPOINT, _attempt_at(marks, life.saved_at), detail=characters)
    if life.ended_at is not None:
        yield Event(life.ended_at, What.ENDED, life.attempt, life.worker, life.outcome)


def _attempt_at(marks: tuple[Event, ...], at: datetime) -> int:
    """The attempt that had the run then."""
    return max((mark.attempt for mark in marks if mark.at <= at), default=1)
