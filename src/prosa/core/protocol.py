"""The client protocol ``prosa.v1``: JSON text frames with a ``type``.

The TypeScript types of the page are generated from these structs. New types and fields may be added; none
changes its meaning.
"""

import json
from datetime import datetime
from typing import Final, Literal
from uuid import UUID

import msgspec

from prosa.core.chat import Chat, Message
from prosa.core.errors import BadFrame, BadId, BadRequest, BadText, ProsaError
from prosa.core.run import Finish, RunState, Usage

SUBPROTOCOL: Final = "prosa.v1"


class Incoming(msgspec.Struct, frozen=True, tag_field="type", tag=str.lower):
    """A frame from a client. Unknown fields are ignored, so that a newer client can talk to an older gateway."""


class Send(Incoming, frozen=True):
    """Ask a question. ``id`` is made by the client, unique per user; the same id again means the same message.

    ``parent`` is the reply that it follows: by default the chat's newest; an older one makes a branch (an edit). The
    chat's own id names the root, so that the first question can be edited too.
    """

    id: UUID
    chat: UUID
    text: str
    parent: UUID | None = None
    model: str | None = None


class Regenerate(Incoming, frozen=True):
    """Ask for a sibling of a reply. ``id`` names the request, like that of ``send``."""

    id: UUID
    reply: UUID
    model: str | None = None


class Watch(Incoming, frozen=True):
    """Follow a chat. ``runs`` are those that the client holds as unfinished."""

    chat: UUID
    runs: tuple[UUID, ...] = ()


class Unwatch(Incoming, frozen=True):
    chat: UUID


class Stop(Incoming, frozen=True):
    """End a run with what it has said; withdraw it where it still waits."""

    run: UUID


ClientMessage = Send | Regenerate | Watch | Unwatch | Stop


class Outgoing(msgspec.Struct, frozen=True, tag_field="type", tag=str.lower, omit_defaults=True):
    """A frame to a client."""


class UserView(msgspec.Struct, frozen=True):
    id: UUID
    username: str
    role: str


class Hello(Outgoing, frozen=True):
    """The first frame of a socket. ``models`` are the names that ``send`` may ask for; the first is the default."""

    user: UserView
    gateway: str
    models: tuple[str, ...] = ()


class Accepted(Outgoing, frozen=True):
    """The message is stored. ``position`` counts from 1 in its pool's queue; 0 once it has left the queue."""

    id: UUID
    chat: UUID
    run: UUID
    reply: UUID
    state: RunState
    ordinal: int
    position: int


class Queued(Outgoing, frozen=True):
    """The run still waits. ``eta`` is in seconds: an estimate, left out where nothing is known."""

    run: UUID
    position: int
    eta: float | None = None


class Started(Outgoing, frozen=True):
    run: UUID
    chat: UUID
    attempt: int
    model: str


class Delta(Outgoing, frozen=True):
    """Characters ``start``..``seq`` (``from`` on the wire) of the attempt, counted in code points from 1."""

    run: UUID
    attempt: int
    start: int = msgspec.field(name="from")
    seq: int
    text: str


class Snapshot(Outgoing, frozen=True):
    """Replaces what the client holds of the reply."""

    run: UUID
    chat: UUID
    attempt: int
    seq: int
    state: RunState
    text: str


class Watching(Outgoing, frozen=True, omit_defaults=False):
    """The last answer to ``watch``: the unfinished runs that are followed now."""

    chat: UUID
    runs: tuple[UUID, ...]


class Done(Outgoing, frozen=True):
    run: UUID
    chat: UUID
    reply: UUID
    attempt: int
    seq: int
    finish: Finish
    usage: Usage


class Failed(Outgoing, frozen=True, omit_defaults=False):
    """The run ended without a whole reply; the partial text stays."""

    run: UUID
    chat: UUID
    reply: UUID
    attempt: int
    seq: int
    code: str
    message: str
    retryable: bool


