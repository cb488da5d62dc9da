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
from prosa.cluster.supervise import Cluster, Event, Role, Topology, guarding
from prosa.load.bench import beside

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

    @property
    def doors(self) -> tuple[str, ...]:
        """Where people go in: at each gateway's own address, and at the one of them all in between.

        Who first accepts at the latter takes everybody who stands there, so that nobody might be with the others.
        """
        gateways = (name for name, role in self.cluster.topology.names.items() if role is Role.GATEWAY)
        return tuple(url for name in gateways for url in (self.cluster.process(name).address, self.cluster.address))


@asynccontextmanager
async def ground(
    wish: Wish, environment: Mapping[str, str], folder: Path, happened: Callable[[Event], None]
) -> AsyncIterator[Ground]:
    """Start it all, and end it whatever happens, be it that this process is killed. Raises SetupError.

    The logs stay in ``folder``.
    """
    async with AsyncExitStack() as stack:
        guard = await stack.enter_async_context(guarding())
        await stack.enter_async_context(beside(guard.watch()))
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
