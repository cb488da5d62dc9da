"""Whether this gateway lives, whether it is ready, and its metrics."""

import asyncio
import hmac
from collections.abc import Mapping
from typing import Final, Literal

from fastapi import APIRouter, Request, Response

from prosa.core.errors import NotSignedIn, ProsaError
from prosa.core.run import RunState
from prosa.gateway import schemas
from prosa.gateway.caller import Gateway
from prosa.gateway.credentials import secret_of
from prosa.gateway.documents import Document, operation
from prosa.gateway.parts import Parts

METRICS_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"

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
    """For Prometheus. Where the deployment has a metrics token, it must be sent as the bearer's."""
    wanted = parts.options.metrics_token
    if wanted is not None:
        secret, _ = secret_of(request.headers, {})
        if secret is None or not hmac.compare_digest(secret.encode(), wanted.encode()):
            raise NotSignedIn("The metrics need their token. Send it as Authorization: Bearer.")
    await _measure(parts)
    return Response(parts.exposition(), media_type=METRICS_TYPE)


async def _measure(parts: Parts) -> None:
    counts = await _counts(parts)
    if counts is not None:
        for state in RunState:
            if not state.ended:
                parts.metrics.gauge("runs", counts.get(state, 0), state=state.value)


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
        200: {"description": "Metrics.", "content": {"text/plain": {"example": "prosa_sockets 12.0\n"}}}
    }
    exposed = operation("Metrics", "not_signed_in", signed_in=False, stored=False, responses=text)
    routes.add_api_route("/metrics", metrics, response_class=Response, **exposed)
    return routes
