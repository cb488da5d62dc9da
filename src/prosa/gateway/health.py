"""Whether this gateway lives, whether it is ready, and its metrics."""

import asyncio
from collections.abc import Mapping
from typing import Literal

from fastapi import APIRouter, Request, Response
from starlette.exceptions import HTTPException

from prosa.core.errors import ProsaError
from prosa.core.run import RunState
from prosa.gateway import schemas
from prosa.gateway.caller import Gateway
from prosa.gateway.documents import Document, operation
from prosa.gateway.parts import Parts

State = Literal["ok", "draining", "unavailable"]


async def health(response: Response, parts: Gateway) -> schemas.Health:
    """The whole of it on one page: 503 where the gateway is not ready."""
    store = await _counts(parts) is not None
    state: State = "unavailable" if not store else "ok" if parts.ready() else "draining"
    response.status_code = 200 if state == "ok" else 503
    return schemas.Health(version=parts.options.version, state=state, store=store, gateway=parts.hub.name)


async def live() -> schemas.Alive:
    """The process answers: it need not be restarted."""
    return schemas.Alive(state="alive")


async def metrics(request: Request, parts: Gateway) -> Response:
    """For Prometheus, with the deployment's metrics token as the bearer's; without one, from the same machine alone.

    Everybody else learns nothing: there is nothing at this address for them.
    """
    peer = request.client.host if request.client else None
    if not parts.options.metrics.admits(peer, request.headers):
        raise HTTPException(404)
    return parts.exposition()


async def _counts(parts: Parts) -> Mapping[RunState, int] | None:
    """Unfinished runs by state; None where the store does not answer in time."""
    try:
        async with asyncio.timeout(parts.options.probe_seconds):
            return await parts.reads.counts()
    except (TimeoutError, ProsaError):
        return None


def router() -> APIRouter:
    routes = APIRouter(tags=["operations"])
    away: dict[int | str, Document] = {
        503: {"model": schemas.Health, "description": "Draining, or the store does not answer."}
    }
    for path, summary in (("/health", "Health"), ("/health/ready", "Readiness")):
        described = operation(summary, signed_in=False, stored=False, responses=away)
        routes.add_api_route(path, health, name=summary.lower(), **described)
    routes.add_api_route("/health/live", live, **operation("Liveness", signed_in=False, stored=False))
    text: dict[int | str, Document] = {
        200: {"description": "Metrics.", "content": {"text/plain": {"example": "prosa_sockets 12.0\n"}}},
        503: {"description": "Too many ask at once.", "content": {"text/plain": {"example": "Try again.\n"}}},
    }
    exposed = operation("Metrics", "not_found", signed_in=False, stored=False, responses=text)
    routes.add_api_route("/metrics", metrics, response_class=Response, **exposed)
    return routes
