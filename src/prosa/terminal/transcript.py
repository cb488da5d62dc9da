"""What a terminal shows of one answer: server messages in, text to print out.

A terminal can only append. Within an attempt the printed text is a prefix of the reply (L4). A new attempt may
take back the last second: as long as it repeats what was printed nothing more is, and where it differs, a
mark says so and the whole new text follows.
"""

from typing import Final, assert_never
from uuid import UUID

import msgspec

from prosa.core.protocol import (
    Accepted,
    ChatChanged,
    ClientMessage,
    Delta,
    Done,
    Failed,
    Hello,
    MessageAdded,
    Queued,
    Refusal,
    Send,
    ServerMessage,
    Snapshot,
    Started,
    Stop,
    Watch,
    Watching,
)

MARK: Final = "\n\n[the answer begins again]\n\n"


class Print(msgspec.Struct, frozen=True):
    """Text of the answer."""

    text: str


class Note(msgspec.Struct, frozen=True):
    """For the person in front of the terminal; no part of the answer."""

    text: str


class Tell(msgspec.Struct, frozen=True):
    """Send this to the server."""

    message: ClientMessage


class Again(msgspec.Struct, frozen=True):
    """The server cannot say now: ask again in a moment."""


class Over(msgspec.Struct, frozen=True):
    """There is nothing more to come; ``error`` says why the answer is not whole."""

    error: str | None = None


Effect = Print | Note | Tell | Again | Over


class Turn(msgspec.Struct, frozen=True):
    """One question with its answer. Without a ``question`` it follows the chat's first unfinished answer.

    ``text`` is what the attempt has said; ``shown`` what was printed since the last mark.
    """

    chat: UUID
    question: Send | None = None
    run: UUID | None = None
    attempt: int = 0
    text: str = ""
    shown: str = ""
    stopping: bool = False


Outcome = tuple[Turn, tuple[Effect, ...]]

change = msgspec.structs.replace
_decoder: Final = msgspec.json.Decoder(ServerMessage)


def decode(frame: str) -> ServerMessage | None:
    """The message in a server's frame; None for one that this version does not know."""
    try:
        message: ServerMessage = _decoder.decode(frame)
        return message
    except msgspec.MsgspecError:
        return None


def opening(turn: Turn) -> tuple[ClientMessage, ...]:
    """What to say on a new connection. A question whose acceptance is not known is sent again: its id makes it one."""
    if turn.run is None:
        return (turn.question or Watch(turn.chat),)
    watch = Watch(turn.chat, (turn.run,))
    return (watch, Stop(turn.run)) if turn.stopping else (watch,)


def interrupted(turn: Turn) -> Outcome:
    """The person wants no more of this answer."""
    turn = change(turn, stopping=True)
    note = Note("stopping; Ctrl-C again leaves")
    return turn, (note, Tell(Stop(turn.run))) if turn.run else (note,)


def heard(turn: Turn, message: ServerMessage) -> Outcome:
    """A message of the server arrived."""
    match message:
        case Accepted():
            return _accepted(turn, message)
        case Snapshot():
            return _replaced(turn, message)
        case Delta():
            return _grown(turn, message) if message.run == turn.run else (turn, ())
        case Done() | Failed():
            return _ended(turn, message) if message.run == turn.run else (turn, ())
        case Queued():
            return turn, (Note(_place(message)),) if message.run == turn.run else ()
        case Watching():
            return turn, (Over(),) if turn.run is None and turn.question is None else ()
        case Refusal():
            return turn, _refused(turn, message)
        case Hello() | Started() | MessageAdded() | ChatChanged():
            return turn, ()
        case _:
            assert_never(message)


def _accepted(turn: Turn, message: Accepted) -> Outcome:
    if turn.question is None or message.id != turn.question.id:
        return turn, ()
    turn = change(turn, run=message.run)
    return turn, (Tell(Stop(message.run)),) if turn.stopping else ()


def _replaced(turn: Turn, message: Snapshot) -> Outcome:
    if turn.run is None and turn.question is None and message.chat == turn.chat:
        turn = change(turn, run=message.run)
    older = (message.attempt, message.seq) < (turn.attempt, len(turn.text))
    if message.run != turn.run or older:
        return turn, ()
    return _show(change(turn, attempt=message.attempt, text=message.text))


def _grown(turn: Turn, message: Delta) -> Outcome:
    fresh = turn.attempt == 0 and not turn.text
    if message.attempt < turn.attempt or (message.attempt == turn.attempt and message.seq <= len(turn.text)):
        return turn, ()
    if message.start > len(turn.text) + 1 or (message.attempt > turn.attempt and not fresh):
        return turn, _watch(turn)
    more = message.text[len(turn.text) + 1 - message.start :]
    return _show(change(turn, attempt=message.attempt, text=turn.text + more))


def _show(turn: Turn) -> Outcome:
    """Print what the terminal does not have yet."""
    if turn.shown.startswith(turn.text):
        return turn, ()
    extends = turn.text.startswith(turn.shown)
    printed = turn.text[len(turn.shown) :] if extends else MARK + turn.text
    return change(turn, shown=turn.text), (Print(printed),)


def _ended(turn: Turn, message: Done | Failed) -> Outcome:
    whole = message.seq == len(turn.text) and (message.attempt == turn.attempt or not turn.text)
    if not whole:
        return turn, _watch(turn)
    error = f"The answer failed: {message.message} ({message.code})" if isinstance(message, Failed) else None
    # An attempt that ended before it had repeated all that was printed: what is stored is shorter.
    left: tuple[Effect, ...] = () if turn.shown == turn.text else (Print(MARK + turn.text),)
    return change(turn, shown=turn.text), (*left, Over(error))


def _refused(turn: Turn, message: Refusal) -> tuple[Effect, ...]:
    if turn.run is None:
        return (Over(f"{message.message} ({message.code})"),)
    # What was accepted will be answered: whoever watches it asks until it can be told.
    return (Again(),) if message.retryable else (Over(f"{message.message} ({message.code})"),)


def _watch(turn: Turn) -> tuple[Effect, ...]:
    return (Tell(Watch(turn.chat, (turn.run,))),) if turn.run else ()


def _place(message: Queued) -> str:
    about = f", about {message.eta:.0f} s" if message.eta is not None else ""
    return f"waiting at place {message.position}{about}"
