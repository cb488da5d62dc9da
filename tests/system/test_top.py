"""`prosa top` as an operator uses it: in a terminal of its own, in a pipe, and for programs."""

import asyncio
import fcntl
import json
import os
import pty
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import pytest

from prosa.terminal.top import ASK_SECONDS
from tests.receiver import hanging
from tests.system.harness import Person, Served

PROSA = Path(sys.executable).with_name("prosa")
ALTERNATE, BACK = "\x1b[?1049h", "\x1b[?1049l"


@pytest.fixture(scope="module")
async def served(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Served]:
    served = Served(tmp_path_factory.mktemp("top") / "data")
    await served.start()
    try:
        yield served
    finally:
        served.kill()


@pytest.fixture(scope="module")
async def root(served: Served) -> Person:
    """The first account: the administrator."""
    return await Person.sign_up(served.base)


def environment(served: Served, token: str) -> dict[str, str]:
    return {"PATH": os.defpath, "HOME": str(served.folder.parent), "PROSA_URL": served.base, "PROSA_TOKEN": token}


async def top(served: Served, token: str, *options: str, into: str | None = None, **more: str) -> tuple[int, str, str]:
    """Its exit code, and what it printed; ``into``: a file that gets that."""
    target = os.open(into, os.O_WRONLY) if into else asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        str(PROSA),
        "top",
        *options,
        env=environment(served, token) | more,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=target,
        stderr=asyncio.subprocess.PIPE,
    )
    if into:
        os.close(target)
    async with asyncio.timeout(30):
        out, err = await process.communicate()
    return process.returncode or 0, (out or b"").decode(), err.decode()


class Terminal:
    """`prosa top` in a terminal of 100 × 24."""

    def __init__(self, url: str, token: str) -> None:
        self._ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 100, 0, 0))
        self._before = termios.tcgetattr(theirs)
        self.theirs = theirs
        self.process = subprocess.Popen(
            # With a terminal of its own, Ctrl-C is a key like any other.
            ["/usr/bin/setsid", "--ctty", PROSA, "top", "--interval", "0.2", "--url", url],
            env={"PATH": os.defpath, "HOME": "/", "PROSA_TOKEN": token, "TERM": "xterm-256color"},
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
        )
        os.set_blocking(self._ours, False)
        self.seen = ""

    def type(self, keys: str) -> None:
        os.write(self._ours, keys.encode())

    async def until(self, wanted: str, seconds: float = 20) -> None:
        """Until this was printed behind what was waited for before."""
        async with asyncio.timeout(seconds):
            while wanted not in self.seen:
                self._read()
                await asyncio.sleep(0.02)
        self.seen = self.seen.split(wanted, 1)[1]

    def _read(self) -> None:
        """A terminal shows what is printed; into one that does not, nobody could print for long."""
        with suppress(BlockingIOError):
            self.seen += os.read(self._ours, 65536).decode(errors="replace")

    async def ended(self) -> int:
        async with asyncio.timeout(10):
            while (code := self.process.poll()) is None:
                self._read()
                await asyncio.sleep(0.02)
        return code

    @property
    def as_before(self) -> bool:
        return termios.tcgetattr(self.theirs) == self._before


async def test_in_a_pipe_it_prints_once_and_ends(served: Served, root: Person) -> None:
    code, out, err = await top(served, root.token)
    assert (code, err) == (0, "")
    assert out.startswith(f"Prosa at {served.base} · ")
    for word in ("QUEUE", "GATEWAY", "WORKER", "working", "dead letters 0"):
        assert word in out
    assert "\x1b" not in out


async def test_for_programs_it_prints_json(served: Served, root: Person) -> None:
    code, out, _ = await top(served, root.token, "--once", "--json")
    (worker,) = json.loads(out)["workers"]
    assert (code, worker["slots"], worker["alive"]) == (0, 250, True)


