"""`prosa up`: a local cluster from the settings, until a signal."""

import asyncio
import signal
from collections.abc import Sequence
from typing import Any, Final

import msgspec

from prosa.adapters.clock import SystemClock
from prosa.bootstrap.process import first
from prosa.catalog import LOCAL
from prosa.cluster.loopback import free_port
from prosa.cluster.supervise.cluster import MIGRATE, Cluster, reached
from prosa.cluster.supervise.console import STDERR, Console, Prefix, is_coloured
from prosa.cluster.supervise.services import Service, Watch, keep, missing, running
from prosa.cluster.supervise.topology import PROSA, Topology
from prosa.core.errors import BadConfig
from prosa.settings import Settings

FOLDER: Final = "cluster"
MARGIN_SECONDS: Final = 15.0
"""What a process may need beyond its own drain."""
HURRIED: Final = 130
"""The exit code where somebody asked twice, as for a program that Ctrl-C ended."""

NO_MODEL: Final = (
    "The only model is `scripted`: it costs nothing, and answers with words that prove themselves. For real answers "
    "name a model in prosa.toml, or set PROSA_LOCAL=true (each worker then loads the local one)."
)


class Wish(msgspec.Struct, frozen=True):
    """What is asked for on the command line beside the settings."""

    gateways: int
    workers: int
    as_json: bool
    command: Sequence[str] = PROSA


def up(settings: Settings, wish: Wish) -> int:
    """Run until a signal; the exit code. A first signal ends in order, a second at once. Raises SetupError."""
    with asyncio.Runner() as runner:
        return runner.run(_until_told(settings, wish))


class Farewell:
    """The wish that it end. Before the cluster is up there is nothing to be ended in order."""

    def __init__(self, task: asyncio.Task[Any]) -> None:
        self.told = asyncio.Event()
        self.up = False
        self.hurried = False
        self._task = task

    def ask(self) -> None:
        self.hurried = self.told.is_set()
        if self.hurried or not self.up:
            self._task.cancel()
        self.told.set()


async def _until_told(settings: Settings, wish: Wish) -> int:
    task = asyncio.current_task()
    assert task is not None  # noqa: S101 — a coroutine runs in a task
    farewell = Farewell(task)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, farewell.ask)
    try:
        await _serve(settings, wish, farewell)
    except asyncio.CancelledError:
        if not farewell.told.is_set():
            raise
    except BaseExceptionGroup as group:
        wrong = first(group)
        if wrong is None:
            raise
        raise wrong from None
    return HURRIED if farewell.hurried else 0


async def _serve(settings: Settings, wish: Wish, farewell: Farewell) -> None:
    folder = settings.data_dir / FOLDER
    services = missing(settings, folder)
    topology = topology_of(settings, wish, services)
    prefix = Prefix([*topology.names, MIGRATE], coloured=is_coloured(STDERR, settings.environment))
    with Console(prefix, folder, as_json=wish.as_json) as console:
        _announce(console, settings, topology, services)
        async with running(services) as guard:
            cluster = Cluster(
                topology,
                happened=console.happened,
                printed=console.printed,
                services=lambda: [service.described for service in services],
            )
            async with cluster:
                farewell.up = True
                console.ready(cluster.describe())
                watch = Watch(guard, SystemClock(), cluster.heard, console.say) if guard else None
                await _keep_all(services, watch, farewell)
                console.say("Ending: the gateways first, then the workers. Once more ends all of it at once.")


async def _keep_all(services: list[Service], watch: Watch | None, farewell: Farewell) -> None:
    async with asyncio.TaskGroup() as group:
        keepers = [group.create_task(keep(service, watch)) for service in services if watch]
        await farewell.told.wait()
        for keeper in keepers:
            keeper.cancel()


def _announce(console: Console, settings: Settings, topology: Topology, services: list[Service]) -> None:
    for service in services:
        console.say(
            f"{service.variable} is not set: a private {service.node.service} keeps its data in {service.node.folder}."
        )
    if not settings.models and "PROSA_LOCAL" in models(settings):
        console.say(NO_MODEL)
    console.say(f"Starting {topology.workers} workers and {topology.gateways} gateways; logs are in {topology.folder}.")


def topology_of(settings: Settings, wish: Wish, services: list[Service]) -> Topology:
    drain = max(settings.drain_seconds, settings.unready_seconds + settings.close_seconds)
    ports = metrics_ports(settings, wish.gateways)
    return Topology(
        folder=settings.data_dir / FOLDER,
        environment={
            **settings.environment,
            **models(settings),
            **{service.variable: service.address for service in services},
            "PROSA_DATA_DIR": str(settings.data_dir),
        },
        overrides={name: {"PROSA_METRICS_PORT": str(port)} for name, port in ports.items()},
        metrics={name: f"http://{reached(settings.metrics_host)}:{port}" for name, port in ports.items()},
        gateways=wish.gateways,
        workers=wish.workers,
        host=settings.host,
        port=settings.port,
        command=wish.command,
        stop_seconds=drain + MARGIN_SECONDS,
    )


def metrics_ports(settings: Settings, gateways: int) -> dict[str, int]:
    """Where each gateway shows its metrics, if not at its address: several on one machine cannot share a port.

    The first has the port of the settings, each other one the next that is free of ``port``; 0 is any for each.
    Raises BadConfig where there are not as many.
    """
    first = settings.metrics_port
    if first is None:
        return {}
    names = [f"gateway-{number}" for number in range(1, gateways + 1)]
    if not first:
        return {name: free_port() for name in names}
    ports = [port for port in range(first, min(first + gateways + 1, 65_536)) if port != settings.port]
    if len(ports) < gateways:
        raise BadConfig(f"metrics_port: from {first} on there are not {gateways} ports. Choose a lower one.")
    return dict(zip(names, ports, strict=False))


def models(settings: Settings) -> dict[str, str]:
    """What nobody has set about the built-in models: `scripted` is on, and no worker loads the local one."""
    given = {row.key for row in settings.origins_of_values if row.source != "default"}
    found = {} if "scripted" in given else {"PROSA_SCRIPTED": "true"}
    if "local" not in given and not _needs_local(settings, given):
        found["PROSA_LOCAL"] = "false"
    return found


def _needs_local(settings: Settings, given: set[str]) -> bool:
    """It is asked for by its name, or there would be no model at all."""
    if not settings.models and "scripted" in given and not settings.scripted:
        return True
    default = settings.default_model if "default_model" in given else ""
    fallbacks = [model.fallback for model in settings.models]
    return LOCAL in (default, *settings.worker_pools, *fallbacks)
