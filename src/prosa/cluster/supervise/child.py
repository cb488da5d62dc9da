"""One run of one process: started on a leash, in a session of its own, with what it prints handed on line by line."""

import asyncio
import os
import signal
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import IO, Final

import msgspec

from prosa.cluster.leash import leashed
from prosa.cluster.supervise.lines import Lines

READ_BYTES: Final = 64 * 1024
GONE_SECONDS: Final = 5.0
"""After SIGKILL: the kernel only has to give the memory back."""
LAST_WORDS_SECONDS: Final = 1.0
"""For what a dead process has printed. Longer only takes a pipe that a child of its own holds open."""


class Program(msgspec.Struct, frozen=True):
    """What to run. It sees ``environment`` and nothing of ours; it inherits the ``descriptors`` and no other file."""

    command: Sequence[str]
    environment: Mapping[str, str]
    descriptors: Sequence[int] = ()


class Child:
    """A running process. Its signals go to all of its session: to what it may have started as well."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    @property
    def pid(self) -> int:
        return self._process.pid

    def signal(self, number: int) -> None:
        """Nothing if it has ended."""
        if self._process.returncode is None:
            with suppress(ProcessLookupError):
                os.killpg(self.pid, number)

    def end(self) -> None:
        """Ask it to end; a frozen one is woken, for otherwise it would not hear."""
        self.signal(signal.SIGTERM)
        self.signal(signal.SIGCONT)

    async def ended(self) -> int:
        """Wait for its end; the exit code, negative for a signal."""
        return await self._process.wait()

    async def destroy(self) -> None:
        self.signal(signal.SIGKILL)
        async with asyncio.timeout(GONE_SECONDS):
            await self._process.wait()


async def run(program: Program, said: Callable[[list[str]], None], began: Callable[[Child], None]) -> int:
    """Run a program to its end; the exit code. Cancelled, it is killed before this returns.

    ``began`` is called when it runs, ``said`` with what it prints. Raises OSError if it cannot be started.
    """
    pipe, write_end = _pipe()
    with pipe:
        try:
            child = await _started(program, write_end)
        finally:
            os.close(write_end)
        async with asyncio.TaskGroup() as group:
            reading = group.create_task(_read(pipe, said))
            try:
                began(child)
                code = await child.ended()
                await asyncio.wait({reading}, timeout=LAST_WORDS_SECONDS)
                reading.cancel()
            finally:
                await child.destroy()
        return code


def _pipe() -> tuple[IO[bytes], int]:
    read_end, write_end = os.pipe()
    return open(read_end, "rb", buffering=0), write_end


async def _started(program: Program, output: int) -> Child:
    return Child(
        await asyncio.create_subprocess_exec(
            *leashed(program.command),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env=program.environment,
            pass_fds=program.descriptors,
            start_new_session=True,
        )
    )


async def _read(pipe: IO[bytes], said: Callable[[list[str]], None]) -> None:
    reader, lines = asyncio.StreamReader(), Lines()
    protocol = asyncio.StreamReaderProtocol(reader)
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(lambda: protocol, pipe)
    try:
        while data := await reader.read(READ_BYTES):
            said(lines.feed(data))
    finally:
        said(lines.end())
        transport.close()
