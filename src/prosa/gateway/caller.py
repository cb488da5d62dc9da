"""Who calls: what every route is given before it runs."""

from typing import Annotated

from fastapi import Depends, Request

from prosa.core.account import SignIn
from prosa.gateway.credentials import SAFE_METHODS, check_same_site, secret_of
from prosa.gateway.parts import Parts, parts_of


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
    return await parts.access.who(secret)


Caller = Annotated[SignIn, Depends(signed_in)]
