"""The gateway as one ASGI application: routes, the edge around them, and the page behind them."""

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from prosa.core.errors import ProsaError
from prosa.gateway import admin, auth, documents, health, http, page, problems
from prosa.gateway.edge import Edge
from prosa.gateway.page import Page
from prosa.gateway.parts import Options, Parts

__all__ = ["Options", "Parts", "application"]


def application(parts: Parts) -> FastAPI:
    """Everything a client can reach. Nothing runs in it by itself: the composition root owns all tasks."""
    app = FastAPI(
        title="Prosa",
        version=parts.options.version,
        openapi_url="/api/openapi.json",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    app.state.parts = parts
    app.openapi = documents.describe(app)  # type: ignore[method-assign]  # FastAPI's own way to extend the document
    app.add_middleware(Edge, parts=parts)
    _handlers(app)
    app.router.routes.extend(parts.websockets)
    for router in (auth.router(), http.router(), admin.router(), health.router()):
        app.include_router(router)
    app.router.default = Page(page.load())
    return app


def _handlers(app: FastAPI) -> None:
    app.add_exception_handler(ProsaError, problems.on_refusal)
    app.add_exception_handler(RequestValidationError, problems.on_invalid)
    app.add_exception_handler(HTTPException, problems.on_http)
    app.add_exception_handler(Exception, problems.on_crash)
