"""The bodies of HTTP: what may be sent and what is answered, with examples. Pydantic lives here and nowhere deeper."""

from datetime import datetime
from typing import Any, Final, Literal, Self
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from prosa.core import protocol
from prosa.core.chat import History, Page
from prosa.core.relay import Row
from prosa.core.run import Finish, RunState
from prosa.core.work import Receipt

CHAT: Final = "01981a5e-7b7a-7000-8000-000000000001"
QUESTION: Final = "01981a5e-7b7a-7000-8000-000000000002"
REPLY: Final = "01981a5e-7b7a-7000-8000-000000000003"
RUN: Final = "01981a5e-7b7a-7000-8000-000000000004"
USER: Final = "01981a5e-7b7a-7000-8000-000000000005"
TIME: Final = "2026-01-01T12:00:00Z"
USAGE: Final = {"prompt_tokens": 12, "completion_tokens": 5}


def _example(value: dict[str, Any]) -> ConfigDict:
    return ConfigDict(json_schema_extra={"examples": [value]}, from_attributes=True, frozen=True)


_USER: Final[dict[str, Any]] = {"id": USER, "username": "ana", "role": "member"}
_CREDENTIALS: Final[dict[str, Any]] = {"username": "ana", "password": "correct horse"}
_CHAT: Final[dict[str, Any]] = {
    "id": CHAT,
    "title": "What is a run?",
    "status": "ACTIVE",
    "created_at": TIME,
    "updated_at": TIME,
}
_MESSAGE: Final[dict[str, Any]] = {
    "id": REPLY,
    "chat": CHAT,
    "parent": QUESTION,
    "role": "assistant",
    "text": "One answer in the making.",
    "state": "done",
    "ordinal": 1,
    "created_at": TIME,
    "run": RUN,
    "attempt": 1,
    "seq": 25,
    "model": "local",
    "finish": "stop",
    "usage": USAGE,
    "code": None,
    "error": None,
    "retryable": None,
}
_RUN: Final[dict[str, Any]] = {
    "run": RUN,
    "chat": CHAT,
    "reply": REPLY,
    "request": QUESTION,
    "state": "done",
    "ordinal": 1,
    "attempt": 1,
    "seq": 25,
    "text": "One answer in the making.",
    "model": "local",
    "finish": "stop",
    "usage": USAGE,
    "code": None,
    "error": None,
    "retryable": None,
}
_ACCEPTED: Final[dict[str, Any]] = {
    "type": "accepted",
    "id": QUESTION,
    "chat": CHAT,
    "run": RUN,
    "reply": REPLY,
    "state": "queued",
    "ordinal": 1,
    "position": 1,
}


# ── what is sent ─────────────────────────────────────────────────────────────────────────────────────────────


class Credentials(BaseModel):
    """Who signs in or up."""

    model_config = _example(_CREDENTIALS)

    username: str = Field(description="1 to 64 letters, digits, or . _ @ + -; upper and lower case are the same name.")
    password: str = Field(description="8 to 1024 characters.")


class Title(BaseModel):
    model_config = _example({"title": "What is a run?"})

    title: str = Field(description="1 to 200 characters.")


class Question(BaseModel):
    """A message to send. ``id`` is made by the client: the same id again means the same message, with one answer."""

    model_config = _example({"id": QUESTION, "text": "What is a run?"})

    id: UUID
    text: str
    parent: UUID | None = Field(None, description="A reply of this chat; its newest where left out.")
    model: str | None = Field(None, description="One of the names in /api/info; the first where left out.")
    chat: UUID | None = Field(None, description="May be left out; must be the chat of the address.")


class Again(BaseModel):
    """A request for a sibling of a reply. ``id`` names the request, like a message's."""

    model_config = _example({"id": QUESTION})

    id: UUID
    model: str | None = None


# ── what is answered ─────────────────────────────────────────────────────────────────────────────────────────


class User(BaseModel):
    model_config = _example(_USER)

    id: UUID
    username: str
    role: str


class Token(BaseModel):
    """A program's sign-in: send it as ``Authorization: Bearer``. ``expires_in`` is in seconds."""

    model_config = _example({"access_token": "a-long-secret", "token_type": "bearer", "expires_in": 2592000})

    access_token: str
    token_type: Literal["bearer"] = Field(default="bearer")
    expires_in: int


