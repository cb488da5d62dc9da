"""The metrics at a port of their own, and nothing else there."""

from collections.abc import Callable

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from prosa.core.exposure import Exposure


def application(exposition: Callable[[], Response], exposure: Exposure) -> Starlette:
    """``/metrics`` for whom the exposure admits; everything else is 404."""

    async def metrics(request: Request) -> Response:
        if not exposure.admits(request.client.host if request.client else None, request.headers):
            raise HTTPException(404)
        return exposition()

    app = Starlette(routes=[Route("/metrics", metrics)])
    app.router.redirect_slashes = False
    return app
