"""Sign up, sign in, sign out, and who I am."""

from fastapi import APIRouter, Request, Response

from prosa.core.account import SignIn
from prosa.core.errors import NotSignedIn, ProsaError
from prosa.core.events import SignInRevoked
from prosa.gateway import schemas
from prosa.gateway.caller import Caller, Gateway, SameSite
from prosa.gateway.credentials import COOKIE, secret_of
from prosa.gateway.documents import WITH_BODY, Document, operation
from prosa.gateway.parts import Parts


async def register(body: schemas.Credentials, request: Request, response: Response, parts: Gateway) -> schemas.User:
    """Makes an account and signs in to it. The first account is the administrator's."""
    _throttle(parts, request, body.username)
    sign_in, secret = await parts.accounts.register(body.username, body.password)
    _set_cookie(request, response, parts, secret)
    return _signed_in(parts, sign_in)


async def login(body: schemas.Credentials, request: Request, response: Response, parts: Gateway) -> schemas.User:
    """Signs a browser in."""
    _throttle(parts, request, body.username)
    try:
        sign_in, secret = await parts.accounts.login(body.username, body.password)
    except ProsaError as error:
        parts.metrics.count("sign_ins_total", outcome=error.code)
        raise
    _set_cookie(request, response, parts, secret)
    return _signed_in(parts, sign_in)


async def token(body: schemas.Credentials, request: Request, parts: Gateway) -> schemas.Token:
    """Signs a program in."""
    _throttle(parts, request, body.username)
    try:
        _, secret = await parts.accounts.token(body.username, body.password)
    except ProsaError as error:
        parts.metrics.count("sign_ins_total", outcome=error.code)
        raise
    parts.metrics.count("sign_ins_total", outcome="ok")
    return schemas.Token(access_token=secret, expires_in=int(parts.accounts.options.token_seconds))


async def logout(request: Request, parts: Gateway) -> Response:
    """Ends this sign-in, whose sockets close. Does nothing where there is none."""
    secret, _ = secret_of(request.headers, request.cookies)
    try:
        sign_in = await parts.access.who(secret)
    except NotSignedIn:
        pass
    else:
        await parts.accounts.logout(sign_in)
        parts.access.forget(sign_in.user.id, sign_in.session)
        parts.hub.announce(SignInRevoked(sign_in.user.id, sign_in.session))
    response = Response(status_code=204)
    response.delete_cookie(COOKIE, path="/", httponly=True, samesite="lax", secure=_secure(request, parts))
    return response


async def me(caller: Caller) -> schemas.User:
    return schemas.User.model_validate(caller.user)


async def info(parts: Gateway) -> schemas.Info:
    """What a page needs before anybody has signed in."""
    first = await parts.accounts.first()
    return schemas.Info(
        version=parts.options.version,
        sign_up=parts.accounts.options.sign_up or first,
        first_account=first,
        models=parts.models,
    )


def _throttle(parts: Parts, request: Request, username: str) -> None:
    try:
        parts.throttle.check(request.client.host if request.client else None, username)
    except ProsaError as error:
        parts.metrics.count("sign_ins_total", outcome=error.code)
        raise


def _signed_in(parts: Parts, sign_in: SignIn) -> schemas.User:
    parts.metrics.count("sign_ins_total", outcome="ok")
    return schemas.User.model_validate(sign_in.user)


def _set_cookie(request: Request, response: Response, parts: Parts, secret: str) -> None:
    response.set_cookie(
        COOKIE,
        secret,
        max_age=int(parts.accounts.options.session_seconds),
        path="/",
        httponly=True,
        samesite="lax",
        secure=_secure(request, parts),
    )


def _secure(request: Request, parts: Parts) -> bool:
    return parts.options.secure_cookies or request.url.scheme == "https"


def router() -> APIRouter:
    routes = APIRouter(prefix="/api", tags=["accounts"])
    post = routes.add_api_route
    change: Document = {"methods": ["POST"], "dependencies": [SameSite]}
    refused = (*WITH_BODY, "rate_limited")
    made = operation(
        "Sign up", *refused, "bad_username", "bad_password", "sign_up_closed", "username_taken", signed_in=False
    )
    post("/auth/register", register, status_code=201, **change, **made)
    post("/auth/login", login, **change, **operation("Sign in", *refused, "wrong_password", signed_in=False))
    post("/auth/token", token, **change, **operation("Get a token", *refused, "wrong_password", signed_in=False))
    over = operation("Sign out", "forbidden_origin", signed_in=False)
    post("/auth/logout", logout, status_code=204, response_class=Response, **change, **over)
    routes.add_api_route("/me", me, **operation("Who I am"))
    routes.add_api_route("/info", info, **operation("About this Prosa", signed_in=False))
    return routes
