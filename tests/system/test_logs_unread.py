"""A log that nobody reads, or that leads nowhere, slows no answer and keeps no process from its end."""

import asyncio
import os
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from prosa.lines import CLOSE_SECONDS
from tests.system.cluster import Nodes, until
from tests.system.harness import Person
from tests.system.pair import Member, crowd, listen, pair

QUESTION = "does it flow [[n=40 r=40 ttft=0.1]]"
DRAIN_SECONDS = 15.0
"""For the stages of an end on a busy machine, which a log has no part in. Who waited for a reader waited for ever."""


class Pipe:
    """What two processes write to. ``read`` is what was read of it."""

    def __init__(self) -> None:
        self.end, self.streams = os.pipe()
        self.read = bytearray()
        self._reading = threading.Event()
        self._reading.set()
        self._reader = threading.Thread(target=self._drain, daemon=True)
        self._reader.start()

    def _drain(self) -> None:
        os.set_blocking(self.end, False)
        while self._reading.wait():
            try:
                self.read += os.read(self.end, 65_536)
            except BlockingIOError:
                threading.Event().wait(0.01)
            except OSError:
                return

    async def holds(self) -> bool:
        """Whether what both processes say of an answer has come out of it."""
        return all(event in self.read for event in (b'"run.accepted"', b'"run.ended"'))

    def leave_unread(self) -> None:
        """Nobody reads from now on, and there is no room for another line."""
        self._reading.clear()
        threading.Event().wait(0.05)
        own = os.open(f"/proc/self/fd/{self.streams}", os.O_WRONLY | os.O_NONBLOCK)
        for some in (b"x" * 4096, b"x"):
            with suppress(BlockingIOError):
                while True:
                    os.write(own, some)
        os.close(own)

    def break_off(self) -> None:
        """The reader is gone: whoever writes is told that the pipe is broken."""
        os.close(self.end)

    def close(self) -> None:
        for descriptor in (self.end, self.streams):
            with suppress(OSError):
                os.close(descriptor)


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    made = Pipe()
    yield made
    made.close()


async def test_gateway_and_worker_answer_as_fast_while_nobody_reads_their_log_or_its_reader_is_gone(
    nodes: Nodes, tmp_path: Path, pipe: Pipe
) -> None:
    async with pair(nodes, tmp_path, streams=pipe.streams, log_level="debug") as two:
        person = await Person.sign_up(two.gateway.base)
        usual = await listen(person, QUESTION)
        await until(pipe.holds)
        pipe.leave_unread()
        await crowd(person, 30)
        unread = await listen(person, QUESTION)
        assert unread.is_as_fast_as(usual), (unread, usual)
        pipe.break_off()
        await crowd(person, 10)
        gone = await listen(person, QUESTION)
        assert gone.is_as_fast_as(usual), (gone, usual)

        async def counted() -> bool:
            return min([await member.metric("prosa_log_lines_dropped_total") for member in two.members]) > 0

        await until(counted)
        for code, seconds in await two.stop():
            assert code == 0
            assert seconds < DRAIN_SECONDS


async def test_both_end_in_time_while_nobody_reads_their_last_lines(nodes: Nodes, tmp_path: Path, pipe: Pipe) -> None:
    pipe.leave_unread()
    async with pair(nodes, tmp_path, streams=pipe.streams, log_level="debug") as two:
        await listen(await Person.sign_up(two.gateway.base), QUESTION)
        for code, seconds in await two.stop():
            assert code == 0
            assert CLOSE_SECONDS <= seconds < CLOSE_SECONDS + DRAIN_SECONDS


async def test_prosa_serve_starts_answers_and_ends_where_its_greeting_finds_no_reader(
    tmp_path: Path, pipe: Pipe
) -> None:
    pipe.leave_unread()
    async with served(tmp_path, streams=pipe.streams) as member:
        await listen(await Person.sign_up(member.base), QUESTION)
        assert (await member.stop())[0] == 0


async def test_prosa_serve_does_without_standard_streams(tmp_path: Path) -> None:
    async with served(tmp_path, script='exec "$@" >&- 2>&-') as member:
        await listen(await Person.sign_up(member.base), QUESTION)
        assert await member.metric("prosa_log_lines_dropped_total") > 0
        assert (await member.stop())[0] == 0
    assert member.log == ""


async def test_the_last_lines_of_a_process_are_in_its_log(tmp_path: Path) -> None:
    async with served(tmp_path) as member:
        async with asyncio.TaskGroup() as group:
            person = await Person.sign_up(member.base)
            asking = group.create_task(listen(person, "longer than it lives [[n=2000 r=20]]"))

            async def claimed() -> bool:
                return '"run.claimed"' in member.log

            await until(claimed)
            asking.cancel()
        assert (await member.stop())[0] == 0
    assert '"run.let_go"' in member.log.splitlines()[-1]


@asynccontextmanager
async def served(folder: Path, *, streams: int | None = None, script: str = 'exec "$@"') -> AsyncIterator[Member]:
    """`prosa serve` at the level debug, ready."""
    member = Member("serve", folder, {"PROSA_LOG_LEVEL": "debug"})
    await member.start(streams, script)
    try:
        await member.ready()
        yield member
    finally:
        member.kill()
