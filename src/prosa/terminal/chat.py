"""``prosa chat``: questions from a person or a pipe, one answer after another."""

import asyncio
from collections.abc import Callable
from uuid import UUID

import msgspec

from prosa.core.errors import ProsaError
from prosa.core.protocol import MessageView, Send
from prosa.terminal.client import Server, follow, past
from prosa.terminal.screen import Screen
from prosa.terminal.transcript import Over, Turn


class Conversation(msgspec.Struct, frozen=True):
    """Where to talk, in which chat, to which model (None: the server's default), and whence ids come."""

    server: Server
    chat: UUID
    model: str | None
    uuid: Callable[[], UUID]
    known: bool = False
    """The chat exists already: what was said last in it is shown first, and what still runs."""


def converse(conversation: Conversation, screen: Screen) -> int:
    """Ask until there are no more questions. Returns the exit code: 1 where an answer was not whole, 130 on leaving."""
    chat = conversation.chat
    try:
        screen.note("Ctrl-C stops an answer, Ctrl-D leaves.")
        if conversation.known:
            asyncio.run(recall(conversation, screen))
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


async def recall(conversation: Conversation, screen: Screen) -> None:
    """What was said last in a chat, for who goes on with it, and the answers that still run, to their end.

    Raises Refused where there is no such chat.
    """
    chat = await past(conversation.server, conversation.chat)
    screen.note(chat.title)
    asked = {message.id: message.text for message in chat.messages}
    replies = [message for message in chat.messages if message.role == "assistant"]
    for reply in [reply for reply in replies if reply.run in chat.runs] or replies[-1:]:
        screen.question(asked.get(reply.parent, "…") if reply.parent else "…")
        if reply.run in chat.runs:
            _whole(await _followed(conversation, Turn(conversation.chat, run=reply.run), screen), screen)
        else:
            _ended(reply, screen)


def _ended(reply: MessageView, screen: Screen) -> None:
    if not screen.interactive:
        return
    screen.answer(reply.text)
    screen.end()
    if reply.error is not None:
        screen.error(f"The answer failed: {reply.error} ({reply.code})")


def _show(conversation: Conversation, turn: Turn, screen: Screen) -> bool:
    return _whole(asyncio.run(_followed(conversation, turn, screen)), screen)


async def _followed(conversation: Conversation, turn: Turn, screen: Screen) -> Over:
    try:
        return await follow(conversation.server, turn, screen)
    except ProsaError:
        screen.end()
        raise


def _whole(over: Over, screen: Screen) -> bool:
    if over.error is not None:
        screen.error(over.error)
    return over.error is None


def _again(conversation: Conversation) -> str:
    return f": prosa chat --chat {conversation.chat}"
