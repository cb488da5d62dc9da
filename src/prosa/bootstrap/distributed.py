"""Many processes around one broker and one database: how a gateway and a worker start, and how they leave."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress

import structlog

from prosa.adapters import rabbitmq_bus
from prosa.adapters.passwords import Argon2Passwords
from prosa.app.access import Access
from prosa.bootstrap.engines import engines
from prosa.bootstrap.foundation import BusOpener, Common, common, store_ready
from prosa.bootstrap.gateway import make_app, make_hub
from prosa.bootstrap.process import Process, name_of, process
from prosa.bootstrap.server import Server, server
from prosa.bootstrap.worker import make_worker
from prosa.core.errors import BadConfig, BusUnavailable
from prosa.gateway.hub import Hub
from prosa.ports import Bus, Metrics
from prosa.settings import Settings
from prosa.worker.probes import Probes, application

log = structlog.get_logger()


def for_several(settings: Settings) -> None:
    """Raises BadConfig for settings with which only one process can run."""
    if settings.broker_url is None:
        raise BadConfig("Several processes need a broker: set PROSA_BROKER_URL to amqp://user:password@host/.")
    if settings.embedded_database:
        way = "Set PROSA_DATABASE_URL to postgresql://user:password@host/database."
        raise BadConfig(f"Several processes need PostgreSQL: SQLite has one writer. {way}")


@asynccontextmanager
async def broker(settings: Settings, metrics: Metrics, name: str) -> AsyncIterator[Bus]:
    """RabbitMQ. Raises BrokerRefused and BrokerMismatch where it answers, and will not have us as things are."""
    # One that is away keeps nobody from starting: the bus says so and goes on trying, and accepts go on.
    with suppress(BusUnavailable):
        await broker_check(settings)
    async with rabbitmq_bus.open_rabbitmq(settings.broker_url or "", metrics, name=name) as bus:
        yield bus


async def broker_check(settings: Settings) -> str:
    """One sentence of how the broker does. Declares what Prosa needs there.

    Raises BusUnavailable, BrokerRefused and BrokerMismatch.
    """
    return await rabbitmq_bus.check(settings.broker_url or "", {model.pool for model in settings.catalog})


# ── the gateway ──


def gateway(settings: Settings, inherited: tuple[int, ...] = (), *, bus: BusOpener = broker) -> None:
    """A gateway's process. Returns after a signal, when its sockets are closed. Raises SetupError."""
    for_several(settings)
    with process(settings, settings.port, inherited) as own:
        own.run(_gateway(own, bus))


async def _gateway(own: Process, bus: BusOpener) -> None:
    settings = own.settings
    async with AsyncExitStack() as stack:
        name = name_of("gw")
        parts = await stack.enter_async_context(common(settings, name, bus=bus))
        passwords = await stack.enter_async_context(Argon2Passwords())
        access = Access(parts.store.sign_ins, parts.tokens, parts.clock)
        hub = make_hub(parts, access, name)
        departure = Departure(hub)
        serving = server(settings, make_app(parts, hub, access, passwords, lambda: departure.ready))
        async with asyncio.TaskGroup() as group:
            listening = group.create_task(hub.run())
            leaving = group.create_task(_depart(own, departure, serving))
            starting = group.create_task(_start(parts, departure, name))
            await serving.serve(sockets=own.listeners)
            for task in (listening, leaving, starting):
                task.cancel()


async def _start(parts: Common, departure: "Departure", name: str) -> None:
    """Serve from the beginning, but be ready only with a database that can be used."""
    await store_ready(parts.settings, parts.clock)
    departure.started = True
    log.info("gateway.ready", gateway=name)


async def _depart(own: Process, departure: "Departure", serving: Server) -> None:
    await own.told_to_end.wait()
    settings = own.settings
    departure.leaving = True
    log.info(
        "gateway.draining", sockets=departure.hub.sockets, seconds=settings.unready_seconds + settings.close_seconds
    )
    await own.clock.sleep(settings.unready_seconds)
    serving.stop_listening()
    await departure.hub.dismiss(settings.close_seconds)
    serving.should_exit = True


class Departure:
    """Whether the gateway is ready for connections: it has started and does not leave."""

    def __init__(self, hub: Hub, *, started: bool = False) -> None:
        self.hub = hub
        self.started = started
        self.leaving = False

    @property
    def ready(self) -> bool:
        return self.started and not self.leaving


# ── the worker ──


def worker(settings: Settings, inherited: tuple[int, ...] = (), *, bus: BusOpener = broker) -> None:
    """A worker's process. Returns after a signal, when its runs are over or given back. Raises SetupError."""
    for_several(settings)
    with process(settings, settings.probe_port, inherited, option="--probe-port") as own:
        own.run(_worker(own, bus))


async def _worker(own: Process, bus: BusOpener) -> None:
    name = name_of("wk")
    async with AsyncExitStack() as stack:
        parts = await stack.enter_async_context(common(own.settings, name, bus=bus))
        probes = Probes(name, parts.metrics.exposition, _secret(own.settings))
        serving = server(own.settings, application(probes))
        async with asyncio.TaskGroup() as group:
            answering = group.create_task(_work(parts, probes, name))
            leaving = group.create_task(_retire(own, probes, answering))
            probing = group.create_task(serving.serve(sockets=own.listeners))
            await asyncio.wait((answering,))
            leaving.cancel()
            serving.should_exit = True
            await probing


def _secret(settings: Settings) -> str | None:
    token = settings.metrics_token
    return token.get_secret_value() if token else None


async def _work(parts: Common, probes: Probes, name: str) -> None:
    """Wait for the database, load the models, then serve until the drain is over."""
    await store_ready(parts.settings, parts.clock)
    async with engines(parts.settings) as models:
        probes.runner = make_worker(parts, models, alone=False, name=name)
        log.info("worker.ready", worker=name, pools=dict(parts.settings.pools))
        await probes.runner.run()


async def _retire(own: Process, probes: Probes, answering: asyncio.Task[None]) -> None:
    await own.told_to_end.wait()
    if probes.runner is None:
        answering.cancel()
        return
    log.info("worker.draining", runs=probes.runner.busy, seconds=own.settings.drain_seconds)
    probes.runner.drain()
