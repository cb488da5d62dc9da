"""The people of a bench in several processes: each is told whom to play, when to begin, and to stop.

A part is a program of our own (``prosa.load.part``). Down its standard input come the job, then ``start TIME``,
perhaps ``stop``; up its standard output ``connected``, then all that it brings home. A word that begins with
``error`` is what a person must read.
"""

import asyncio
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Final, Self

import msgspec

from prosa.core.errors import Unavailable
from prosa.load.crowd import Cast, Harvest
from prosa.load.plan import Plan

CONNECTED: Final = "connected"
ERROR: Final = "error "
START: Final = "start "
STOP: Final = "stop"
CONNECT_SECONDS: Final = 90.0
GONE_SECONDS: Final = 10.0


class Part(msgspec.Struct, frozen=True):
    """What a part plays."""

    plan: Plan
    cast: Cast


class Opened:
    """A part whose people are connected."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    @classmethod
    async def of(cls, process: asyncio.subprocess.Process, part: Part) -> Self:
        """Raises Unavailable where it could not connect."""
        opened = cls(process)
        opened._say(msgspec.json.encode(part).decode())
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                opened._check((await opened._out.readline()).decode().strip(), CONNECTED)
        except TimeoutError:
            raise Unavailable(f"A process of the bench had no sockets within {CONNECT_SECONDS:g} s.") from None
        return opened

    def start(self, at: float) -> None:
        """Begin at this time of the machine's monotonic clock."""
        self._say(f"{START}{at!r}")

    def stop(self) -> None:
        """Wait for no more answers."""
        self._say(STOP)

    async def harvest(self) -> Harvest:
        """What it brings home. Raises Unavailable where it died."""
        text = (await self._out.read()).decode()
        self._check(text, "{")
        return msgspec.json.decode(text, type=Harvest)

    @property
    def _out(self) -> asyncio.StreamReader:
        if self._process.stdout is None:
            raise Unavailable("A process of the bench has no output.")
        return self._process.stdout

    def _say(self, line: str) -> None:
        if self._process.stdin is not None and not self._process.stdin.is_closing():
            self._process.stdin.write(f"{line}\n".encode())

    def _check(self, said: str, expected: str) -> None:
        if said.startswith(ERROR):
            raise Unavailable(said.removeprefix(ERROR).strip())
        if not said.startswith(expected):
            raise Unavailable("A process of the bench died. Is there memory for it?")


@asynccontextmanager
async def opened(parts: Sequence[Part]) -> AsyncIterator[list[Opened]]:
    """All parts, connected. None is left behind."""
    async with AsyncExitStack() as stack:
        processes = [await stack.enter_async_context(_process()) for _ in parts]
        yield [await Opened.of(process, part) for process, part in zip(processes, parts, strict=True)]


@asynccontextmanager
async def _process() -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "prosa.load.part",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        start_new_session=True,  # Ctrl-C is for the first process, which says `stop`
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        async with asyncio.timeout(GONE_SECONDS):
            await process.wait()


async def stopped(opened: Sequence[Opened], stop: asyncio.Event) -> None:
    """Hand on that nobody wants to wait."""
    await stop.wait()
    for one in opened:
        one.stop()
