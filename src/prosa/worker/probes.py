"""What a worker says of itself over HTTP: that it lives, that it is ready, and its metrics. Nothing else."""

import hmac
from collections.abc import Callable
from typing import Final

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from prosa.worker.runner import Runner

METRICS_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"


class Probes:
    """``runner`` is None until the worker has a database and its models."""

    def __init__(self, name: str, exposition: Callable[[], bytes], metrics_token: str | None) -> None:
        self.name = name
        self.exposition = exposition
        self.metrics_token = metrics_token
        self.runner: Runner | None = None

    @property
    def state(self) -> str:
        """``starting``, ``ok``, ``draining``, or ``unavailable``: no heartbeat could be written for a lease."""
        if self.runner is None:
            return "starting"
        if self.runner.draining:
            return "draining"
        return "ok" if self.runner.beats else "unavailable"


def application(probes: Probes) -> Starlette:
    """``/health/live``, ``/health/ready`` (503 unless the worker takes runs), ``/health`` and ``/metrics``."""

    async def live(_request: Request) -> Response:
        return JSONResponse({"state": "alive"})

    async def ready(_request: Request) -> Response:
        runner = probes.runner
        state = {"state": probes.state, "worker": probes.name}
        slots = {"slots": runner.slots, "slots_used": runner.busy} if runner else {}
        return JSONResponse({**state, **slots}, 200 if probes.state == "ok" else 503)

    async def metrics(request: Request) -> Response:
        if not _admitted(request, probes.metrics_token):
            return JSONResponse({"code": "not_signed_in"}, 401)
        return Response(probes.exposition(), media_type=METRICS_TYPE)

    paths = {"/health": ready, "/health/ready": ready, "/health/live": live, "/metrics": metrics}
    return Starlette(routes=[Route(path, endpoint) for path, endpoint in paths.items()])


def _admitted(request: Request, token: str | None) -> bool:
    given = request.headers.get("authorization", "")
    return token is None or hmac.compare_digest(given.encode(), f"Bearer {token}".encode())
