"""A cluster of real processes on this machine: one address, ordered start and stop, and every process by its name."""

import asyncio
import os
import signal
import socket
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import msgspec

from prosa.adapters.clock import SystemClock
from prosa.adapters.folder import locked
from prosa.bootstrap.server import bound
from prosa.cluster.supervise import child
from prosa.cluster.supervise.child import GONE_SECONDS, Child, Program
from prosa.cluster.supervise.member import Member, Output, Surroundings
from prosa.cluster.supervise.topology import LOOPBACK, Description, Event, Process, Role, Topology
from prosa.core.errors import SetupError
from prosa.ports import Clock

OURS: Final = "prosa"
"""In front of lines that no child prints."""
MIGRATE: Final = "migrate"
DESCRIPTION: Final = "cluster.json"


def _ignored(*_: object) -> None:
    pass


class Cluster:
    """``async with`` opens every socket, migrates, starts the workers and the gateways, and waits until all are ready.

    Addresses are known before a process runs and outlive it: connections wait while it is started again. Leaving ends
    the gateways first, so that nothing new comes in, then the workers; it kills all at once if the body failed or was
    cancelled. Nothing outlives this process, however it ends (see the leash).

    ``happened`` is called with each event, ``printed`` with a process's name and each line that it prints; neither may
    block. ``services`` describes what else belongs to it. Entering raises SetupError: what did not come up, and why.
    """

    def __init__(
        self,
        topology: Topology,
        *,
        clock: Clock | None = None,
        happened: Callable[[Event], None] = _ignored,
        printed: Callable[[str, str], None] = _ignored,
        services: Callable[[], Sequence[Process]] = tuple,
    ) -> None:
        self.topology = topology
        self._surroundings = Surroundings(topology, clock or SystemClock(), printed, self.heard)
        self._happened = happened
        self._services = services
        self._members: dict[str, Member] = {}
        self._news = asyncio.Event()
        self._stack = AsyncExitStack()
        self._shared: socket.socket
        self.address = ""
        """Where all gateways are reached, for a program on this machine."""
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        try:
            await self._open()
        except BaseException:
            await self._end()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error is None:
                await self._retire()
        finally:
            await self._end()

    # ── what it is ──

    @property
    def names(self) -> tuple[str, ...]:
        """Gateways first."""
        return tuple(self.topology.names)

    @property
    def file(self) -> Path:
        """Where the description lies while the cluster is up."""
        return self.topology.folder / DESCRIPTION

    def process(self, name: str) -> Process:
        return self._members[name].described

    def starts(self, name: str) -> int:
        """How often it was started."""
        return self._members[name].starts

    def describe(self) -> Description:
        processes = [member.described for member in self._members.values()]
        return Description(self.address, [*processes, *self._services()], str(self.topology.folder), os.getpid())

    # ── what is done to one process ──

    def signal(self, name: str, number: int) -> int:
        """The process that got it. Raises ProcessLookupError if it does not run."""
        return self._members[name].signal(number)

    def kill(self, name: str) -> int:
        """As if it had crashed: it is started again, after its pause."""
        return self.signal(name, signal.SIGKILL)

    def freeze(self, name: str) -> int:
        return self.signal(name, signal.SIGSTOP)

    def thaw(self, name: str) -> int:
        return self.signal(name, signal.SIGCONT)

    async def stop(self, name: str) -> None:
        """SIGTERM, and wait until it has drained. It stays down."""
        await self._members[name].stop(self.topology.stop_seconds)

    async def start(self, name: str) -> None:
        """Start what is down, at once. Returns when it runs, ready or not. Raises TimeoutError."""
        await self._members[name].start()

    async def restart(self, name: str) -> None:
        """Drain, start, wait until it is ready. One after the other this is a rolling deploy. Raises TimeoutError."""
        await self.stop(name)
        await self.start(name)
        await self.wait_ready(name, self.topology.start_seconds)

    async def ready(self, name: str) -> bool:
        """Asked this moment."""
        return await self._members[name].answers_ready()

    async def wait_ready(self, name: str, seconds: float) -> None:
        """Raises TimeoutError."""
        try:
            async with asyncio.timeout(seconds):
                await self._members[name].until_ready()
        except TimeoutError:
            raise TimeoutError(f"{name} did not get ready within {seconds:g} s.") from None

    # ── start ──

    async def _open(self) -> None:
        topology = self.topology
        self._stack.enter_context(locked(topology.folder))
        self._stack.callback(self.file.unlink, missing_ok=True)
        self._shared = self._stack.enter_context(bound(topology.host, topology.port))
        self.address = _address(self._shared)
        for name, role in topology.names.items():
            own = self._stack.enter_context(bound(LOOPBACK, 0))
            listeners = [self._shared, own] if role is Role.GATEWAY else [own]
            self._members[name] = Member(name, role, listeners, self._surroundings)
        group = await self._stack.enter_async_context(asyncio.TaskGroup())
        if topology.migrates:
            await self._migrate()
        self._tasks = [group.create_task(member.run()) for member in self._members.values()]
        for member in [*self._of(Role.WORKER), *self._of(Role.GATEWAY)]:
            await member.start()
        await self._all_ready()

    async def _migrate(self) -> None:
        topology, output = self.topology, Output(MIGRATE, self._surroundings)
        program = Program([*topology.command, MIGRATE], topology.environment_of(MIGRATE))

        def began(_begun: Child) -> None:
            pass

        try:
            async with asyncio.timeout(topology.start_seconds):
                code = await child.run(program, output.said, began)
        except TimeoutError:
            raise SetupError(f"The database's schema was not ready within {topology.start_seconds:.0f} s.") from None
        except OSError as error:
            raise SetupError(f"{program.command[0]} cannot be run: {error.strerror}.") from error
        finally:
            output.close()
        if code:
            raise SetupError(output.reason or f"`prosa {MIGRATE}` failed:\n{output.tail}")

    async def _all_ready(self) -> None:
        try:
            async with asyncio.timeout(self.topology.start_seconds):
                while not all(member.ready for member in self._members.values()):
                    self._give_up_on_the_stuck()
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            raise self._late() from None

    def _give_up_on_the_stuck(self) -> None:
        for member in self._members.values():
            if member.record.stuck:
                raise SetupError(f"{member.name} cannot start: {member.record.reason}")

    def _late(self) -> SetupError:
        late = [member for member in self._members.values() if not member.ready]
        names = ", ".join(member.name for member in late)
        what = f"Not ready within {self.topology.start_seconds:.0f} s: {names}."
        return SetupError(f"{what} The last lines of {late[0].name}:\n{late[0].output.tail}")

    def heard(self, event: Event) -> None:
        """Something happened to a process, or to a service that somebody else keeps up."""
        self._news.set()
        self._write_description()
        self._happened(event)

    def _write_description(self) -> None:
        """Whole at every moment: another program may read it at any."""
        new = self.file.with_suffix(".new")
        try:
            new.write_bytes(msgspec.json.format(msgspec.json.encode(self.describe())))
            new.replace(self.file)
        except OSError as error:
            self._surroundings.printed(OURS, f"{self.file} cannot be written: {error.strerror}.")

    def _of(self, role: Role) -> list[Member]:
        return [member for member in self._members.values() if member.role is role]

    # ── stop ──

    async def _retire(self) -> None:
        """Gateways drain while the workers still answer; then the workers, to whom nothing new comes."""
        self._shared.close()
        for role in (Role.GATEWAY, Role.WORKER):
            async with asyncio.TaskGroup() as group:
                for member in self._of(role):
                    group.create_task(member.stop(self.topology.stop_seconds))

    async def _end(self) -> None:
        """Whatever still runs is killed, and nothing is left but the logs."""
        for member in self._members.values():
            member.destroy()
        with suppress(TimeoutError):
            async with asyncio.timeout(GONE_SECONDS):
                for member in self._members.values():
                    await member.gone()
        for task in self._tasks:
            task.cancel()
        # The group hears of no error: it would wrap whatever the body raised.
        await self._stack.aclose()


def reached(host: str) -> str:
    """How a program on this machine reaches what listens on an address."""
    return {"0.0.0.0": LOOPBACK, "[::]": "[::1]", "::": "[::1]"}.get(host, host)  # noqa: S104 — read, not bound


def _address(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    shown = f"[{host}]" if ":" in host else host
    return f"http://{reached(shown)}:{port}"
