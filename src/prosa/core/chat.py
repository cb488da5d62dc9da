"""Chats and their messages: a tree, of which a prompt is one branch from the root to a question."""

from collections.abc import Iterable
from datetime import datetime
from enum import StrEnum
from uuid import UUID

import msgspec

from prosa.core.run import End, RunState


class Role(StrEnum):
    SYSTEM = "system"
    USER = "user"
    ASSISTANT = "assistant"


class Chat(msgspec.Struct, frozen=True):
    id: UUID
    title: str
    status: str
    created_at: datetime
    updated_at: datetime


class Message(msgspec.Struct, frozen=True):
    """One message as its user sees it.

    A question and its reply share an ``ordinal``, given at accept; the question comes first. ``state`` of a
    question is ``done``; of a reply, its run's. ``text`` of an unfinished reply is what was saved so far.
    """

    id: UUID
    chat: UUID
    parent: UUID | None
    role: Role
    text: str
    state: RunState
    ordinal: int
    created_at: datetime
    run: UUID | None = None
    attempt: int = 0
    model: str | None = None
    end: End | None = None


class Page(msgspec.Struct, frozen=True):
    """A keyset page of chats, newest first; ``next`` is the cursor of the next page, None at the end."""

    items: tuple[Chat, ...]
    next: str | None


class History(msgspec.Struct, frozen=True):
    """A chat with a page of its messages by ordinal (the newest page first) and its unfinished runs."""

    chat: Chat
    messages: tuple[Message, ...]
    runs: tuple[UUID, ...]
    previous: str | None = None
    """The cursor of the page of older messages."""


class Turn(msgspec.Struct, frozen=True):
    """One message of a prompt, as an engine reads it."""

    role: Role
    text: str


class Exchange(msgspec.Struct, frozen=True):
    """A question with one of its replies, on the branch that leads to a new question."""

    question: str
    reply: str
    state: RunState


def prompt(system: str | None, exchanges: Iterable[Exchange], question: str) -> tuple[Turn, ...]:
    """The turns that an engine gets: the branch from the root to the question.

    Exchanges that were withdrawn or ended empty are left out, with their questions: a model that sees a
    question without an answer tries to answer it again.
    """
    turns = [Turn(Role.SYSTEM, system)] if system else []
    for exchange in exchanges:
        if exchange.reply:
            turns += [Turn(Role.USER, exchange.question), Turn(Role.ASSISTANT, exchange.reply)]
    return (*turns, Turn(Role.USER, question))
