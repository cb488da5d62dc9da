"""What OpenAPI says of each operation beyond its types: how it can be refused, and by whom it may be used."""

from collections.abc import Callable, Iterator
from typing import Any, Final

import msgspec
from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from prosa.core.errors import ProsaError
from prosa.gateway import admin_schemas as admin_bodies
from prosa.gateway import problems
from prosa.gateway import schemas as bodies
from prosa.gateway.credentials import COOKIE
from prosa.gateway.problems import MEDIA_TYPE, STATUS, Problem

Document = dict[str, Any]

STORED: Final = ("store_unavailable", "overloaded")
WITH_BODY: Final = ("bad_frame", "bad_request", "bad_text", "too_large", "request_timeout", "forbidden_origin")
SIGNED_IN: Final = ("not_signed_in",)
SECURITY: Final[list[dict[str, list[str]]]] = [{"cookie": []}, {"bearer": []}]
_SCHEMES: Final[Document] = {
    "cookie": {"type": "apiKey", "in": "cookie", "name": COOKIE, "description": "Set by signing in or up."},
    "bearer": {"type": "http", "scheme": "bearer", "description": "From /api/auth/token or `prosa token`."},
}
_DESCRIPTION: Final = (
    "Prosa over HTTP. The live side is the socket at /api/ws (protocol prosa.v1); a run's events can also be read "
    "as server-sent events. Every error is an application/problem+json with a stable `code`."
)


def operation(
    summary: str,
    *codes: str,
    signed_in: bool = True,
    stored: bool = True,
    responses: dict[int | str, Any] | None = None,
) -> Document:
    """Keyword arguments for a route: its summary, and a response for every code that can refuse it.

    ``stored``: it needs the store, and is refused while that is away.
    """
    known = (*codes, *(SIGNED_IN if signed_in else ()), *(STORED if stored else ()), "internal")
    extra = {"security": SECURITY} if signed_in else {}
    return {"summary": summary, "responses": {**_responses(known), **(responses or {})}, "openapi_extra": extra}


def _responses(codes: tuple[str, ...]) -> dict[int | str, Any]:
    found: dict[int | str, Any] = {}
    for code in codes:
        entry = found.setdefault(STATUS[code], {"description": "", "content": {MEDIA_TYPE: {"examples": {}}}})
        content = entry["content"][MEDIA_TYPE]
        content["schema"] = {"$ref": "#/components/schemas/Problem"}
        content["examples"][code] = {"value": _example(code)}
        entry["description"] = ", ".join(content["examples"])
    return found


def _example(code: str) -> Document:
    retryable = code in {kind.code for kind in _kinds(ProsaError) if kind.retryable}
    described = problems.described(code, "What happened, and what to do.", retryable=retryable)
    example: Document = msgspec.to_builtins(described)
    return example


def _kinds(kind: type[ProsaError]) -> Iterator[type[ProsaError]]:
    yield kind
    for below in kind.__subclasses__():
        yield from _kinds(below)


def describe(app: FastAPI) -> Callable[[], Document]:
    """The application's ``openapi``: made at the first request and kept."""

    def document() -> Document:
        if not app.openapi_schema:
            app.openapi_schema = _document(app)
        return app.openapi_schema

    return document


def _document(app: FastAPI) -> Document:
    found: Document = get_openapi(title=app.title, version=app.version, description=_DESCRIPTION, routes=app.routes)
    (_, schemas) = msgspec.json.schema_components([Problem])
    components = found.setdefault("components", {})
    components.setdefault("schemas", {}).update(schemas)
    # Once more from the source: FastAPI leaves out every null, also those in examples.
    for name, schema in components["schemas"].items():
        body = getattr(bodies, name, None) or getattr(admin_bodies, name, None)
        extra = getattr(body, "model_config", {}).get("json_schema_extra", {})
        schema.update(extra)
    components["securitySchemes"] = _SCHEMES
    return found
