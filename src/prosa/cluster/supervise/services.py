"""The database and the broker of a local cluster, where the operator has named none."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Final

import msgspec

from prosa.cluster.nodes import PostgresNode, RabbitNode
from prosa.cluster.nodes.node import Node
from prosa.cluster.supervise.topology import Event, Happening, Process, Role
from prosa.core.errors import SetupError
from prosa.ports import Clock
from prosa.settings import Settings

LOOK_SECONDS: Final = 0.5
AGAIN_SECONDS: Final = 10.0


class Service(msgspec.Struct, frozen=True):
    """A private node as the cluster sees it. ``variable`` is the setting that leads the processes to ``address``."""

    role: Role
    node: Node
    variable: str
    address: str

    @property
    def described(self) -> Process:
        return Process(self.role.value, self.role, self.node.pid if self.node.running else None, self.address)


def missing(settings: Settings, folder: Path) -> list[Service]:
    """A private node for each service that the settings do not name; its data stays in ``folder``."""
    found = []
    if settings.embedded_database:
        database = PostgresNode(folder / "postgresql")
        found.append(Service(Role.DATABASE, database, "PROSA_DATABASE_URL", database.url()))
    if settings.broker_url is None:
        broker = RabbitNode(folder / "rabbitmq")
        found.append(Service(Role.BROKER, broker, "PROSA_BROKER_URL", broker.url))
    return found


@asynccontextmanager
async def running(services: Sequence[Service]) -> AsyncIterator[None]:
    """Start them side by side, and end them whatever happens. Raises SetupError, perhaps in a group."""
    async with AsyncExitStack() as stack:
        for service in services:
            stack.push_async_exit(service.node)
        async with asyncio.TaskGroup() as group:
            for service in services:
                group.create_task(service.node.start())
        yield


async def keep(service: Service, clock: Clock, heard: Callable[[Event], None], said: Callable[[str], None]) -> None:
    """Start a node again whenever it ended. Until cancelled."""

    def tell(what: Happening) -> None:
        process = service.described
        heard(Event(event=what, name=process.name, role=process.role, at=clock.monotonic(), pid=process.pid))

    while True:
        await clock.sleep(LOOK_SECONDS)
        if service.node.running:
            continue
        tell(Happening.ENDED)
        said(f"The private {service.role} has ended by itself; it is started again.")
        try:
            await service.node.start()
        except SetupError as error:
            said(f"{error.message} Next try in {AGAIN_SECONDS:.0f} s.")
            await clock.sleep(AGAIN_SECONDS)
        else:
            tell(Happening.STARTED)
