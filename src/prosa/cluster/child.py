"""A program of the system as our child: in a session of its own, writing to a log, and never left behind."""

import asyncio
import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

import msgspec

from prosa.cluster.tree import end_family

LAST_LINES: Final = 12
LAST_BYTES: Final = 8 * 1024
GONE_SECONDS: Final = 10.0
"""After SIGKILL: the kernel only has to give the memory back."""


class Person(msgspec.Struct, frozen=True):
    """As whom a program runs, when not as ourselves."""

    uid: int
    gid: int


class Program(msgspec.Struct, frozen=True, kw_only=True):
    """What to run. It sees ``environment`` and nothing of ours; it inherits ``keeps`` and no other file."""

    command: Sequence[str | Path]
    environment: Mapping[str, str]
    folder: Path
    log: Path
    person: Person | None = None
    keeps: Sequence[int] = ()


class Child:
    """A started program. Ctrl-C in our terminal does not reach it, but where the system can (util-linux), it ends with
    the thread that started it: start it from one that lives as long as it shall."""

    def __init__(self, program: Program) -> None:
        person = program.person
        with program.log.open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603 - a program that we looked up, no shell
                [*_leash(), *program.command],
                env=dict(program.environment),
                cwd=program.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                user=person.uid if person else None,
                group=person.gid if person else None,
                extra_groups=[] if person else None,
                pass_fds=program.keeps,
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def signal(self, number: int) -> None:
        self._process.send_signal(number)

    async def ended(self) -> int:
        """Wait for its end; the exit code, negative for a signal."""
        if not self.alive:
            return self._process.wait()
        over = asyncio.Event()
        loop = asyncio.get_running_loop()
        handle = os.pidfd_open(self.pid)
        loop.add_reader(handle, over.set)
        try:
            await over.wait()
        finally:
            loop.remove_reader(handle)
            os.close(handle)
        return self._process.wait()

    def destroy(self) -> None:
        """SIGKILL to it and to all that descends from it; blocks for as long as the kernel takes (milliseconds)."""
        if self.alive:
            end_family(self.pid, GONE_SECONDS)
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(GONE_SECONDS)


def _leash() -> list[str]:
    """Have the kernel end the program when the thread that started it ends, even if that is killed."""
    found = shutil.which("setpriv")
    return [found, "--pdeathsig", "KILL", "--"] if found else []


def last_lines(log: Path) -> str:
    """The end of a log, for an error that a person reads."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - LAST_BYTES))
            lines = file.read().decode(errors="replace").splitlines()
    except FileNotFoundError:
        return ""
    return "\n".join(lines[-LAST_LINES:])
