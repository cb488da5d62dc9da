"""What a worker says of itself over HTTP: that it lives, that it is ready, and its metrics. Nothing else."""

from collections.abc import Callable

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from prosa.core.exposure import Exposure
from prosa.worker.runner import Runner


class Probes:
    """``runner`` is None until the worker has a database and its models."""

    def __init__(self, name: str, exposition: Callable[[], Response], exposure: Exposure) -> None:
        self.name = name
        self.exposition = exposition
        self.exposure = exposure
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
        peer = request.client.host if request.client else None
        if not probes.exposure.admits(peer, request.headers):
            raise HTTPException(404)
        return probes.exposition()

    paths = {"/health": ready, "/health/ready": ready, "/health/live": live, "/metrics": metrics}
    app = Starlette(routes=[Route(path, endpoint) for path, endpoint in paths.items()])
    app.router.redirect_slashes = False
    return app
