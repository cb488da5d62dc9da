"""Where a process shows its metrics, and to whom."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import structlog

from prosa.adapters.exposition import Exposition
from prosa.bootstrap.foundation import Common
from prosa.bootstrap.server import Manner, bound, server
from prosa.core.exposure import Exposure, is_loopback
from prosa.gateway.exposition import application
from prosa.settings import Settings

log = structlog.get_logger()

WAY: Final = "Whoever reaches that port reads the metrics. Set PROSA_METRICS_TOKEN, or let only Prometheus reach it."
OPTION: Final = "PROSA_METRICS_PORT"
HOST_OPTION: Final = "PROSA_METRICS_HOST"
AT_THEIR_OWN: Final = Manner(said="metrics.listening", connections=256, leave_seconds=1)
"""A Prometheus has one connection; so many are a mistake."""


def exposure(settings: Settings, *, gateway: bool) -> Exposure:
    """At the address of a gateway, or at that of a worker's probes, which is never shared with people."""
    own = gateway and settings.metrics_port is not None
    return Exposure(token=_token(settings), elsewhere=own or not settings.metrics)


def exposition(parts: Common) -> Exposition:
    """The answers to those who are shown them."""
    return Exposition(parts.metrics.exposition, parts.clock)


@asynccontextmanager
async def metrics_shown(parts: Common) -> AsyncIterator[None]:
    """Show a gateway's metrics at a port of their own meanwhile, where the settings name one. Raises PortTaken."""
    settings = parts.settings
    if settings.metrics_port is None or not settings.metrics:
        yield
        return
    if settings.metrics_token is None and not is_loopback(settings.metrics_host):
        log.warning("metrics.open", host=settings.metrics_host, port=settings.metrics_port, way=WAY)
    app = application(exposition(parts), Exposure(token=_token(settings), anybody=True))
    with bound(settings.metrics_host, settings.metrics_port, OPTION, HOST_OPTION) as listener:
        serving = server(settings, app, manner=AT_THEIR_OWN)
        async with asyncio.TaskGroup() as group:
            group.create_task(serving.serve(sockets=[listener]))
            yield
            serving.should_exit = True


def _token(settings: Settings) -> str | None:
    token = settings.metrics_token
    return token.get_secret_value() if token else None
