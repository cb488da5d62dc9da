"""Who calls: what every route is given before it runs."""

from typing import Annotated, Final

from fastapi import Depends, Request
from structlog.contextvars import bind_contextvars, clear_contextvars

from prosa.core.account import ADMIN, SignIn
from prosa.core.errors import NotAllowed
from prosa.gateway.credentials import SAFE_METHODS, check_same_site, secret_of
from prosa.gateway.parts import Parts, parts_of

NAMED: Final = ("chat", "run", "reply")
"""Ids in addresses."""


async def _parts(request: Request) -> Parts:
    return parts_of(request)


Gateway = Annotated[Parts, Depends(_parts)]


async def same_site(request: Request, parts: Gateway) -> None:
    """What a browser sends for another site's page changes nothing. No browser sends a bearer's secret by itself."""
    secret, from_cookie = secret_of(request.headers, request.cookies)
    if request.method not in SAFE_METHODS and (from_cookie or secret is None):
        check_same_site(request.headers, parts.options.origins)


SameSite = Depends(same_site)


async def signed_in(request: Request, parts: Gateway, _checked: Annotated[None, SameSite]) -> SignIn:
    """Raises NotSignedIn, ForbiddenOrigin."""
    secret, _ = secret_of(request.headers, request.cookies)
    sign_in = await parts.access.who(secret)
    # For every line of this request, with what its address names. The one before may have left something behind.
    clear_contextvars()
    named = {name: str(request.path_params[name]) for name in NAMED if name in request.path_params}
    bind_contextvars(user=str(sign_in.user.id), **named)
    return sign_in


Caller = Annotated[SignIn, Depends(signed_in)]


async def administrator(caller: Caller) -> SignIn:
    """Raises NotAllowed, and what ``signed_in`` raises."""
    if caller.user.role != ADMIN:
        raise NotAllowed("This is for administrators. Ask one of them.")
    return caller


Administrator = Depends(administrator)