async def test_a_line_of_json_comes_again_and_again_until_it_is_told_to_end(served: Served, root: Person) -> None:
    process = await asyncio.create_subprocess_exec(
        *(PROSA, "top", "--json", "--interval", "0.2"),
        env=environment(served, root.token),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    async with asyncio.timeout(30):
        moments = [json.loads(await process.stdout.readline())["now"] for _ in range(8)]
        process.send_signal(signal.SIGINT)
        assert await process.wait() == 0
    # The gateway looks once a second: the same picture may come again.
    assert moments == sorted(moments)
    assert len(set(moments)) > 1


async def test_who_is_no_administrator_is_told_so(served: Served, root: Person) -> None:
    member = await Person.sign_up(served.base)
    code, out, err = await top(served, member.token)
    assert (code, out) == (1, "")
    assert "administrators" in err
    code, out, err = await top(served, "nonsense")
    assert (code, out) == (1, "")
    assert "not signed in" in err


async def test_an_address_where_nobody_answers_is_one_sentence(served: Served, root: Person) -> None:
    code, out, err = await top(served, root.token, "--url", "http://127.0.0.1:1")
    assert (code, out) == (1, "")
    assert "no answer from http://127.0.0.1:1" in err
    assert "Traceback" not in err


@pytest.mark.parametrize("leave", ["q", "\x03", "\x1b"])
async def test_in_a_terminal_it_lives_until_q_or_ctrl_c_and_puts_the_terminal_back(
    served: Served, root: Person, leave: str
) -> None:
    terminal = Terminal(served.base, root.token)
    try:
        await terminal.until(ALTERNATE)
        for _ in range(3):
            await terminal.until("250")
        terminal.type(leave)
        await terminal.until(BACK)
        assert await terminal.ended() == 0
        assert terminal.as_before
    finally:
        terminal.process.kill()
        terminal.process.wait()


async def test_other_keys_change_nothing(served: Served, root: Person) -> None:
    terminal = Terminal(served.base, root.token)
    try:
        await terminal.until("250")
        for keys in ("\x1b[A", "\x1bOQ", "x", "\r"):
            terminal.type(keys)
            for _ in range(2):
                await terminal.until("250")
        terminal.type("q")
        assert await terminal.ended() == 0
    finally:
        terminal.process.kill()
        terminal.process.wait()


async def test_a_server_that_hangs_keeps_nobody() -> None:
    async with hanging() as url:
        terminal = Terminal(url, "token")
        try:
            await terminal.until(ALTERNATE)
            begun = time.monotonic()
            terminal.type("q")
            assert await terminal.ended() == 0
            assert time.monotonic() - begun < ASK_SECONDS / 2
            assert terminal.as_before
        finally:
            terminal.process.kill()
            terminal.process.wait()


async def test_what_cannot_be_done_is_one_sentence_and_no_traceback(served: Served, root: Person) -> None:
    code, _, err = await top(served, f"{root.token}\nmore")
    assert (code, "one line of visible characters" in err) == (2, True)
    for options in ((), ("--once", "--json")):
        code, _, err = await top(served, root.token, *options, into="/dev/full")
        assert (code, "cannot be written" in err, "Traceback" in err) == (1, True, False), err
    code, out, _ = await top(served, root.token, PYTHONIOENCODING="ascii")
    assert (code, "WORKER" in out) == (0, True)


async def test_a_server_that_is_gone_is_said_and_asked_again(tmp_path: Path) -> None:
    served = Served(tmp_path / "data")
    await served.start()
    person = await Person.sign_up(served.base)
    terminal = Terminal(served.base, person.token)
    try:
        await terminal.until("250")
        served.kill()
        await terminal.until("no answer")
        await served.start()
        await terminal.until("250")
        await terminal.until("250")
        terminal.type("q")
        assert await terminal.ended() == 0
    finally:
        terminal.process.kill()
        terminal.process.wait()
        served.kill()
