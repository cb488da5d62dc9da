"""What every process is built on: time, randomness, metrics, the bus and the store."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from importlib.metadata import version
from typing import Final

import msgspec
import structlog

from prosa.adapters.clock import SystemClock
from prosa.adapters.memory_bus import MemoryBus
from prosa.adapters.metrics import PrometheusMetrics
from prosa.adapters.sql import migrate as schema
from prosa.adapters.sql.store import Store, open_store
from prosa.adapters.tokens import SystemTokens
from prosa.core.errors import StoreUnavailable
from prosa.ports import Bus, Clock, Metrics, Tokens
from prosa.settings import Settings

log = structlog.get_logger()

VERSION: Final = version("prosa")
WAIT_SECONDS: Final = 1.0
"""Between looks at a database that is away while a process starts."""

BusOpener = Callable[[Settings, Metrics, str], AbstractAsyncContextManager[Bus]]


class Common(msgspec.Struct, frozen=True):
    """What every process is built on."""

    settings: Settings
    clock: Clock
    tokens: Tokens
    metrics: PrometheusMetrics
    bus: Bus
    store: Store


@asynccontextmanager
async def common(settings: Settings, name: str, *, bus: BusOpener) -> AsyncIterator[Common]:
    """The parts of a process of this name. Nothing is connected yet: what is away keeps nobody from starting."""
    metrics = PrometheusMetrics()
    async with (
        bus(settings, metrics, name) as opened,
        open_store(settings.database_url, pool_size=settings.database_connections) as store,
    ):
        yield Common(settings, SystemClock(), SystemTokens(), metrics, opened, store)


@asynccontextmanager
async def memory_bus(_settings: Settings, metrics: Metrics, _name: str) -> AsyncIterator[Bus]:
    """The bus of one process."""
    yield MemoryBus(metrics)


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
