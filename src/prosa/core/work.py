"""What the life of a run asks of the store and is answered: accept, claim, checkpoint, finish."""

from collections.abc import Mapping
from uuid import UUID

import msgspec

from prosa.core.chat import Turn
from prosa.core.events import Job
from prosa.core.relay import Row
from prosa.core.run import End, RunState


class Ask(msgspec.Struct, frozen=True):
    """A message to accept. ``text`` None: regenerate the reply ``parent``. ``run`` and ``reply`` are fresh ids.

    The user's message gets ``id`` as its own id: ids of messages are unique within their chat only, because
    clients make them and must not learn of other users' ids (L11).

    The request's identity is (user, id) with its content: chat, text, parent, model. A stored chat that is the user's
    is used, an unknown one created (send only), any other is NotFound.
    """

    user: UUID
    id: UUID
    run: UUID
    reply: UUID
    chat: UUID | None
    text: str | None
    parent: UUID | None
    model: str
    asked_model: str | None
    pool: str
    start_seconds: float
    known: bool = False
    """Only what was accepted before is meant: as a new message it would be refused."""
    classic: bool = False
    """The classic socket owes the reply to whoever connects to the chat (ports.Classic)."""


class Receipt(msgspec.Struct, frozen=True):
    """What accept stored, now or (``repeated``) at the first time. ``created``: the chat is new."""

    row: Row
    message: UUID
    position: int
    repeated: bool = False
    created: bool = False


class Held(msgspec.Struct, frozen=True):
    """A run under a fresh claim: whose it is, what to answer, and the text saved by earlier attempts."""

    row: Row
    turns: tuple[Turn, ...]
    stop_requested: bool
    seconds_left: float
    queued_seconds: float = 0.0
    """From its last queueing to this claim, by the store's clock."""
    lost_by: str | None = None
    """The dead worker from which this claim took the run over."""


class Save(msgspec.Struct, frozen=True):
    """Text to append to what is stored of a run, under its claim: ``at`` is the stored length that it continues.

    ``whole`` replaces instead, after the store said that the lengths differ. ``spoke``: so many seconds ago the
    attempt's first text came; None before it.
    """

    run: UUID
    claim: int
    at: int
    text: str
    whole: bool = False
    spoke: float | None = None


class Saved(msgspec.Struct, frozen=True):
    """What one checkpoint found: the stored length (not as expected: send the whole) and whether a stop was asked."""

    run: UUID
    seq: int
    stop_requested: bool


class Committed(msgspec.Struct, frozen=True):
    """``end`` is the one outcome as stored: of this claim, unless ``mine`` is false. ``promoted`` may be dispatched."""

    mine: bool
    end: End | None
    promoted: tuple[Job, ...] = ()


class Stopped(msgspec.Struct, frozen=True):
    """A run as it is after a stop. ``mine``: this call ended it. ``promoted`` may be dispatched."""

    row: Row
    mine: bool = False
    promoted: tuple[Job, ...] = ()


class Census(msgspec.Struct, frozen=True):
    """The deployment as the store knows it: runs without an end, how long the oldest of each state is in it, and
    workers: ``alive``, ``draining`` (alive, and takes no more), ``silent`` (neither heard of nor told to end)."""

    runs: Mapping[RunState, int]
    oldest_seconds: Mapping[RunState, float]
    workers: Mapping[str, int]
