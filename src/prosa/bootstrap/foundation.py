"""What every process is built on: time, randomness, metrics, the bus and the store."""

import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from importlib.metadata import version
from typing import Final

import msgspec
import structlog

from prosa.adapters import otlp_traces
from prosa.adapters.clock import SystemClock
from prosa.adapters.memory_bus import MemoryBus
from prosa.adapters.metrics import NullMetrics, PrometheusMetrics
from prosa.adapters.sql import migrate as schema
from prosa.adapters.sql.store import Store, open_store
from prosa.adapters.tokens import SystemTokens
from prosa.adapters.traces import NullTraces
from prosa.app.endings import show_no_failures
from prosa.app.vitals import Vitals
from prosa.core.errors import BadConfig, StoreUnavailable
from prosa.core.operations import Process
from prosa.lines import Lines
from prosa.ports import Broker, Clock, Metrics, Tokens, Traces
from prosa.settings import Settings

log = structlog.get_logger()

VERSION: Final = version("prosa")
WAIT_SECONDS: Final = 1.0
"""Between looks at a database that is away while a process starts."""

BusOpener = Callable[[Settings, Metrics, str], AbstractAsyncContextManager[Broker]]


class Common(msgspec.Struct, frozen=True):
    """What every process is built on."""

    settings: Settings
    clock: Clock
    tokens: Tokens
    metrics: PrometheusMetrics | NullMetrics
    bus: Broker
    store: Store
    traces: Traces


@asynccontextmanager
async def common(settings: Settings, name: str, *, bus: BusOpener, role: str = "embedded") -> AsyncIterator[Common]:
    """The parts of a process of this name. Nothing is connected yet: what is away keeps nobody from starting."""
    metrics = PrometheusMetrics() if settings.metrics else NullMetrics()
    metrics.gauge("build_info", 1, version=VERSION, role=role)
    show_no_failures(metrics, [model.name for model in settings.catalog])
    async with (
        bus(settings, metrics, name) as opened,
        open_store(settings.database_url, pool_size=settings.database_connections, metrics=metrics) as store,
        _traces(settings, metrics, name, role) as traces,
    ):
        yield Common(settings, SystemClock(), SystemTokens(), metrics, opened, store, traces)


@asynccontextmanager
async def _traces(settings: Settings, metrics: Metrics, name: str, role: str) -> AsyncIterator[Traces]:
    """Spans go to the receiver that is set, or nowhere. Raises BadConfig for headers that are none."""
    if settings.otlp_endpoint is None:
        yield NullTraces()
        return
    service = "prosa" if role == "embedded" else f"prosa-{role}"
    resource = {"service.name": service, "service.instance.id": name, "service.version": VERSION}
    async with otlp_traces.open_otlp(
        receiver(settings, settings.otlp_endpoint), metrics, resource, spans=settings.otlp_spans
    ) as traces:
        yield traces


def receiver(settings: Settings, endpoint: str) -> otlp_traces.Receiver:
    """Raises BadConfig for headers that are none."""
    given = settings.otlp_headers.get_secret_value() if settings.otlp_headers else ""
    pairs = [pair.partition("=") for pair in given.split(",") if pair.strip()]
    if not all(name.strip() and equals for name, equals, _ in pairs):
        raise BadConfig("otlp_headers is no list of name=value with commas between. Correct it.")
    return otlp_traces.Receiver(endpoint, {name.strip(): value.strip() for name, _, value in pairs})


@asynccontextmanager
async def memory_bus(_settings: Settings, metrics: Metrics, _name: str) -> AsyncIterator[Broker]:
    """The bus of one process."""
    yield MemoryBus(metrics)


def this_process(name: str, clock: Clock) -> Process:
    """As administrators see it."""
    return Process(name, socket.gethostname(), VERSION, clock.now())


def vitals(parts: Common, lines: Lines, *, counts: bool) -> Vitals:
    """``counts``: this process takes the census of the deployment, if anybody is to see it."""
    reads = parts.store.reads if counts and parts.settings.metrics else None
    lease = parts.settings.limits.lease_seconds
    return Vitals(parts.clock, parts.metrics, reads, lease, dropped_lines=lambda: lines.dropped)


async def store_ready(settings: Settings, clock: Clock) -> None:
    """Return when the database answers with this version's schema; say so while it does not.

    Raises StoreRefused and SchemaOutdated: waiting would not help.
    """
    await _until(lambda: schema.verify(settings.database_url), clock)


async def _until(check: Callable[[], Awaitable[None]], clock: Clock) -> None:
    said = False
    while True:
        try:
            return await check()
        except StoreUnavailable as error:
            if not said:
                log.warning("store.awaited", error=error.message, way="Prosa waits and tries again each second.")
            said = True
        await clock.sleep(WAIT_SECONDS)
