"""What administrators ask over HTTP. Nothing here reads what was said."""

from enum import Enum
from typing import Annotated, Final
from uuid import UUID

from fastapi import APIRouter, Path, Query, Response

from prosa.core.operations import Wanted
from prosa.core.run import RunState
from prosa.gateway import admin_schemas as schemas
from prosa.gateway.caller import Administrator, Gateway
from prosa.gateway.documents import Document, operation
from prosa.gateway.http import Cursor, Limit

RUNS: Final = 50
"""On a page, where no limit is named."""
LONGEST: Final = 200
STORABLE: Final = r"^[^\x00]*$"
"""No name has it, and PostgreSQL refuses to be asked for it."""
Named = Annotated[str | None, Query(max_length=LONGEST, pattern=STORABLE)]
Who = Annotated[str | None, Query(max_length=LONGEST, pattern=STORABLE, description="An id or a username.")]
Worker = Annotated[str, Path(max_length=LONGEST, pattern=STORABLE)]


async def overview(parts: Gateway) -> Response:
    """How the installation stands, at most a second ago: who lives, what waits, how quick the answers are."""
    # Many look each second, and there may be hundreds of processes: the framework would write it in ten times the time.
    body = schemas.Standing.of(await parts.administration.overview()).model_dump_json()
    return Response(body, media_type="application/json")


async def runs(  # noqa: PLR0913 — a route's parameters are the request's
    *,
    parts: Gateway,
    state: RunState | None = None,
    user: Who = None,
    model: Named = None,
    worker: Named = None,
    code: Named = None,
    chat: UUID | None = None,
    run: UUID | None = None,
    cursor: Cursor = None,
    limit: Limit = RUNS,
) -> schemas.RunPage:
    """Everybody's runs, newest first, for which all of the filters hold."""
    wanted = Wanted(state=state, user=user, model=model, worker=worker, code=code, chat=chat, run=run)
    return schemas.RunPage.of(await parts.administration.runs(wanted, cursor, limit))


async def story(run: UUID, parts: Gateway) -> schemas.RunStory:
    """One run, and what happened to it."""
    return schemas.RunStory.of(await parts.administration.story(run))


async def stop(run: UUID, parts: Gateway) -> Response:
    """Ends a run with what it has said, as if its user had; changes nothing on one that is over."""
    await parts.administration.stop(run)
    return Response(status_code=204)


async def retry(run: UUID, parts: Gateway) -> schemas.Retried:
    """Answers the question of a run that is over once more, as if its user had asked for it."""
    return schemas.Retried(run=await parts.administration.retry(run))


async def drain(worker: Worker, parts: Gateway) -> Response:
    """Asks a worker to finish what it has, take no more, and end. It hears of it within a second or two."""
    await parts.administration.drain(worker)
    return Response(status_code=204)


def router() -> APIRouter:
    routes = APIRouter(prefix="/api/admin", dependencies=[Administrator])
    tags: list[str | Enum] = ["administration"]
    one = "/runs/{run}"
    add = routes.add_api_route
    seen = _operation("See how the installation stands")
    add("/overview", overview, response_model=schemas.Standing, tags=tags, **seen)
    add("/runs", runs, name="all_runs", tags=tags, **_operation("List everybody's runs", "bad_request", "bad_id"))
    add(one, story, tags=tags, **_operation("Read a run's life", "not_found", "bad_id"))
    changed: Document = {"methods": ["POST"], "status_code": 202, "tags": tags}
    found = ("not_found", "bad_id", "forbidden_origin")
    bare: Document = {**changed, "status_code": 204, "response_class": Response}
    add(one + "/stop", stop, name="stop_any", **bare, **_operation("Stop anybody's run", *found))
    refused = (*found, "not_ended", "too_many_waiting", "storage_full")
    add(one + "/retry", retry, **changed, **_operation("Answer again", *refused))
    kept = (*found, "bad_request", "one_process")
    add("/workers/{worker}/drain", drain, **bare, **_operation("Drain a worker", *kept))
    return routes


def _operation(summary: str, *codes: str) -> Document:
    return operation(summary, "not_allowed", *codes)
