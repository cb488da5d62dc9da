"""What one reader was told of a run, and what to tell it next.

A reader has no queue of deltas, only this cursor into the gateway's one copy of the text: a slow one gets
fewer, larger deltas, and costs nothing more (L8).
"""

from uuid import UUID

import msgspec

from prosa.core.protocol import Delta, Done, Failed, Queued, ServerMessage, Snapshot, Started
from prosa.core.relay import Place, Relay, Row, change
from prosa.core.run import Finish, RunState


class Cursor(msgspec.Struct, frozen=True):
    """Where a reader is. ``attempt`` 0: it was told nothing; ``whole``: begin with a snapshot.

    A reader that resumes brings its ``attempt`` and ``seq``, and gets only what it misses.
    """

    run: UUID
    attempt: int = 0
    seq: int = 0
    revision: int = 0
    started: int = 0
    place: Place | None = None
    whole: bool = False
    over: bool = False


def told(cursor: Cursor, relay: Relay) -> tuple[Cursor, list[ServerMessage]]:
    """The messages that bring the reader to what the relay knows, in order, and the cursor behind them."""
    row = relay.row
    if cursor.over or row is None or (cursor.whole and _unheard(relay)):
        return cursor, []
    messages: list[ServerMessage] = []
    cursor = _waiting(cursor, relay, messages)
    cursor = _beginning(cursor, relay, row, messages)
    cursor = _text(cursor, relay, row, messages)
    return _ending(cursor, relay, row, messages), messages


def _unheard(relay: Relay) -> bool:
    """Only what was saved is known. A reader that comes back has seen more: a snapshot of this would take it back."""
    return relay.state is RunState.RUNNING and not relay.live


def _waiting(cursor: Cursor, relay: Relay, out: list[ServerMessage]) -> Cursor:
    place = relay.place
    if place is None or relay.state is RunState.RUNNING or (cursor.place and cursor.place.position == place.position):
        return cursor
    out.append(Queued(relay.run, place.position, place.eta))
    return change(cursor, place=place)


def _beginning(cursor: Cursor, relay: Relay, row: Row, out: list[ServerMessage]) -> Cursor:
    if relay.state is not RunState.RUNNING or relay.attempt <= cursor.started:
        return cursor
    out.append(Started(relay.run, row.chat, relay.attempt, relay.model or row.model))
    return change(cursor, started=relay.attempt)


def _text(cursor: Cursor, relay: Relay, row: Row, out: list[ServerMessage]) -> Cursor:
    if relay.end is None and not cursor.whole and _ahead(cursor, relay):
        return cursor
    fresh = cursor.attempt == 0 and relay.attempt <= 1
    behind = relay.attempt > cursor.attempt and not fresh
    if cursor.whole or behind or relay.revision > cursor.revision or _ahead(cursor, relay):
        out.append(Snapshot(relay.run, row.chat, relay.attempt, relay.seq, relay.state, relay.text))
    elif relay.seq > cursor.seq:
        text = relay.text[cursor.seq :]
        out.append(Delta(run=relay.run, attempt=relay.attempt, start=cursor.seq + 1, seq=relay.seq, text=text))
    return change(cursor, attempt=relay.attempt, seq=relay.seq, revision=relay.revision, whole=False)


def _ahead(cursor: Cursor, relay: Relay) -> bool:
    """The reader came from elsewhere and holds more than this gateway has heard of yet."""
    if relay.attempt == cursor.attempt and relay.revision == cursor.revision:
        return relay.seq < cursor.seq
    return relay.attempt < cursor.attempt


def _ending(cursor: Cursor, relay: Relay, row: Row, out: list[ServerMessage]) -> Cursor:
    end = relay.end
    if end is None:
        return cursor
    ids = (relay.run, row.chat, row.reply, relay.attempt, relay.seq)
    if end.failure is not None:
        out.append(Failed(*ids, end.failure.code, end.failure.message, end.failure.retryable))
    else:
        out.append(Done(*ids, end.finish or Finish.STOPPED, end.usage))
    return change(cursor, over=True)
