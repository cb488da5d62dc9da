"""What a gateway knows of a run: events in, the new knowledge and the actions to take out.

Live state is ordered by (attempt, seq). What is lower is dropped, what is adjacent is applied, and anything
else is asked for again: from the worker where one is known, else from the database, which is the truth (L6).
Within an attempt one claim is followed and the others' events are dropped (L3). The page's reducer keeps the
same rules; both pass the same table of cases (``tests/relay_cases.json``).
"""

from typing import Final, assert_never
from uuid import UUID

import msgspec

from prosa.core.events import Gone, RunEnded, RunEvent, RunStarted, Taken, TextAdded, TextWhole
from prosa.core.run import End, RunState


class Row(msgspec.Struct, frozen=True):
    """A run as the database has it: the last word on everything but unsaved text."""

    run: UUID
    chat: UUID
    user: UUID
    reply: UUID
    request: UUID
    pool: str
    model: str
    ordinal: int
    state: RunState
    attempt: int = 0
    claim: int | None = None
    worker: str | None = None
    text: str = ""
    end: End | None = None


class Place(msgspec.Struct, frozen=True):
    """An estimate of how long a run still waits: its place in its pool's queue, and seconds."""

    run: UUID
    position: int
    eta: float | None = None


class Relay(msgspec.Struct, frozen=True):
    """What this gateway knows. ``revision`` counts how often the attempt's text was replaced instead of grown.

    ``live``: the worker that holds the claim was heard, so the text is not only what was saved of it.
    """

    run: UUID
    row: Row | None = None
    state: RunState = RunState.WAITING
    attempt: int = 0
    claim: int | None = None
    worker: str | None = None
    model: str = ""
    text: str = ""
    revision: int = 0
    place: Place | None = None
    end: End | None = None
    live: bool = False

    @property
    def seq(self) -> int:
        return len(self.text)


class AskWorker(msgspec.Struct, frozen=True):
    """Send ``listen`` to the worker: this gateway holds ``seq`` characters under ``claim``."""

    worker: str
    run: UUID
    claim: int
    seq: int


class AskStore(msgspec.Struct, frozen=True):
    """Read the run's row."""

    run: UUID


Action = AskWorker | AskStore
Outcome = tuple[Relay, tuple[Action, ...]]
NOTHING: Final[tuple[Action, ...]] = ()

change = msgspec.structs.replace


def heard(relay: Relay, worker: str, event: RunEvent) -> Outcome:
    """An event of the run arrived in a frame of ``worker``."""
    if relay.end is not None:
        return relay, NOTHING
    if isinstance(event, Gone):
        return _gone(relay, event)
    if event.attempt < relay.attempt:
        return relay, NOTHING
    if event.attempt == relay.attempt and relay.claim not in (None, event.claim):
        return relay, NOTHING
    match event:
        case RunStarted():
            return _started(relay, worker, event)
        case TextAdded():
            return _grown(relay, worker, event)
        case TextWhole():
            return _replaced(relay, worker, event)
        case RunEnded():
            return _ended(relay, event)
        case _:
            assert_never(event)


def taken(relay: Relay, notice: Taken) -> Outcome:
    """A bulletin says that a worker claimed the run: listen there, unless that claim is followed already."""
    if relay.end is not None or relay.claim == notice.claim:
        return relay, NOTHING
    return relay, (AskWorker(notice.worker, relay.run, notice.claim, 0),)


def read(relay: Relay, row: Row) -> Outcome:
    """The database was asked: at registration, after silence, or because an event did not fit."""
    if relay.end is not None or (row.attempt < relay.attempt and row.end is None):
        return relay, NOTHING
    live = relay.live and relay.claim == row.claim
    relay = _adopt(relay, row)
    if row.end is not None:
        return change(relay, state=row.state, end=row.end, worker=None, place=None), NOTHING
    if row.worker is not None and row.claim is not None:
        relay = change(relay, state=RunState.RUNNING, worker=row.worker, claim=row.claim, live=live, place=None)
        return relay, (AskWorker(row.worker, row.run, row.claim, relay.seq),)
    return change(relay, state=row.state, worker=None, claim=None, live=False), NOTHING


def settled(relay: Relay) -> Relay:
    """The worker had its time to answer: what is known must do."""
    return change(relay, live=True) if relay.state is RunState.RUNNING and not relay.live else relay


def placed(relay: Relay, place: Place) -> Relay:
    """A new estimate for a run that waits."""
    if relay.end is not None or relay.state is RunState.RUNNING:
        return relay
    return change(relay, place=place)


def _adopt(relay: Relay, row: Row) -> Relay:
    """Take over the row's text where it is newer; within one claim the longer text wins."""
    known = change(relay, row=row, model=row.model)
    same = row.attempt == relay.attempt and row.claim in (None, relay.claim)
    if same and row.end is None and len(row.text) <= relay.seq:
        return known
    if same and row.text.startswith(relay.text):
        return change(known, text=row.text)
    revision = relay.revision + 1 if row.attempt == relay.attempt else 0
    return change(known, text=row.text, attempt=row.attempt, claim=row.claim, revision=revision)


def _begin(relay: Relay, worker: str, event: RunStarted | TextAdded | TextWhole, text: str) -> Relay:
    """Follow the event's attempt from now on, with ``text``."""
    if event.attempt == relay.attempt:
        return change(relay, state=RunState.RUNNING, claim=event.claim, worker=worker, text=text, live=True, place=None)
    return change(
        relay,
        state=RunState.RUNNING,
        attempt=event.attempt,
        claim=event.claim,
        worker=worker,
        text=text,
        revision=0,
        live=True,
        place=None,
    )


def _started(relay: Relay, worker: str, event: RunStarted) -> Outcome:
    # A later attempt may go on from saved text: its first event behind this one is the whole text.
    if event.attempt > 1 and event.attempt > relay.attempt:
        return relay, NOTHING
    text = relay.text if event.attempt == relay.attempt else ""
    return change(_begin(relay, worker, event, text), model=event.model), NOTHING


def _grown(relay: Relay, worker: str, event: TextAdded) -> Outcome:
    held = relay.seq if event.attempt == relay.attempt else 0
    if event.start > held + 1:
        return relay, (AskWorker(worker, relay.run, event.claim, held),)
    if event.seq <= held:
        return _begin(relay, worker, event, relay.text[:held] if held else ""), NOTHING
    text = relay.text[:held] + event.text[held + 1 - event.start :]
    return _begin(relay, worker, event, text), NOTHING


def _replaced(relay: Relay, worker: str, event: TextWhole) -> Outcome:
    if event.attempt == relay.attempt and len(event.text) < relay.seq:
        return relay, NOTHING
    return _begin(relay, worker, event, event.text), NOTHING


def _ended(relay: Relay, event: RunEnded) -> Outcome:
    if event.attempt != relay.attempt or event.seq != relay.seq:
        return relay, (AskStore(relay.run),)
    return change(relay, state=event.end.state, end=event.end, worker=None, place=None), NOTHING


def _gone(relay: Relay, event: Gone) -> Outcome:
    if relay.claim not in (None, event.claim):
        return relay, NOTHING
    return change(relay, worker=None), (AskStore(relay.run),)
