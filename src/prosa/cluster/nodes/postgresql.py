"""A PostgreSQL of our own: as durable as one in production, and reachable from this machine alone."""

import os
import pwd
import shutil
import signal
import stat
from pathlib import Path
from typing import Final, Literal

import asyncpg

from prosa.cluster.child import Person, Program
from prosa.cluster.loopback import HOST
from prosa.cluster.nodes.node import PATH, Node
from prosa.cluster.tree import ZOMBIE, stat_fields
from prosa.core.errors import SetupError

Mode = Literal["fast", "immediate"]

SIGNALS: Final[dict[Mode, signal.Signals]] = {"fast": signal.SIGINT, "immediate": signal.SIGQUIT}
INSTALLED: Final = Path("/usr/lib/postgresql")
SUPERUSER: Final = "postgres"
DATABASE: Final = "prosa"
CONNECTIONS: Final = 200
CONNECT_SECONDS: Final = 5.0


class PostgresNode(Node):
    """Everybody on this machine may sign in to it as superuser: for tests and trials only.

    ``pid`` is the postmaster's. PostgreSQL refuses to run as root; then it runs as the user postgres, who is given
    the folder.
    """

    service = "PostgreSQL"

    def url(self, database: str = DATABASE) -> str:
        """Of a database; ``prosa`` exists from the first start on, others are made by ``create``."""
        return f"postgresql://{SUPERUSER}@{HOST}:{self.port}/{database}"

    async def create(self, database: str) -> None:
        """Make a database unless it exists. The node must run."""
        connection = await asyncpg.connect(self.url("postgres"), timeout=CONNECT_SECONDS)
        try:
            known = await connection.fetchval("SELECT true FROM pg_database WHERE datname = $1", database)
            if not known:
                quoted = database.replace('"', '""')
                await connection.execute(f'CREATE DATABASE "{quoted}"')
        finally:
            await connection.close(timeout=CONNECT_SECONDS)

    async def stop(self, mode: Mode = "fast") -> None:
        """``fast`` ends the connections and writes a checkpoint; ``immediate`` does neither, as a crash."""
        await self._stop(SIGNALS[mode])

    async def restart(self, mode: Mode = "fast") -> None:
        await self.stop(mode)
        await self.start()

    async def _launch(self) -> None:
        programs = _programs()
        person = _person()
        if person is not None:
            _give(self.folder, person)
        if not self._data.exists():
            await self._initialise(programs, person)
        _forget_the_dead(self._data / "postmaster.pid")
        self._run(self._program([programs / "postgres", *self._options()], person))
        await self._until(self._serves)
        await self.create(DATABASE)

    @property
    def _data(self) -> Path:
        return self.folder / "data"

    def _options(self) -> list[str]:
        return [
            *("-D", str(self._data)),
            *("-p", str(self.port)),
            *("-c", f"listen_addresses={HOST}"),
            *("-c", "unix_socket_directories="),
            *("-c", f"max_connections={CONNECTIONS}"),
        ]

    async def _initialise(self, programs: Path, person: Person | None) -> None:
        """Whole or not at all: what a cancelled try has left is thrown away."""
        unfinished = self.folder / "data.unfinished"
        shutil.rmtree(unfinished, ignore_errors=True)
        how = ["--username", SUPERUSER, "--auth", "trust", "--encoding", "UTF8", "--locale", "C.UTF-8"]
        await self._finish(self._program([programs / "initdb", "--pgdata", str(unfinished), *how], person))
        unfinished.rename(self._data)

    def _program(self, command: list[str | Path], person: Person | None) -> Program:
        return Program(
            command=command,
            environment={"PATH": PATH, "LANG": "C.UTF-8", "HOME": str(self.folder)},
            folder=self.folder,
            log=self.log,
            person=person,
            keeps=self._keeps(),
        )

    async def _serves(self) -> bool:
        try:
            connection = await asyncpg.connect(self.url("postgres"), timeout=CONNECT_SECONDS)
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
            return False
        await connection.close(timeout=CONNECT_SECONDS)
        return True


def _programs() -> Path:
    """The folder with PostgreSQL's programs."""
    if found := shutil.which("initdb"):
        return Path(found).resolve().parent
    versions = [folder for folder in INSTALLED.glob("*/bin") if (folder / "initdb").exists()]
    if not versions:
        raise SetupError("PostgreSQL is not installed. Install it: sudo apt-get install postgresql")
    return max(versions, key=lambda folder: [int(part) for part in folder.parent.name.split(".") if part.isdecimal()])


def _forget_the_dead(signature: Path) -> None:
    """PostgreSQL takes a postmaster that is dead, but that nobody waited for (a zombie), for a living one."""
    try:
        pid = signature.read_text().split("\n")[0]
    except FileNotFoundError:
        return
    if pid.isdecimal() and stat_fields(int(pid))[:1] == [ZOMBIE]:
        signature.unlink()


# ── as whom it runs ──


def _person() -> Person | None:
    """None: as ourselves."""
    if os.geteuid():
        return None
    try:
        entry = pwd.getpwnam(SUPERUSER)
    except KeyError:
        raise SetupError(
            "PostgreSQL does not run as root, and there is no user postgres to run it as. "
            "Start Prosa as an ordinary user, or install PostgreSQL's package: sudo apt-get install postgresql"
        ) from None
    return Person(uid=entry.pw_uid, gid=entry.pw_gid)


def _give(folder: Path, person: Person) -> None:
    closed = [parent for parent in reversed(folder.parents) if not passable(parent.stat(), person)]
    if closed:
        raise SetupError(
            f"PostgreSQL does not run as root but as the user postgres, who may not pass through {closed[0]} to its "
            f"folder {folder}. Allow it: chmod o+x {closed[0]}; or name a folder elsewhere, as under /tmp."
        )
    os.chown(folder, person.uid, person.gid)


def passable(folder: os.stat_result, person: Person) -> bool:
    """Whether the mode of a folder lets a person through to what is in it."""
    if folder.st_uid == person.uid:
        return bool(folder.st_mode & stat.S_IXUSR)
    if folder.st_gid == person.gid:
        return bool(folder.st_mode & stat.S_IXGRP)
    return bool(folder.st_mode & stat.S_IXOTH)
