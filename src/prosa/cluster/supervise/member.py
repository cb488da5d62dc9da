"""One process of the cluster through all its runs: kept up while it is wanted, and down while it is not."""

import asyncio
import random
import signal
import socket
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from typing import Any, Final

import msgspec

from prosa.cluster.supervise import child
from prosa.cluster.supervise.child import Child, Program
from prosa.cluster.supervise.lines import LogFile
from prosa.cluster.supervise.patience import NOT_SET_UP, Ending, Record, after, pause_seconds
from prosa.cluster.supervise.probe import is_ready
from prosa.cluster.supervise.topology import Event, Happening, Process, Role, Topology
from prosa.ports import Clock

LOOK_SECONDS: Final = 0.1
"""Between two questions whether a process is ready."""
LAST_LINES: Final = 20
OURS: Final = "prosa: "
"""How the sentence begins with which a command of Prosa says why it ends."""


class Surroundings(msgspec.Struct, frozen=True):
    """What all members share. ``printed`` gets the lines of a process, ``happened`` what becomes of it."""

    topology: Topology
    clock: Clock
    printed: Callable[[str, str], None]
    happened: Callable[[Event], None]


class Output:
    """Where a process's lines go: to its file, to whoever listens, and the last ones into memory."""

    def __init__(self, name: str, surroundings: Surroundings) -> None:
        self._name = name
        self._printed = surroundings.printed
        self._file = LogFile(surroundings.topology.folder / f"{name}.log")
        self._last: deque[str] = deque(maxlen=LAST_LINES)
        self._writable = True

    def said(self, lines: Sequence[str]) -> None:
        self._last.extend(lines)
        for line in lines:
            self._printed(self._name, line)
        self._keep(lines)

    def _keep(self, lines: Sequence[str]) -> None:
        try:
            self._file.write(lines)
            self._writable = True
        except OSError as error:
            if self._writable:
                self._printed(self._name, f"(Its log {self._file.path} cannot be written: {error.strerror}.)")
            self._writable = False

    @property
    def reason(self) -> str:
        """The last sentence with which it said why it ends; empty if it said none."""
        said = [line.removeprefix(OURS) for line in self._last if line.startswith(OURS)]
        return said[-1] if said else ""

    @property
    def tail(self) -> str:
        return "\n".join(self._last)

    def forget(self) -> None:
        self._last.clear()

    def close(self) -> None:
        self._file.close()


