"""Errors over HTTP: RFC 9457 problem details with a stable ``code``, for every refusal there is."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Final, cast

import msgspec
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from prosa.core.errors import (
    BadFrame,
    BadId,
    BadRequest,
    BadText,
    InternalFailure,
    ProsaError,
    RateLimited,
    Unavailable,
)
from prosa.core.reply import clean
from prosa.gateway.parts import parts_of

MEDIA_TYPE: Final = "application/problem+json"
RETRY_SECONDS: Final = 2
API_HEADERS: Final = {
    "cache-control": "no-store",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}

STATUS: Final[Mapping[str, int]] = {
    "bad_frame": 400,
    "bad_request": 422,
    "bad_text": 422,
    "text_too_long": 413,
    "bad_id": 422,
    "bad_username": 422,
    "bad_password": 422,
    "unknown_model": 422,
    "id_conflict": 409,
    "not_found": 404,
    "not_signed_in": 401,
    "wrong_password": 401,
    "sign_up_closed": 403,
    "username_taken": 409,
    "not_allowed": 403,
    "forbidden_origin": 403,
    "not_ended": 409,
    "one_process": 409,
    "too_many_waiting": 429,
    "rate_limited": 429,
    "store_unavailable": 503,
    "storage_full": 503,
    "bus_unavailable": 503,
    "overloaded": 503,
    # How runs fail and why Prosa does not start: told elsewhere, but an answer of HTTP would have these.
    "model_unreachable": 502,
    "model_timeout": 504,
    "model_overloaded": 503,
    "model_refused": 502,
    "model_broke": 502,
    "prompt_too_long": 413,
    "model_missing": 500,
    "no_worker": 503,
    "timeout": 504,
    "worker_lost": 500,
    "internal": 500,
    "backup_damaged": 500,
    "backup_unknown": 500,
    "backup_exists": 500,
    "store_not_empty": 500,
    "bad_config": 500,
    "data_folder_in_use": 500,
    "data_folder_unusable": 500,
    "port_taken": 500,
    "store_refused": 500,
    "broker_refused": 500,
    "broker_mismatch": 500,
    "schema_outdated": 500,
    "model_file_missing": 500,
    # What only HTTP can refuse.
    "method_not_allowed": 405,
    "request_timeout": 408,
    "too_large": 413,
}
_CODES: Final = {
    400: "bad_frame",
    404: "not_found",
    405: "method_not_allowed",
    408: "request_timeout",
    413: "too_large",
}
_DETAILS: Final = {
    "bad_frame": "The body is no JSON object. Send one, with Content-Type: application/json.",
    "not_found": "There is nothing here. Check the address.",
    "method_not_allowed": "This address does not know this method. See Allow.",
}


class Problem(msgspec.Struct, frozen=True):
    """Every error's body. ``code`` is for programs, ``detail`` for people; ``retryable``: trying again can help."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    retryable: bool


def problem(code: str, detail: str, *, retryable: bool, headers: Mapping[str, str] | None = None) -> Response:
    body = described(code, detail, retryable=retryable)
    content = msgspec.json.encode(body)
    return Response(content, body.status, {**API_HEADERS, **(headers or {})}, MEDIA_TYPE)


def described(code: str, detail: str, *, retryable: bool) -> Problem:
    title = code.replace("_", " ").capitalize()
    return Problem(f"urn:prosa:error:{code}", title, STATUS[code], clean(detail), code, retryable)


def of(error: ProsaError) -> Response:
    """The answer for one of our own errors."""
    return problem(error.code, error.message, retryable=error.retryable, headers=_headers(error))


def _headers(error: ProsaError) -> dict[str, str]:
    if isinstance(error, RateLimited):
        return {"retry-after": str(math.ceil(error.retry_after))}
    if isinstance(error, Unavailable) or STATUS[error.code] in (429, 503):
        return {"retry-after": str(RETRY_SECONDS)}
    if STATUS[error.code] == 401:
        return {"www-authenticate": 'Bearer realm="prosa"'}
    return {}


async def on_refusal(request: Request, error: Exception) -> Response:
    """Handles ProsaError."""
    refused = cast(ProsaError, error)
    parts_of(request).metrics.count("refused_total", code=refused.code)
    return of(refused)


async def on_invalid(request: Request, error: Exception) -> Response:
    """Handles RequestValidationError: the same codes as a socket gives the same mistake."""
    return await on_refusal(request, refusal(cast(RequestValidationError, error).errors()))


async def on_http(request: Request, error: Exception) -> Response:
    """Handles what the framework refuses: unknown addresses and methods, unreadable bodies."""
    refused = cast(HTTPException, error)
    code = _CODES.get(refused.status_code, "bad_request")
    detail = _DETAILS.get(code, refused.detail)
    headers = _allowed(request, refused.headers) if code == "method_not_allowed" else refused.headers
    return problem(code, detail, retryable=code == "request_timeout", headers=headers)


def _allowed(request: Request, headers: Mapping[str, str] | None) -> Mapping[str, str] | None:
    """All methods of the address: each is a route of its own, and the framework tells only of the first."""
    path = getattr(request.scope.get("route"), "path", None)
    methods = sorted(method.upper() for method in request.app.openapi()["paths"].get(path, ()))
    return {"allow": ", ".join(methods)} if methods else headers


async def on_crash(_request: Request, _error: Exception) -> Response:
    """Handles everything else. The server logs the error itself: it is raised again behind this answer."""
    return of(InternalFailure("Something went wrong in Prosa; its log says what. Try again."))


def refusal(errors: Sequence[Mapping[str, object]]) -> ProsaError:
    """The one refusal for what pydantic found wrong with a request."""
    kinds = {str(error["type"]) for error in errors}
    if any(_whole_body(error) for error in errors):
        return BadFrame(_DETAILS["bad_frame"])
    told = "; ".join(_told(errors))
    if "string_unicode" in kinds:
        return BadText(
            f"The text is no valid Unicode: it has half of a surrogate pair. Send whole characters ({told})."
        )
    if any(kind.startswith("uuid") for kind in kinds):
        return BadId(f"What names something is no UUID ({told}). Send it as dashed hexadecimal text.")
    return BadRequest(f"The request cannot be read ({told}). See /api/openapi.json for its fields.")


def _whole_body(error: Mapping[str, object]) -> bool:
    return error["type"] == "json_invalid" or _place(error) == ("body",)


def _told(errors: Sequence[Mapping[str, object]]) -> Iterator[str]:
    for error in errors[:5]:
        yield f"{'.'.join(str(step) for step in _place(error)[1:])}: {error['msg']}"


def _place(error: Mapping[str, object]) -> tuple[object, ...]:
    place = error["loc"]
    return tuple(place) if isinstance(place, (tuple, list)) else (place,)