class Info(BaseModel):
    """What a page needs to know before anybody has signed in."""

    model_config = _example(
        {"name": "prosa", "version": "0.1.0", "sign_up": True, "first_account": False, "models": ["local"]}
    )

    name: Literal["prosa"] = "prosa"
    version: str
    sign_up: bool = Field(description="Whether anybody may make an account.")
    first_account: bool = Field(description="There is no account yet: the next one is the administrator's.")
    models: tuple[str, ...]


class Chat(BaseModel):
    model_config = _example(_CHAT)

    id: UUID
    title: str
    status: str
    created_at: datetime
    updated_at: datetime


class ChatPage(BaseModel):
    """Newest first. ``next`` is the ``cursor`` of the next page, null at the end."""

    model_config = _example({"items": [_CHAT], "next": None})

    items: list[Chat]
    next: str | None

    @classmethod
    def of(cls, page: Page) -> Self:
        return cls(items=[Chat.model_validate(chat) for chat in page.items], next=page.next)


class Usage(BaseModel):
    model_config = _example({**USAGE})

    prompt_tokens: int
    completion_tokens: int


class Message(BaseModel):
    """``seq`` is the length of the text in code points; the last five are null until there is an end."""

    model_config = _example(_MESSAGE)

    id: UUID
    chat: UUID
    parent: UUID | None
    role: Literal["user", "assistant"]
    text: str
    state: RunState
    ordinal: int
    created_at: datetime
    run: UUID | None
    attempt: int
    seq: int
    model: str | None
    finish: Finish | None
    usage: Usage | None
    code: str | None
    error: str | None
    retryable: bool | None


class ChatHistory(Chat):
    """A chat with its newest messages by ordinal. ``previous`` is the ``cursor`` of the older ones."""

    model_config = _example({**_CHAT, "messages": [_MESSAGE], "runs": [], "previous": None})

    messages: list[Message]
    runs: list[UUID] = Field(description="The runs without an end: follow their events.")
    previous: str | None

    @classmethod
    def of(cls, history: History) -> Self:
        chat = Chat.model_validate(history.chat).model_dump()
        messages = [Message.model_validate(protocol.MessageView.of(message)) for message in history.messages]
        return cls(**chat, messages=messages, runs=list(history.runs), previous=history.previous)


class Accepted(BaseModel):
    """The message is stored, and will be answered. ``position`` counts from 1 in the queue; 0 once it has left it."""

    model_config = _example(_ACCEPTED)

    type: Literal["accepted"] = "accepted"
    id: UUID
    chat: UUID
    run: UUID
    reply: UUID
    state: RunState
    ordinal: int
    position: int

    @classmethod
    def of(cls, receipt: Receipt) -> Self:
        row = receipt.row
        return cls(
            id=row.request,
            chat=row.chat,
            run=row.run,
            reply=row.reply,
            state=row.state,
            ordinal=row.ordinal,
            position=receipt.position,
        )


class Run(BaseModel):
    """A run as it is stored: ``text`` is what was saved, which may be a second behind what streams."""

    model_config = _example(_RUN)

    run: UUID
    chat: UUID
    reply: UUID
    request: UUID
    state: RunState
    ordinal: int
    attempt: int
    seq: int
    text: str
    model: str
    finish: Finish | None = None
    usage: Usage | None = None
    code: str | None = None
    error: str | None = None
    retryable: bool | None = None

    @classmethod
    def of(cls, row: Row) -> Self:
        return cls(
            run=row.run,
            chat=row.chat,
            reply=row.reply,
            request=row.request,
            state=row.state,
            ordinal=row.ordinal,
            attempt=row.attempt,
            seq=len(row.text),
            text=row.text,
            model=row.model,
            **_end(row),
        )


def _end(row: Row) -> dict[str, Any]:
    if row.end is None:
        return {}
    failure = row.end.failure
    if failure is not None:
        return {"code": failure.code, "error": failure.message, "retryable": failure.retryable}
    return {"finish": row.end.finish, "usage": Usage.model_validate(row.end.usage)}


class Health(BaseModel):
    """``state``: ``ok``, ``draining`` (it takes no new clients), or ``unavailable`` (the store does not answer)."""

    model_config = _example({"name": "prosa", "version": "0.1.0", "state": "ok", "store": True, "gateway": "gw-1a2b"})

    name: Literal["prosa"] = "prosa"
    version: str
    state: Literal["ok", "draining", "unavailable"]
    store: bool
    gateway: str


class Alive(BaseModel):
    model_config = _example({"state": "alive"})

    state: Literal["alive"] = "alive"
