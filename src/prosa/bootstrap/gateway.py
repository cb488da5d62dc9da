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
from prosa.app.operations import Administration
from prosa.app.presence import Load, Presence
from prosa.app.spans import Spans
from prosa.bootstrap.exposition import exposition, exposure
from prosa.bootstrap.foundation import VERSION, Common, this_process
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
    name = name or name_of("gw")
    return Hub(
        name=name,
        bus=parts.bus,
        reads=parts.store.reads,
        chats=parts.store.chats,
        sign_ins=parts.store.sign_ins,
        clock=parts.clock,
        metrics=parts.metrics,
        spans=Spans(parts.traces, parts.clock, name),
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
        spans=Spans(parts.traces, parts.clock, hub.name),
        announce=hub.announce,
    )


def make_administration(parts: Common, intake: Intake) -> Administration:
    return Administration(
        operations=parts.store.operations,
        letters=parts.bus,
        intake=intake,
        clock=parts.clock,
        models={model.name: model.pool for model in parts.settings.catalog},
        alone=parts.settings.broker_url is None,
    )


def make_presence(parts: Common, hub: Hub, leaving: Callable[[], bool]) -> Presence:
    """``leaving``: this gateway wants no more connections."""
    process = this_process(hub.name, parts.clock)
    load = lambda: Load(hub.sockets, hub.watched, leaving())  # noqa: E731 — asked again and again
    return Presence(parts.store.operations, parts.clock, process, load)


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
        administration=make_administration(common, intake),
        access=access,
        chats=Chats(store.chats, intake),
        intake=intake,
        hub=hub,
        reads=store.reads,
        metrics=common.metrics,
        exposition=exposition(common),
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
    return Options(
        version=VERSION,
        origins=frozenset(settings.origins),
        secure_cookies=settings.secure_cookies == "on",
        metrics=exposure(settings, gateway=True),
    )


def account_options(settings: Settings) -> AccountOptions:
    seconds = settings.session_days * DAY_SECONDS
    return AccountOptions(sign_up=settings.sign_up == "open", session_seconds=seconds, token_seconds=seconds)
