"""What a request brings to prove who sends it, and whether it comes from our own page. Pure functions."""

from collections.abc import Collection, Mapping
from typing import Final
from urllib.parse import urlsplit

from starlette.datastructures import Headers

from prosa.core.errors import ForbiddenOrigin

COOKIE: Final = "prosa_session"
SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}
_BEARER_PROTOCOL: Final = "bearer."


def secret_of(headers: Headers, cookies: Mapping[str, str]) -> tuple[str | None, bool]:
    """The secret of a sign-in and whether it came from the cookie, which browsers send by themselves.

    Asked in this order: ``Authorization: Bearer``, the subprotocol ``bearer.<token>``, the cookie.
    """
    scheme, _, token = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and token.strip():
        return token.strip(), False
    for protocol in headers.get("sec-websocket-protocol", "").split(","):
        if protocol.strip().startswith(_BEARER_PROTOCOL):
            return protocol.strip().removeprefix(_BEARER_PROTOCOL), False
    cookie = cookies.get(COOKIE)
    return cookie or None, cookie is not None


def origin_allowed(origin: str | None, host: str | None, allowed: Collection[str]) -> bool:
    """Whether a request from ``origin`` may act for the cookie's owner at ``host``.

    Without an origin no browser sent it across sites. ``null`` (a sandbox, a redirect) is never allowed.
    """
    if origin is None:
        return True
    place = _place(origin)
    if place is None:
        return False
    scheme, name, port = place
    if host is not None and _place(f"{scheme}://{host}") == (scheme, name, port):
        return True
    return any(_place(other) == place for other in allowed)


def check_same_site(headers: Headers, allowed: Collection[str]) -> None:
    """Raises ForbiddenOrigin where a browser sends the request for another site's page."""
    origin = headers.get("origin") or headers.get("referer")
    cross = origin is None and headers.get("sec-fetch-site") in ("cross-site", "same-site")
    if cross or not origin_allowed(origin, headers.get("host"), allowed):
        raise ForbiddenOrigin("This request comes from another site's page. Open Prosa's own address and try there.")


def _place(origin: str) -> tuple[str, str, int | None] | None:
    """Scheme, host and port of an origin or of the address of a page."""
    try:
        parts = urlsplit(origin)
        port = parts.port
    except ValueError:
        return None
    if parts.scheme not in _DEFAULT_PORTS or not parts.hostname:
        return None
    return parts.scheme, parts.hostname, port or _DEFAULT_PORTS[parts.scheme]
