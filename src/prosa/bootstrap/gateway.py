"""The gateway's parts, put together."""

from collections.abc import Callable
from typing import Final

import structlog
from starlette.routing import WebSocketRoute

from prosa.adapters.passwords import Argon2Passwords
from prosa.adapters.sql.store import Store
from prosa.app.access import Access
from prosa.app.accounts import DAY_SECONDS, AccountOptions, Accounts
from prosa.app.chats import Chats
from prosa.app.intake import Intake
from prosa.bootstrap.foundation import VERSION, Common
from prosa.bootstrap.process import name_of
from prosa.core.model import Catalogue
from prosa.gateway import classic
from prosa.gateway.asgi import Options, Parts, application
from prosa.gateway.classic import ClassicDoor
from prosa.gateway.hub import Hub
from prosa.gateway.throttle import Throttle
from prosa.gateway.websocket import Door, route
from prosa.settings import Settings

log = structlog.get_logger()

SOCKETS_A_USER: Final = 100


def make_hub(parts: Common, access: Access, name: str | None = None) -> Hub:
    return Hub(
        name=name or name_of("gw"),
        bus=parts.bus,
        reads=parts.store.reads,
        chats=parts.store.chats,
        sign_ins=parts.store.sign_ins,
        clock=parts.clock,
        metrics=parts.metrics,
        revoked=access.forget,
    )


def make_intake(parts: Common, hub: Hub) -> Intake:
    return Intake(
        runs=parts.store.runs,
        bus=parts.bus,
        tokens=parts.tokens,
        catalogue=Catalogue({model.name: model.pool for model in parts.settings.catalog}),
        limits=parts.settings.limits,
        metrics=parts.metrics,
        announce=hub.announce,
    )


def make_app(
    common: Common, hub: Hub, access: Access, passwords: Argon2Passwords, ready: Callable[[], bool]
) -> Callable[..., object]:
    settings, store = common.settings, common.store
    intake = make_intake(common, hub)
    models = tuple(model.name for model in settings.catalog)
    door = Door(
        access=access,
        intake=intake,
        hub=hub,
        reads=store.reads,
        tokens=common.tokens,
        clock=common.clock,
        metrics=common.metrics,
        origins=frozenset(settings.origins),
        models=models,
        sockets_a_user=SOCKETS_A_USER if settings.rate_limits else None,
    )
    parts = Parts(
        accounts=Accounts(store.users, store.sign_ins, passwords, common.tokens, account_options(settings)),
        access=access,
        chats=Chats(store.chats, intake),
        intake=intake,
        hub=hub,
        reads=store.reads,
        metrics=common.metrics,
        exposition=common.metrics.exposition,
        clock=common.clock,
        throttle=Throttle(common.clock, on=settings.rate_limits),
        limits=settings.limits,
        models=models,
        options=_options(settings),
        ready=ready,
        websockets=[route(door), *([_classic(door, store)] if settings.classic_socket else [])],
    )
    return application(parts)


def _classic(door: Door, store: Store) -> WebSocketRoute:
    return classic.route(
        ClassicDoor(
            intake=door.intake,
            hub=door.hub,
            owed=store.classic,
            clock=door.clock,
            metrics=door.metrics,
            origins=door.origins,
            sockets_a_user=door.sockets_a_user,
        )
    )


def _options(settings: Settings) -> Options:
    token = settings.metrics_token
    return Options(
        version=VERSION,
        origins=frozenset(settings.origins),
        secure_cookies=settings.secure_cookies == "on",
        metrics_token=token.get_secret_value() if token else None,
    )


def account_options(settings: Settings) -> AccountOptions:
    seconds = settings.session_days * DAY_SECONDS
    return AccountOptions(sign_up=settings.sign_up == "open", session_seconds=seconds, token_seconds=seconds)
