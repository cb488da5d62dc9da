"""Many processes around one broker and one database: how a gateway and a worker start, and how they leave."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress

import structlog

from prosa.adapters import rabbitmq_bus
from prosa.adapters.passwords import Argon2Passwords
from prosa.app.access import Access
from prosa.app.presence import Presence
from prosa.bootstrap.engines import engines
from prosa.bootstrap.exposition import exposition, exposure, metrics_shown
from prosa.bootstrap.foundation import BusOpener, Common, common, store_ready, vitals
from prosa.bootstrap.gateway import make_app, make_hub, make_presence
from prosa.bootstrap.process import Process, name_of, process
from prosa.bootstrap.server import Server, server
from prosa.bootstrap.worker import make_worker
from prosa.core.errors import BadConfig, BusUnavailable
from prosa.gateway.hub import Hub
from prosa.ports import Broker, Metrics
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
async def broker(settings: Settings, metrics: Metrics, name: str) -> AsyncIterator[Broker]:
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
        parts = await stack.enter_async_context(common(settings, name, bus=bus, role="gateway"))
        await stack.enter_async_context(metrics_shown(parts))
        passwords = await stack.enter_async_context(Argon2Passwords())
        access = Access(parts.store.sign_ins, parts.tokens, parts.clock)
        hub = make_hub(parts, access, name)
        departure = Departure(hub)
        presence = make_presence(parts, hub, lambda: departure.leaving)
        serving = server(settings, make_app(parts, hub, access, passwords, lambda: departure.ready))
        async with asyncio.TaskGroup() as group:
            listening = group.create_task(hub.run())
            leaving = group.create_task(_depart(own, departure, serving))
            starting = group.create_task(_start(parts, departure, presence))
            measuring = group.create_task(vitals(parts, own.lines, counts=True).run())
            await serving.serve(sockets=own.listeners)
            for task in (listening, leaving, starting, measuring):
                task.cancel()
            await presence.announce()


async def _start(parts: Common, departure: "Departure", presence: Presence) -> None:
    """Serve from the beginning, but be ready, and on the administrators' map, only with a database that can be used."""
    await store_ready(parts.settings, parts.clock)
    departure.started = True
    log.info("gateway.ready", gateway=departure.hub.name)
    await presence.run()


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
        parts = await stack.enter_async_context(common(own.settings, name, bus=bus, role="worker"))
        probes = Probes(name, exposition(parts), exposure(own.settings, gateway=False))
        serving = server(own.settings, application(probes))
        async with asyncio.TaskGroup() as group:
            answering = group.create_task(_work(parts, probes, name))
            leaving = group.create_task(_retire(own, probes, answering))
            probing = group.create_task(serving.serve(sockets=own.listeners))
            measuring = group.create_task(vitals(parts, own.lines, counts=False).run())
            await asyncio.wait((answering,))
            leaving.cancel()
            measuring.cancel()
            serving.should_exit = True
            await probing


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
    probes.runner.drain()
