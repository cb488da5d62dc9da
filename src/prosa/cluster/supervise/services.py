"""The database and the broker of a local cluster, where the operator has named none."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Final

import msgspec

from prosa.cluster import guard as guard_program
from prosa.cluster.nodes import PostgresNode, RabbitNode
from prosa.cluster.nodes.node import Node
from prosa.cluster.supervise.topology import Event, Happening, Process, Role
from prosa.cluster.tree import parents
from prosa.core.errors import SetupError
from prosa.ports import Clock
from prosa.settings import Settings

GONE_SECONDS: Final = 5.0
GUARD: Final = guard_program.__file__
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


class Guard:
    """Kills the processes that it was told of when this one was killed itself.

    Those of a cluster are on a leash anyway; but a leash is not for programs that run as somebody else, as nodes may.
    """

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._told: set[int] = {process.pid}

    def tell(self) -> None:
        """Each child that this process has now is to end with it; what they started themselves ends with them."""
        known = {child for child, parent in parents().items() if parent == os.getpid()}
        for pid in known - self._told:
            self._input.write(f"{pid}\n".encode())
        # A number that is in use again must be told again.
        self._told = known | {self._process.pid}

    async def watch(self) -> None:
        """Tell of whatever begins. Until cancelled."""
        while True:
            self.tell()
            await asyncio.sleep(LOOK_SECONDS)

    async def end(self) -> None:
        self._input.close()
        try:
            async with asyncio.timeout(GONE_SECONDS):
                await self._process.wait()
        except TimeoutError:
            self._process.kill()

    @property
    def _input(self) -> asyncio.StreamWriter:
        assert self._process.stdin is not None  # noqa: S101 — it was asked for
        return self._process.stdin


@asynccontextmanager
async def guarding() -> AsyncIterator[Guard]:
    """Start the guard. It knows nothing yet: ``tell`` it whenever a node has started."""
    program = (sys.executable, "-I", "-S", GUARD)
    pipe = asyncio.subprocess.PIPE
    guard = Guard(await asyncio.create_subprocess_exec(*program, stdin=pipe, start_new_session=True))
    try:
        yield guard
    finally:
        await guard.end()


@asynccontextmanager
async def running(services: Sequence[Service]) -> AsyncIterator[Guard | None]:
    """Start them side by side, and end them whatever happens. Raises SetupError, perhaps in a group."""
    if not services:
        yield None
        return
    async with AsyncExitStack() as stack:
        guard = await stack.enter_async_context(guarding())
        for service in services:
            stack.push_async_exit(service.node)
        await _start(services, guard)
        yield guard


async def _start(services: Sequence[Service], guard: Guard) -> None:
    async with asyncio.TaskGroup() as group:
        watching = group.create_task(guard.watch())
        starting = [group.create_task(service.node.start()) for service in services]
        await asyncio.wait(starting)
        watching.cancel()
    guard.tell()


class Watch(msgspec.Struct, frozen=True):
    """What keeping nodes up needs, and where it tells of it."""

    guard: Guard
    clock: Clock
    heard: Callable[[Event], None]
    said: Callable[[str], None]


async def keep(service: Service, watch: Watch) -> None:
    """Start a node again whenever it ended. Until cancelled."""

    def tell(what: Happening) -> None:
        process = service.described
        now = watch.clock.monotonic()
        watch.heard(Event(event=what, name=process.name, role=process.role, at=now, pid=process.pid))

    while True:
        await watch.clock.sleep(LOOK_SECONDS)
        if service.node.running:
            continue
        tell(Happening.ENDED)
        watch.said(f"The private {service.role} has ended by itself; it is started again.")
        try:
            await service.node.start()
        except SetupError as error:
            watch.said(f"{error.message} Next try in {AGAIN_SECONDS:.0f} s.")
            await watch.clock.sleep(AGAIN_SECONDS)
        else:
            watch.guard.tell()
            tell(Happening.STARTED)
