"""What every node has: a folder that is its alone, a port, a log, deadlines, and an end."""

import asyncio
import fcntl
import os
import signal
import socket
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from types import TracebackType
from typing import ClassVar, Final, Self

from prosa.cluster.child import Child, Program, last_lines
from prosa.cluster.loopback import HOST, free_port
from prosa.core.errors import DataFolderInUse, DataFolderUnusable, PortTaken, SetupError

START_SECONDS: Final = 90.0
"""Generous: a busy machine with a slow disk."""
STOP_SECONDS: Final = 30.0
FREE_SECONDS: Final = 2.0
"""How long what is left of a node that was killed from outside may hold its folder."""
POLL_SECONDS: Final = 0.05
LOCK: Final = "node.lock"
PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class Node(ABC):
    """A service of our own on the loopback interface.

    ``async with`` starts it, and ends it with all its processes whatever happens: cleanly, or at once when the body
    failed or was cancelled. In between it may be stopped, killed and started as often as one likes, on the same port.
    One call at a time. Every wait has a deadline; what does not come in time is a SetupError with the log's end.
    """

    service: ClassVar[str]

    def __init__(self, folder: Path, port: int | None = None) -> None:
        self.folder = folder.absolute()
        self.port = port or free_port()
        self.log = self.folder / "node.log"
        self._children: list[Child] = []
        self._lock: int | None = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error is None:
                await self.stop()
        finally:
            self._end()

    @property
    def running(self) -> bool:
        return bool(self._children) and self._children[-1].alive

    @property
    def pid(self) -> int:
        """Of the service's first process, the one whose death is the node's."""
        if not self.running:
            raise SetupError(f"The {self.service} node in {self.folder} does not run.")
        return self._children[-1].pid

    async def start(self) -> None:
        """Start it if it does not run, and wait until it serves.

        Raises DataFolderInUse, DataFolderUnusable, PortTaken, and SetupError for what is missing or did not come.
        """
        if self.running:
            return
        self._end()
        try:
            await self._hold_folder()
            self._ask_for_port()
            async with self._deadline("start", START_SECONDS):
                await self._launch()
            self._sign()
        except BaseException:
            self._end()
            raise

    async def stop(self) -> None:
        """A clean end. Nothing if it does not run."""
        await self._stop(signal.SIGTERM)

    async def kill(self) -> None:
        """As if the machine lost its power: SIGKILL to all of its processes."""
        await asyncio.to_thread(self._end)

    async def restart(self) -> None:
        await self.stop()
        await self.start()

    @abstractmethod
    async def _launch(self) -> None:
        """Start the processes, the service's own last, and wait until it serves."""

    # ── for the services ──

    def _run(self, program: Program) -> Child:
        child = Child(program)
        self._children.append(child)
        return child

    async def _finish(self, program: Program) -> None:
        """Run a program that prepares something."""
        code = await self._run(program).ended()
        if code:
            raise self._failure(f"{Path(program.command[0]).name} failed with exit code {code}")

    async def _until(self, serves: Callable[[], Awaitable[bool]]) -> None:
        """Ask until it serves, or until it has ended."""
        while not await serves():
            if not self.running:
                raise self._failure("it ended while it started")
            await asyncio.sleep(POLL_SECONDS)

    async def _stop(self, number: int) -> None:
        if self.running:
            self._children[-1].signal(number)
            async with self._deadline("stop", STOP_SECONDS):
                await self._children[-1].ended()
        await self.kill()

    def _keeps(self) -> list[int]:
        """The folder's lock, which a process inherits: the folder is in use for as long as one of them lives."""
        return [] if self._lock is None else [self._lock]

    def _failure(self, what: str) -> SetupError:
        end = last_lines(self.log)
        shown = f"The end of its log {self.log}:\n{end}" if end else f"Its log {self.log} is empty."
        return SetupError(f"The {self.service} node on port {self.port}: {what}. {shown}")

    @asynccontextmanager
    async def _deadline(self, what: str, seconds: float) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(seconds):
                yield
        except TimeoutError as error:
            raise self._failure(f"it did not {what} within {seconds:.0f} s") from error

    # ── its folder and its end ──

    async def _hold_folder(self) -> None:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._lock = os.open(self.folder / LOCK, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise DataFolderUnusable(f"The {self.service} node cannot use {self.folder}: {error.strerror}.") from error
        try:
            async with asyncio.timeout(FREE_SECONDS):
                while not _locked(self._lock):  # noqa: ASYNC110 - a lock of the kernel has no event
                    await asyncio.sleep(POLL_SECONDS)
        except TimeoutError:
            raise DataFolderInUse(
                f"Another {self.service}{self._holder()} uses the node's folder {self.folder}. "
                "End it first, or name another folder."
            ) from None

    def _sign(self) -> None:
        (self.folder / LOCK).write_text(f"{self.pid}\n")

    def _holder(self) -> str:
        pid = (self.folder / LOCK).read_text().strip()
        return f" (process {pid})" if pid.isdecimal() else ""

    def _ask_for_port(self) -> None:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((HOST, self.port))
            except OSError as error:
                raise PortTaken(
                    f"The {self.service} node cannot use port {self.port} on {HOST}: {error.strerror}. "
                    "End the process that has it, or name another port."
                ) from error

    def _end(self) -> None:
        """Without waiting for the event loop, so that a cancelled start leaves nothing behind either."""
        for child in reversed(self._children):
            child.destroy()
        self._children.clear()
        lock, self._lock = self._lock, None
        if lock is not None:
            os.close(lock)


def _locked(file: int) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
