"""The cluster that is besieged: private services, processes, and a fault proxy on every way of a worker to them."""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Final

import msgspec

from prosa.chaos.schedule import Wish
from prosa.cluster.loopback import HOST
from prosa.cluster.nodes import PostgresNode, RabbitNode
from prosa.cluster.proxy import FaultProxy
from prosa.cluster.supervise import Cluster, Event, Role, Topology

VARIABLES: Final[Mapping[Role, str]] = {Role.DATABASE: "PROSA_DATABASE_URL", Role.BROKER: "PROSA_BROKER_URL"}


class Ground(msgspec.Struct, frozen=True):
    """``ways``: the proxy between a worker, by its name, and a service."""

    database: PostgresNode
    broker: RabbitNode
    ways: Mapping[tuple[str, Role], FaultProxy]
    cluster: Cluster

    def pids(self) -> dict[str, int]:
        """Of all that runs this moment, by name."""
        found = {name: self.cluster.process(name).pid for name in self.cluster.names}
        for role, node in ((Role.DATABASE, self.database), (Role.BROKER, self.broker)):
            found[role.value] = node.pid if node.running else None
        return {name: pid for name, pid in found.items() if pid is not None}

    def addresses(self) -> tuple[str, ...]:
        """Where the processes show their metrics."""
        return tuple(self.cluster.process(name).address for name in self.cluster.names)


@asynccontextmanager
async def ground(
    wish: Wish, environment: Mapping[str, str], folder: Path, happened: Callable[[Event], None]
) -> AsyncIterator[Ground]:
    """Start it all, and end it whatever happens. The logs stay in ``folder``. Raises SetupError."""
    async with AsyncExitStack() as stack:
        database = await stack.enter_async_context(PostgresNode(folder / "postgresql"))
        broker = await stack.enter_async_context(RabbitNode(folder / "rabbitmq"))
        services = {
            Role.DATABASE: _Service(database.port, database.url()),
            Role.BROKER: _Service(broker.port, broker.url),
        }
        ways = {
            (name, role): await stack.enter_async_context(FaultProxy(HOST, service.port))
            for name in wish.names(Role.WORKER)
            for role, service in services.items()
        }
        topology = Topology(
            folder=folder / "cluster",
            environment={**environment, **{VARIABLES[role]: service.url for role, service in services.items()}},
            overrides={
                name: {VARIABLES[role]: one.through(ways[name, role]) for role, one in services.items()}
                for name in wish.names(Role.WORKER)
            },
            gateways=wish.gateways,
            workers=wish.workers,
        )
        cluster = await stack.enter_async_context(Cluster(topology, happened=happened))
        yield Ground(database, broker, ways, cluster)


class _Service(msgspec.Struct, frozen=True):
    port: int
    url: str

    def through(self, way: FaultProxy) -> str:
        return self.url.replace(f":{self.port}/", f":{way.port}/")
