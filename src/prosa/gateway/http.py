"""Chats, messages and runs over HTTP: each route asks one use-case and answers."""

from enum import Enum
from functools import partial
from typing import Annotated, Final
from uuid import UUID

from fastapi import APIRouter, Header, Query, Request, Response

from prosa.core.errors import BadRequest
from prosa.core.events import ChatTouched
from prosa.core.protocol import Regenerate, Send
from prosa.gateway import schemas, sse
from prosa.gateway.caller import Caller, Gateway
from prosa.gateway.credentials import secret_of
from prosa.gateway.documents import WITH_BODY, Document, operation

Cursor = Annotated[str | None, Query(max_length=500, description="From the page before; the first page without.")]
Limit = Annotated[int, Query(ge=1, le=100)]
EventId = Annotated[str | None, Header(description="The id of the last event that was received.")]
EventIdQuery = Annotated[str | None, Query(description="For clients that cannot set the header Last-Event-ID.")]

EVENTS_EXAMPLE: Final = (
    f'id: 1.9\nevent: delta\ndata: {{"type":"delta","run":"{schemas.RUN}",'
    '"attempt":1,"from":4,"seq":9,"text":"answer"}\n\n'
)


async def page(caller: Caller, parts: Gateway, cursor: Cursor = None, limit: Limit = 30) -> schemas.ChatPage:
    return schemas.ChatPage.of(await parts.chats.page(caller.user.id, cursor, limit))


async def history(
    chat: UUID, caller: Caller, parts: Gateway, cursor: Cursor = None, limit: Limit = 50
) -> schemas.ChatHistory:
    return schemas.ChatHistory.of(await parts.chats.history(caller.user.id, chat, cursor, limit))


async def rename(chat: UUID, body: schemas.Title, caller: Caller, parts: Gateway) -> schemas.Chat:
    renamed = await parts.chats.rename(caller.user.id, chat, body.title)
    parts.hub.announce(ChatTouched(caller.user.id, chat, "updated"))
    return schemas.Chat.model_validate(renamed)


async def delete(chat: UUID, caller: Caller, parts: Gateway) -> Response:
    """Hides the chat and ends its runs."""
    await parts.chats.delete(caller.user.id, chat)
    parts.hub.announce(ChatTouched(caller.user.id, chat, "deleted"))
    return Response(status_code=204)


async def send(chat: UUID, body: schemas.Question, caller: Caller, parts: Gateway) -> schemas.Accepted:
    """Stores a message and its run. An unknown chat is created. The same ``id`` again gives the same answer."""
    if body.chat not in (None, chat):
        raise BadRequest("The body names another chat than the address. Leave `chat` out of the body.")
    message = Send(body.id, chat, body.text, body.parent, body.model)
    return schemas.Accepted.of(await parts.intake.send(caller.user.id, message))


async def regenerate(chat: UUID, reply: UUID, body: schemas.Again, caller: Caller, parts: Gateway) -> schemas.Accepted:
    """Asks for a sibling of a reply. The same ``id`` again gives the same answer."""
    await parts.chats.message(caller.user.id, chat, reply)
    message = Regenerate(body.id, reply, body.model)
    return schemas.Accepted.of(await parts.intake.regenerate(caller.user.id, message))


async def run_(run: UUID, caller: Caller, parts: Gateway) -> schemas.Run:
    return schemas.Run.of(await parts.reads.own(caller.user.id, run))


async def stop(run: UUID, caller: Caller, parts: Gateway) -> schemas.Run:
    """Ends a run with what it has said; withdraws it where it waits; changes nothing on one that is over."""
    return schemas.Run.of(await parts.intake.stop(caller.user.id, run))


async def events(  # noqa: PLR0913 — a route's parameters are the request's
    *,
    run: UUID,
    request: Request,
    caller: Caller,
    parts: Gateway,
    last_event_id: EventId = None,
    resume: Annotated[EventIdQuery, Query(alias="last_event_id")] = None,
) -> Response:
    """Streams what is said in the run, to its end; resumes behind the last event's id; 204 past the end."""
    row = await parts.reads.own(caller.user.id, run)
    at = sse.believable(sse.position(last_event_id or resume), row)
    if at is None:
        return Response(status_code=204)
    secret, _ = secret_of(request.headers, request.cookies)
    follow = partial(parts.hub.follow, sse.cursor(row, at))
    return sse.EventStream(follow, at, parts.clock, partial(parts.access.who, secret), ready=parts.ready)


_EVENTS: Final[dict[int | str, Document]] = {
    200: {
        "description": "Events of the protocol: `event` is the message's type, `data` its JSON, `id` attempt.seq.",
        "content": {"text/event-stream": {"schema": {"type": "string"}, "example": EVENTS_EXAMPLE}},
    },
    204: {"description": "Past the end: there is nothing more."},
}


def router() -> APIRouter:
    routes = APIRouter(prefix="/api")
    _chats(routes)
    _messages(routes)
    _runs(routes)
    return routes


def _chats(routes: APIRouter) -> None:
    one = "/chats/{chat}"
    tags: list[str | Enum] = ["chats"]
    found = ("not_found", "bad_id")
    add = routes.add_api_route
    add("/chats", page, tags=tags, **operation("List chats", "bad_request"))
    add(one, history, tags=tags, **operation("Read a chat", *found, "bad_request"))
    changed = operation("Rename a chat", *found, *WITH_BODY, "text_too_long")
    add(one, rename, methods=["PATCH"], tags=tags, **changed)
    gone = operation("Delete a chat", *found, "forbidden_origin")
    add(one, delete, methods=["DELETE"], status_code=204, response_class=Response, tags=tags, **gone)


def _messages(routes: APIRouter) -> None:
    messages = "/chats/{chat}/messages"
    refused = (*WITH_BODY, "not_found", "bad_id", "id_conflict", "unknown_model", "too_many_waiting", "storage_full")
    options: Document = {"methods": ["POST"], "status_code": 202, "tags": ["messages"]}
    sent = operation("Send a message", *refused, "text_too_long")
    routes.add_api_route(messages, send, **options, **sent)
    again = operation("Ask for another reply", *refused, "not_ended")
    routes.add_api_route(messages + "/{reply}/regenerate", regenerate, **options, **again)


def _runs(routes: APIRouter) -> None:
    one = "/runs/{run}"
    tags: list[str | Enum] = ["runs"]
    found = ("not_found", "bad_id")
    add = routes.add_api_route
    add(one, run_, name="run", tags=tags, **operation("Read a run", *found))
    add(one + "/stop", stop, methods=["POST"], tags=tags, **operation("Stop a run", *found, "forbidden_origin"))
    live = operation("Follow a run", *found, responses=_EVENTS)
    add(one + "/events", events, response_class=Response, tags=tags, **live)
