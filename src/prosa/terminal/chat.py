"""``prosa chat``: questions from a person or a pipe, one answer after another."""

import asyncio
from collections.abc import Callable
from uuid import UUID

import msgspec

from prosa.core.errors import ProsaError
from prosa.core.protocol import Send
from prosa.terminal.client import Server, follow
from prosa.terminal.screen import Screen
from prosa.terminal.transcript import Over, Turn


class Conversation(msgspec.Struct, frozen=True):
    """Where to talk, in which chat, to which model (None: the server's default), and whence ids come."""

    server: Server
    chat: UUID
    model: str | None
    uuid: Callable[[], UUID]
    known: bool = False
    """The chat exists already: an answer that still runs in it is shown first."""


def converse(conversation: Conversation, screen: Screen) -> int:
    """Ask until there are no more questions. Returns the exit code: 1 where an answer was not whole, 130 on leaving."""
    chat = conversation.chat
    try:
        if conversation.known:
            _show(conversation, Turn(chat), screen)
        whole = True
        for text in screen.questions():
            question = Send(conversation.uuid(), chat, text, model=conversation.model)
            whole = _show(conversation, Turn(chat, question), screen)
    except asyncio.CancelledError:
        screen.error("left; the answer goes on at the server" + _again(conversation))
        return 130
    if screen.interactive:
        screen.note("to go on later" + _again(conversation))
    return 0 if whole else 1


def _show(conversation: Conversation, turn: Turn, screen: Screen) -> bool:
    try:
        over = asyncio.run(follow(conversation.server, turn, screen))
    except ProsaError:
        screen.end()
        raise
    return _whole(over, screen)


def _whole(over: Over, screen: Screen) -> bool:
    if over.error is not None:
        screen.error(over.error)
    return over.error is None


def _again(conversation: Conversation) -> str:
    return f": prosa chat --chat {conversation.chat}"
