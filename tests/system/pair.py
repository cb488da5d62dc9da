"""A gateway and its workers as processes of their own, with the standard streams that a test gives them."""

import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from itertools import pairwise
from pathlib import Path
from typing import Any, Self
from uuid import UUID, uuid4

import aiohttp
import msgspec

from prosa.adapters.sql import migrate
from prosa.settings import Settings
from tests.system.cluster import SETTINGS, Nodes, until
from tests.system.harness import Person, free_port

SECONDS = 30.0


class Member:
    """One process. ``log`` is what it wrote, unless its streams lead elsewhere."""

    def __init__(self, role: str, folder: Path, environment: Mapping[str, str]) -> None:
        self.role = role
        self.port = free_port()
        self._log = folder / f"{role}-{self.port}.log"
        own = {"PROSA_PORT": str(self.port), "PROSA_PROBE_PORT": str(self.port), "PROSA_DATA_DIR": str(folder)}
        self._environment = {**SETTINGS, **own, **environment}
        self._process: asyncio.subprocess.Process

    @property
    def base(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def log(self) -> str:
        return self._log.read_text(errors="replace")

    def lines(self, event: str) -> list[dict[str, Any]]:
        """Of its log, those with this event."""
        return [json.loads(line) for line in self.log.splitlines() if f'"{event}"' in line]

    async def start(self, streams: int | None = None, script: str = 'exec "$@"') -> Self:
        """``streams``: a descriptor for standard output and error. ``script`` starts ``"$@"``."""
        with self._log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *("/bin/sh", "-c", script, "sh", sys.executable, "-P", "-m", "prosa", self.role),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log if streams is None else streams,
                stderr=log if streams is None else streams,
                env=self._environment,
                cwd=self._log.parent,
            )
        return self

    async def ready(self) -> None:
        async def asked() -> bool:
            assert self._process.returncode is None, self.log
            return await self.healthy()

        await until(asked)

    async def healthy(self) -> bool:
        return await self.health("ready") == 200

    async def health(self, path: str) -> int:
        """The status; 0: nobody answers."""
        with suppress(aiohttp.ClientError, OSError):
            async with aiohttp.ClientSession() as http, http.get(f"{self.base}/health/{path}") as answer:
                return answer.status
        return 0

    async def metric(self, name: str) -> float:
        """The sum of all series of this name."""
        async with aiohttp.ClientSession() as http, http.get(f"{self.base}/metrics") as answer:
            lines = (await answer.text()).splitlines()
        return sum(float(line.split()[-1]) for line in lines if line.startswith((f"{name} ", f"{name}{{")))

    async def stop(self) -> tuple[int, float]:
        """Its exit code, and the seconds that it took to end."""
        begun = time.monotonic()
        self._process.terminate()
        async with asyncio.timeout(SECONDS):
            return await self._process.wait(), time.monotonic() - begun

    def kill(self) -> None:
        with suppress(ProcessLookupError):
            self._process.kill()


class Pair(msgspec.Struct, frozen=True):
    """``name`` is that of the database."""

    gateway: Member
    workers: list[Member]
    name: str

    @property
    def members(self) -> list[Member]:
        return [self.gateway, *self.workers]

    async def stop(self) -> list[tuple[int, float]]:
        """As Member.stop, of all at once."""
        async with asyncio.TaskGroup() as group:
            stopping = [group.create_task(member.stop()) for member in self.members]
        return [task.result() for task in stopping]


@asynccontextmanager
async def database(nodes: Nodes) -> AsyncIterator[str]:
    """The address of a new one, with Prosa's tables."""
    name = f"pair_{uuid4().hex}"
    await nodes.postgres.create(name)
    url = nodes.postgres.url(name)
    await migrate.migrate(Settings(database_url=url).database_url)
    yield url


@asynccontextmanager
async def pair(
    nodes: Nodes, folder: Path, *, workers: int = 1, streams: int | None = None, **settings: str
) -> AsyncIterator[Pair]:
    """All of them ready, on a database of their own unless the settings name another."""
    await nodes.heal()
    async with database(nodes) as url, AsyncExitStack() as stack:
        given = {f"PROSA_{key.upper()}": value for key, value in settings.items()}
        environment = {"PROSA_DATABASE_URL": url, "PROSA_BROKER_URL": nodes.rabbit.url, **given}
        made = [Member(role, folder, environment) for role in ("gateway", *["worker"] * workers)]
        for member in made:
            await member.start(streams)
            stack.callback(member.kill)
        for member in made:
            await member.ready()
        yield Pair(made[0], made[1:], url.rpartition("/")[2])


class Heard(msgspec.Struct, frozen=True):
    """How one answer came: seconds to its first text, and the longest gap between two frames of it."""

    run: UUID
    first: float
    gap: float

    def is_as_fast_as(self, other: "Heard", slack: float = 1.0) -> bool:
        """But for what a busy machine adds. Whoever waits for a log or a receiver waits for seconds, or for ever."""
        return self.first < other.first + slack and self.gap < other.gap + slack


async def listen(person: Person, text: str) -> Heard:
    """Ask, and follow the answer to its end; it must be whole."""
    begun = time.monotonic()
    async with person.socket() as tab:
        accepted = await tab.ask(text)
        run = UUID(accepted["run"])
        reader = await tab.answer(accepted["run"])
        assert reader.end is not None
        assert reader.end["type"] == "done", reader.end
        pairs = zip(tab.times, tab.frames, strict=True)
        moments = [at for at, frame in pairs if frame.get("run") == str(run) and frame["type"] in ("delta", "done")]
    return Heard(run, moments[0] - begun, max(later - at for at, later in pairwise(moments)))


async def crowd(person: Person, count: int) -> None:
    """So many short answers at once: each is some lines in every log."""
    async with asyncio.TaskGroup() as group:
        for number in range(count):
            group.create_task(listen(person, f"one of many {number} [[n=3 r=50]]"))
