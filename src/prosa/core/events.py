"""What travels on the broker: jobs, the inboxes' messages, bulletins. All of it may be lost (L6).

Every message is MessagePack. A frame and a bulletin carry their events one by one as raw bytes, so that a
process of another version can count and skip those it does not know.
"""

from collections.abc import Iterable
from typing import Final, TypeVar
from uuid import UUID

import msgspec

from prosa.core.run import End


class Job(msgspec.Struct, frozen=True, array_like=True):
    """A run that waits for a worker of ``pool``. The envelope never changes; ``origin`` is the first listener."""

    run: UUID
    pool: str
    origin: str | None = None


class Event(msgspec.Struct, frozen=True, tag_field="t", tag=True):
    """One event of one run, from the worker that holds it to a gateway."""


class RunStarted(Event, frozen=True):
    """A claim: the attempt begins."""

    run: UUID
    claim: int
    attempt: int
    model: str


class TextAdded(Event, frozen=True):
    """Characters ``start``..``seq`` of the attempt, counted in code points from 1."""

    run: UUID
    claim: int
    attempt: int
    start: int
    seq: int
    text: str


class TextWhole(Event, frozen=True):
    """The whole text of the attempt so far."""

    run: UUID
    claim: int
    attempt: int
    text: str


class RunEnded(Event, frozen=True):
    """The run is committed; ``seq`` is the length of the stored reply."""

    run: UUID
    claim: int
    attempt: int
    seq: int
    end: End


class Gone(Event, frozen=True):
    """The worker does not hold the run under this claim, or holds it no longer."""

    run: UUID
    claim: int


RunEvent = RunStarted | TextAdded | TextWhole | RunEnded | Gone


class Frame(msgspec.Struct, frozen=True, tag_field="t", tag=True):
    """All new text of all runs that one gateway listens to at one worker: one broker message a tick."""

    worker: str
    events: tuple[msgspec.Raw, ...]


class Notice(msgspec.Struct, frozen=True, tag_field="t", tag=True):
    """One event of a bulletin: ids only, of interest to every gateway."""


class Taken(Notice, frozen=True):
    """A worker started an attempt at a run."""

    run: UUID
    worker: str
    claim: int


class Over(Notice, frozen=True):
    """A run ended or went back to its queue."""

    run: UUID
    chat: UUID
    user: UUID


class Added(Notice, frozen=True):
    """A question was accepted, or (``message`` None) a reply was asked for again."""

    user: UUID
    chat: UUID
    message: UUID | None
    reply: UUID
    run: UUID


class ChatTouched(Notice, frozen=True):
    """``change`` is created, updated or deleted."""

    user: UUID
    chat: UUID
    change: str


class SignInRevoked(Notice, frozen=True):
    """``session`` is the id of one sign-in, or None where all of the user's are over."""

    user: UUID
    session: UUID | None = None


BulletinNotice = Taken | Over | Added | ChatTouched | SignInRevoked


class Bulletin(msgspec.Struct, frozen=True, tag_field="t", tag=True):
    """What every gateway should know: at most one a process a tick."""

    notices: tuple[msgspec.Raw, ...]


class Listen(msgspec.Struct, frozen=True, tag_field="t", tag=True):
    """A gateway wants a run's text from ``seq`` on; it holds that many characters under ``claim``."""

    gateway: str
    run: UUID
    claim: int
    seq: int


class Unlisten(msgspec.Struct, frozen=True, tag_field="t", tag=True):
    gateway: str
    run: UUID


class StopAsked(msgspec.Struct, frozen=True, tag_field="t", tag=True):
    """A nudge: the database has the stop already."""

    run: UUID


GatewayMail = Frame | Bulletin
WorkerMail = Listen | Unlisten | StopAsked
Mail = GatewayMail | WorkerMail

T = TypeVar("T")

_encoder: Final = msgspec.msgpack.Encoder(uuid_format="bytes")
_job: Final = msgspec.msgpack.Decoder(Job)
_mail: Final = msgspec.msgpack.Decoder(Mail)
_event: Final = msgspec.msgpack.Decoder(RunEvent)
_notice: Final = msgspec.msgpack.Decoder(BulletinNotice)


def encode(message: Job | Mail) -> bytes:
    return _encoder.encode(message)


def decode_job(body: bytes) -> Job:
    """Raises msgspec.MsgspecError where the body is no job."""
    return _job.decode(body)


def decode_mail(body: bytes) -> Mail:
    """Raises msgspec.MsgspecError where the body is no mail that this version knows."""
    mail: Mail = _mail.decode(body)
    return mail


def frame(worker: str, events: Iterable[RunEvent]) -> Frame:
    return Frame(worker, tuple(msgspec.Raw(_encoder.encode(event)) for event in events))


def bulletin(notices: Iterable[BulletinNotice]) -> Bulletin:
    return Bulletin(tuple(msgspec.Raw(_encoder.encode(notice)) for notice in notices))


def run_events(mail: Frame) -> tuple[list[RunEvent], int]:
    """The frame's events that this version knows, and the number of those it skipped."""
    return _known(_event, mail.events)


def notices(mail: Bulletin) -> tuple[list[BulletinNotice], int]:
    """The bulletin's notices that this version knows, and the number of those it skipped."""
    return _known(_notice, mail.notices)


def _known(decoder: msgspec.msgpack.Decoder[T], raws: Iterable[msgspec.Raw]) -> tuple[list[T], int]:
    known: list[T] = []
    skipped = 0
    for raw in raws:
        try:
            known.append(decoder.decode(raw))
        except msgspec.MsgspecError:
            skipped += 1
    return known, skipped
