"""The last word: what the deployment has stored, held against what was streamed, character by character."""

import asyncio
from collections.abc import Sequence
from typing import Final
from uuid import UUID

import aiohttp
import msgspec

from prosa.core.protocol import MessageView
from prosa.load.answer import Asked, Fate
from prosa.load.reading import Flaw

AT_ONCE: Final = 8
PAGE: Final = 100
TRIES: Final = 20
PAUSE_SECONDS: Final = 1.0


class Page(msgspec.Struct, frozen=True):
    """A page of a chat as the history tells it."""

    messages: tuple[MessageView, ...]
    previous: str | None = None


def compare(asked: Sequence[Asked], messages: Sequence[MessageView]) -> None:
    """Hold what was asked in a chat against the chat's messages, and note what differs. Pure."""
    questions = {message.id: message for message in messages if message.role == "user"}
    replies: dict[UUID | None, list[MessageView]] = {}
    for message in messages:
        if message.role == "assistant":
            replies.setdefault(message.parent, []).append(message)
    ids = [message.id for message in messages]
    if len(ids) != len(set(ids)):
        asked[0].reading.flaw(Flaw.DUPLICATED, "the history has a message twice")
    for one in asked:
        if one.run is not None:
            _compare(one, questions.get(one.id), replies.get(one.id, []))


def _compare(asked: Asked, question: MessageView | None, replies: list[MessageView]) -> None:
    reading = asked.reading
    if question is None or not replies:
        reading.flaw(Flaw.LOST, f"the history has no {'message' if question is None else 'reply'} of {asked.id}")
        return
    if len(replies) > 1:
        reading.flaw(Flaw.DUPLICATED, f"the history has {len(replies)} replies to message {asked.id}")
    if question.text != asked.text:
        reading.flaw(Flaw.CORRUPTED, f"the history has another text of message {asked.id}")
    if question.ordinal != asked.ordinal:
        reading.flaw(Flaw.REORDERED, f"accepted as number {asked.ordinal}, stored as number {question.ordinal}")
    if asked.fate in (Fate.ANSWERED, Fate.FAILED):
        _compare_text(asked, replies[0])


def _compare_text(asked: Asked, reply: MessageView) -> None:
    streamed, stored = asked.reading.text, reply.text
    if not reply.state.ended:
        asked.reading.flaw(Flaw.CORRUPTED, f"its end was told, and the history says {reply.state}")
    if streamed != stored:
        at = next((n for n, (a, b) in enumerate(zip(streamed, stored, strict=False)) if a != b), None)
        where = f"from character {at + 1} on" if at is not None else f"{len(streamed)} and {len(stored)} characters"
        asked.reading.flaw(Flaw.CORRUPTED, f"what was streamed and what is stored differ: {where}")


async def verify(urls: Sequence[str], people: Sequence[tuple[str, Sequence[Asked]]]) -> int:
    """Read the chats of all people (token, messages) and ``compare``. The number of chats that could not be read."""
    permits = asyncio.Semaphore(AT_ONCE)
    timeout = aiohttp.ClientTimeout(total=30)
    unread: list[UUID] = []
    async with aiohttp.ClientSession(timeout=timeout) as http, asyncio.TaskGroup() as group:
        for token, messages in people:
            for chat, asked in _by_chat(messages).items():
                group.create_task(_verify(http, permits, _Chat(urls, token, chat), (asked, unread)))
    return len(unread)


class _Chat(msgspec.Struct, frozen=True):
    urls: Sequence[str]
    token: str
    chat: UUID


async def _verify(
    http: aiohttp.ClientSession, permits: asyncio.Semaphore, chat: _Chat, result: tuple[list[Asked], list[UUID]]
) -> None:
    asked, unread = result
    async with permits:
        messages = await _messages(http, chat)
    if messages is None:
        unread.append(chat.chat)
    else:
        compare(asked, messages)


async def _messages(http: aiohttp.ClientSession, chat: _Chat) -> list[MessageView] | None:
    """All messages of a chat; none where the chat does not exist, None where nobody can tell."""
    messages: list[MessageView] = []
    cursor: str | None = ""
    while cursor is not None:
        page = await _page(http, chat, cursor)
        if page is None:
            return None
        messages = [*page.messages, *messages]
        cursor = page.previous
    return messages


async def _page(http: aiohttp.ClientSession, chat: _Chat, cursor: str) -> Page | None:
    """One page, asked of one address after the other until one of them tells."""
    for number in range(TRIES):
        try:
            page = await _asked(http, chat, cursor, chat.urls[number % len(chat.urls)])
        except (aiohttp.ClientError, OSError, msgspec.MsgspecError):
            page = None
        if page is not None:
            return page
        await asyncio.sleep(PAUSE_SECONDS)
    return None


async def _asked(http: aiohttp.ClientSession, chat: _Chat, cursor: str, url: str) -> Page | None:
    query = {"limit": str(PAGE), **({"cursor": cursor} if cursor else {})}
    headers = {"Authorization": f"Bearer {chat.token}"}
    async with http.get(f"{url}/api/chats/{chat.chat}", params=query, headers=headers) as response:
        if response.status == 404:
            return Page(())
        return msgspec.json.decode(await response.read(), type=Page) if response.status == 200 else None


def _by_chat(messages: Sequence[Asked]) -> dict[UUID, list[Asked]]:
    chats: dict[UUID, list[Asked]] = {}
    for asked in messages:
        if asked.run is not None:
            chats.setdefault(asked.chat, []).append(asked)
    return chats