class MessageView(msgspec.Struct, frozen=True):
    """A message as history and the ``message`` frame show it. The end's fields are null until there is one."""

    id: UUID
    chat: UUID
    parent: UUID | None
    role: Literal["user", "assistant"]
    text: str
    state: RunState
    ordinal: int
    created_at: datetime
    run: UUID | None = None
    attempt: int = 0
    seq: int = 0
    model: str | None = None
    finish: Finish | None = None
    usage: Usage | None = None
    code: str | None = None
    error: str | None = None
    retryable: bool | None = None

    @classmethod
    def of(cls, message: Message) -> "MessageView":
        end = message.end
        failure = end.failure if end else None
        return cls(
            id=message.id,
            chat=message.chat,
            parent=message.parent,
            role="user" if message.role == "user" else "assistant",
            text=message.text,
            state=message.state,
            ordinal=message.ordinal,
            created_at=message.created_at,
            run=message.run,
            attempt=message.attempt,
            seq=len(message.text),
            model=message.model,
            finish=end.finish if end else None,
            usage=end.usage if end else None,
            code=failure.code if failure else None,
            error=failure.message if failure else None,
            retryable=failure.retryable if failure else None,
        )


class MessageAdded(Outgoing, frozen=True, tag="message"):
    """A message that another tab or device of the user sent."""

    message: MessageView


class ChatView(msgspec.Struct, frozen=True):
    id: UUID
    title: str
    status: str
    created_at: datetime
    updated_at: datetime

    @classmethod
    def of(cls, chat: Chat) -> "ChatView":
        return cls(chat.id, chat.title, chat.status, chat.created_at, chat.updated_at)


class ChatChanged(Outgoing, frozen=True, tag="chat"):
    chat: ChatView
    change: Literal["created", "updated", "deleted"]


class Refusal(Outgoing, frozen=True, tag="error"):
    """A request was refused; the socket stays open unless the frame was no JSON object."""

    code: str
    message: str
    id: UUID | None = None
    retryable: bool | None = None

    @classmethod
    def of(cls, error: ProsaError, request: UUID | None = None) -> "Refusal":
        return cls(error.code, error.message, request, error.retryable)


ServerMessage = (
    Hello
    | Accepted
    | Queued
    | Started
    | Delta
    | Snapshot
    | Watching
    | Done
    | Failed
    | MessageAdded
    | ChatChanged
    | Refusal
)

_decoder: Final = msgspec.json.Decoder(ClientMessage)
_encoder: Final = msgspec.json.Encoder()


def encode(message: ServerMessage | ClientMessage) -> str:
    """One frame's JSON text."""
    return _encoder.encode(message).decode()


def decode(frame: str) -> ClientMessage:
    """The message in a client's frame.

    Raises BadFrame where it is no JSON object, BadText where a string in it is no valid Unicode, BadId where a
    field that names something is no UUID, and BadRequest for an unknown type or a missing or ill-typed field.
    """
    try:
        message: ClientMessage = _decoder.decode(frame)
        return message
    except msgspec.ValidationError as error:
        raise _refusal(frame, error) from error
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise _broken(frame) from error


def request_id(frame: str) -> UUID | None:
    """The ``id`` in a frame that was refused, where one can be read, so that the error can name it."""
    try:
        return msgspec.json.decode(frame, type=_Named).id
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return None


class _Named(msgspec.Struct):
    id: UUID | None = None


def _refusal(frame: str, error: msgspec.ValidationError) -> ProsaError:
    if not frame.lstrip().startswith("{"):
        return BadFrame('The frame is no JSON object. Send objects like {"type":"send",…}.')
    if "UUID" in str(error):
        return BadId(f"A field that names something is no UUID: {error}. Send it as dashed hexadecimal text.")
    return BadRequest(f"The frame cannot be read: {error}. See the protocol's reference for its fields.")


def _broken(frame: str) -> ProsaError:
    # msgspec calls half a surrogate pair malformed JSON; the lenient decoder tells the two apart.
    try:
        lenient = json.loads(frame)
    except (ValueError, RecursionError):
        return BadFrame("The frame is no JSON. Send one JSON object a frame.")
    if not isinstance(lenient, dict):
        return BadFrame('The frame is no JSON object. Send objects like {"type":"send",…}.')
    return BadText("The text is no valid Unicode: it has half of a surrogate pair. Send whole characters.")