class Member:
    """A process by its name, and the sockets that it inherits; the last one is its own, and where it is asked."""

    def __init__(self, name: str, role: Role, listeners: Sequence[socket.socket], shared: Surroundings) -> None:
        self.name = name
        self.role = role
        self.starts = 0
        self.ready = False
        self.record = Record()
        self.output = Output(name, shared)
        self._listeners = listeners
        self._own: tuple[str, int] = listeners[-1].getsockname()[:2]
        self._shared = shared
        self._wanted = False
        self._changed = asyncio.Event()
        self._child: Child | None = None
        self._pid: int | None = None
        self._began_at = 0.0
        self._up = asyncio.Event()
        self._down = asyncio.Event()
        self._down.set()
        self._ready_at: float | None = None

    # ── what it is ──

    @property
    def described(self) -> Process:
        host, port = self._own
        address = f"http://{host}:{port}"
        metrics = self._shared.topology.metrics.get(self.name, address)
        return Process(self.name, self.role, self._child.pid if self._child else None, address, metrics)

    async def answers_ready(self) -> bool:
        """Asked this moment."""
        return await is_ready(*self._own)

    async def until_ready(self) -> None:
        """Asked until it is; there is no other bound."""
        while not await self.answers_ready():  # noqa: ASYNC110 — another process has no event of ours
            await asyncio.sleep(LOOK_SECONDS)

    # ── what others want of it ──

    async def start(self) -> None:
        """Returns when it runs, ready or not. Raises TimeoutError."""
        self._wanted = True
        self.record = Record()
        self._changed.set()
        async with asyncio.timeout(self._shared.topology.start_seconds):
            await self._up.wait()

    async def stop(self, seconds: float) -> None:
        """Ask it to end, and kill it if it has not in time. It stays down."""
        self._wanted = False
        self._changed.set()
        if self._child is not None:
            self._child.end()
        try:
            async with asyncio.timeout(seconds):
                await self._down.wait()
        except TimeoutError:
            self.destroy()
            await self._down.wait()

    def signal(self, number: int) -> int:
        """The process that got it. Raises ProcessLookupError if there is none."""
        if self._child is None:
            raise ProcessLookupError(f"{self.name} does not run.")
        self._child.signal(number)
        return self._child.pid

    async def gone(self) -> None:
        """Returns when it is down."""
        await self._down.wait()

    def destroy(self) -> None:
        """Down at once, and it stays down."""
        self._wanted = False
        self._changed.set()
        with suppress(ProcessLookupError):
            self.signal(signal.SIGKILL)

    # ── its lives ──

    async def run(self) -> None:
        """Until cancelled, which kills it."""
        try:
            while True:
                await self._until_wanted()
                ending = await self._live()
                if self._wanted:
                    await self._reconsider(ending)
        finally:
            self.output.close()

    async def _until_wanted(self) -> None:
        while not self._wanted:
            self._changed.clear()
            await self._changed.wait()

    async def _live(self) -> Ending:
        self.starts += 1
        self._down.clear()
        self.output.forget()
        self._ready_at = None
        try:
            async with asyncio.TaskGroup() as group:
                probing = group.create_task(self._probe())
                code = await self._whole_run()
                probing.cancel()
        finally:
            self._child, self.ready = None, False
            self._up.clear()
            self._down.set()
        ready_seconds = 0.0 if self._ready_at is None else self._now - self._ready_at
        self._tell(Happening.ENDED, code=code, asked=not self._wanted)
        return Ending(code, ready_seconds, self.output.reason)

    async def _whole_run(self) -> int:
        try:
            return await child.run(self._program(), self.output.said, self._began)
        except OSError as error:
            self.output.said([f"{OURS}The process cannot be started: {error.strerror}."])
            return NOT_SET_UP

    def _program(self) -> Program:
        topology = self._shared.topology
        descriptors = [listener.fileno() for listener in self._listeners]
        return Program(topology.command_of(self.role, descriptors), topology.environment_of(self.name), descriptors)

    def _began(self, begun: Child) -> None:
        self._child = begun
        self._pid = begun.pid
        self._began_at = self._now
        self._tell(Happening.STARTED)
        self._up.set()
        if not self._wanted:
            # Told to stop while it was being started.
            begun.end()

    async def _probe(self) -> None:
        await self._up.wait()
        await self.until_ready()
        self._ready_at, self.ready = self._now, True
        self._tell(Happening.READY, seconds=self._ready_at - self._began_at)

    async def _reconsider(self, ending: Ending) -> None:
        """It ended by itself: wait for the next try, or until somebody else wants something."""
        patience = self._shared.topology.patience
        if not self._shared.topology.restarts:
            self._wanted = False
            return
        self.record = after(self.record, ending, patience)
        if self.record.newly_stuck:
            self._tell(Happening.STUCK, code=ending.code, sentence=ending.reason)
        pause = pause_seconds(self.record, patience, random.random())  # noqa: S311 — jitter, not a secret
        self._tell(Happening.RESTARTING, code=ending.code, seconds=pause)
        if pause == 0:
            return
        self._changed.clear()
        await _first(self._shared.clock.sleep(pause), self._changed.wait())

    # ── telling ──

    @property
    def _now(self) -> float:
        return self._shared.clock.monotonic()

    def _tell(self, what: Happening, **details: Any) -> None:  # noqa: ANN401 — fields of an event
        event = Event(event=what, name=self.name, role=self.role, at=self._now, pid=self._pid, **details)
        self._shared.happened(event)


async def _first(*waits: Coroutine[Any, Any, object]) -> None:
    """Return when one of them has."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(wait) for wait in waits]
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            task.cancel()
