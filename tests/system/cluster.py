"""A cluster of real processes on nodes of its own, with a fault proxy on each worker's ways to broker and database."""

import asyncio
import json
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID, uuid4

import aiohttp
import asyncpg
import msgspec

from prosa.adapters.scripted_engine import expected_reply
from prosa.cluster.loopback import free_port
from prosa.cluster.nodes import PostgresNode, RabbitNode
from prosa.cluster.proxy import FaultProxy
from prosa.cluster.supervise import PROSA, Cluster, Event, Happening, Patience, Role, Topology
from tests.system.client import Client
from tests.system.harness import Person

PATIENT_SECONDS = 30.0
QUICK = Patience(first_seconds=0.1, most_seconds=0.3)
"""Who is killed is soon back: the next test wants it."""
SETTINGS = {
    "PATH": os.defpath,
    "PROSA_LOCAL": "false",
    "PROSA_SCRIPTED": "true",
    "PROSA_SLOTS": "100",
    "PROSA_RATE_LIMITS": "off",
    "PROSA_LOG_FORMAT": "json",
    "PROSA_DRAIN_SECONDS": "1",
    "PROSA_CLOSE_SECONDS": "1",
}


async def until(true: Callable[[], Awaitable[bool]], seconds: float = PATIENT_SECONDS) -> None:
    """Ask until it is so."""
    async with asyncio.timeout(seconds):
        while not await true():  # noqa: ASYNC110 - other processes have no event of ours
            await asyncio.sleep(0.02)


class Nodes(msgspec.Struct, frozen=True):
    """The services that tests may stop, kill and wipe: nobody else uses them."""

    postgres: PostgresNode
    rabbit: RabbitNode

    async def heal(self) -> None:
        """Whatever a test has done to them, they run again."""
        await self.postgres.start()
        await self.rabbit.start()


@asynccontextmanager
async def folder(what: str) -> AsyncIterator[Path]:
    """Not below pytest's own, which other users may not enter: as root, PostgreSQL runs as one."""
    made = Path(tempfile.mkdtemp(prefix=f"prosa-{what}-"))
    try:
        yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)


@asynccontextmanager
async def private_nodes() -> AsyncIterator[Nodes]:
    async with folder("postgres") as first, folder("rabbit") as second:
        nodes = Nodes(PostgresNode(first), RabbitNode(second, metrics_port=free_port()))
        async with AsyncExitStack() as stack:
            for node in (nodes.postgres, nodes.rabbit):
                stack.push_async_exit(node)
            async with asyncio.TaskGroup() as group:
                group.create_task(nodes.postgres.start())
                group.create_task(nodes.rabbit.start())
            yield nodes


class Run(msgspec.Struct, frozen=True):
    """A run as the database has it; ``text`` is the stored reply, ``saved`` what a checkpoint has kept of it."""

    state: str
    attempt: int
    worker: str | None
    crashes_row: int
    crashes_total: int
    saved: str
    text: str


RUN = """SELECT r.state, r.attempt, r.worker, r.crashes_row, r.crashes_total, r.saved, m.text FROM runs AS r
    JOIN messages AS m ON m.chat_id = r.chat_id AND m.id = r.reply_id WHERE r.id = $1"""


class Road(msgspec.Struct, frozen=True):
    """A worker's ways to the services."""

    store: FaultProxy
    broker: FaultProxy

    def heal(self) -> None:
        self.store.pass_through()
        self.broker.pass_through()


class House:
    """The cluster, and the levers to break it. A test leaves it as it likes: ``heal`` is called before the next."""

    def __init__(self, nodes: Nodes, database: str, roads: Mapping[str, Road], topology: Topology) -> None:
        self.nodes = nodes
        self.roads = roads
        self.database = database
        self.events: list[Event] = []
        self.lines: list[tuple[str, str]] = []
        """What every process has printed: its name and the line."""
        self.cluster = Cluster(topology, happened=self.events.append, printed=self._printed)
        self._names: dict[str, str] = {}

    def _printed(self, name: str, line: str) -> None:
        self.lines.append((name, line))
        if '"worker.ready"' in line:
            self._names[json.loads(line)["worker"]] = name

    @property
    def base(self) -> str:
        """The address that all gateways share."""
        return self.cluster.address

    @property
    def workers(self) -> list[str]:
        return [name for name, role in self.cluster.topology.names.items() if role is Role.WORKER]

    @property
    def gateways(self) -> list[str]:
        return [name for name, role in self.cluster.topology.names.items() if role is Role.GATEWAY]

    def at(self, name: str) -> str:
        """A process's own address."""
        return self.cluster.process(name).address

    def ends(self, since: int = 0) -> list[tuple[str, int | None]]:
        """How processes have ended, from the event of this number on."""
        return [(event.name, event.code) for event in self.events[since:] if event.event is Happening.ENDED]

    async def heal(self) -> None:
        for road in self.roads.values():
            road.heal()
        await self.nodes.heal()
        for name in self.cluster.names:
            with suppress(ProcessLookupError):
                self.cluster.thaw(name)
            await self.cluster.start(name)
        async with asyncio.TaskGroup() as group:
            for name in self.cluster.names:
                group.create_task(self.cluster.wait_ready(name, PATIENT_SECONDS))

    async def drain(self, worker: str) -> None:
        """As an administrator asks for it; ``worker`` as the database names it."""
        administrator = await Person.sign_up(self.base)
        await self.ask("UPDATE users SET role = 'admin' WHERE username = $1", administrator.username)
        assert await administrator.http("POST", f"/api/admin/workers/{worker}/drain") == (204, None)

    # ── what the database says ──

    async def ask(self, statement: str, *values: object) -> list[asyncpg.Record]:
        connection = await asyncpg.connect(self.nodes.postgres.url(self.database), timeout=5)
        try:
            rows: list[asyncpg.Record] = await connection.fetch(statement, *values)
            return rows
        finally:
            await connection.close(timeout=5)

    async def run(self, run: UUID) -> Run:
        (row,) = await self.ask(RUN, run)
        return Run(**row)

    async def until_run(self, run: UUID, true: Callable[[Run], object], seconds: float = PATIENT_SECONDS) -> Run:
        async def asked() -> bool:
            return bool(true(await self.run(run)))

        await until(asked, seconds)
        return await self.run(run)

    async def holder(self, run: UUID) -> str:
        """The process that answers the run now."""
        return self.process_of(await self.until_run(run, lambda row: row.state == "running" and row.worker))

    async def until_idle(self, name: str) -> None:
        """Until a worker is ready and holds no run."""

        async def asked() -> bool:
            with suppress(aiohttp.ClientError, TimeoutError):
                async with (
                    aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(2)) as http,
                    http.get(f"{self.at(name)}/health/ready") as response,
                ):
                    return response.status == 200 and (await response.json())["slots_used"] == 0
            return False

        await until(asked)

    def process_of(self, row: Run) -> str:
        assert row.worker is not None
        return self.named(row.worker)

    def named(self, worker: str) -> str:
        """The process that calls itself so in the database."""
        return self._names[worker]

    async def settled(
        self, *clients: Client, attempt: int | None = 1, crashes: int | None = 0, finish: str = "stop"
    ) -> Run:
        """All that was promised of one run, whatever happened: one end, the same text for everybody, nothing lost.

        ``attempt`` and ``crashes`` None: any. ``finish``: ``stopped`` where its user had enough. Returns the row.
        """
        asker = clients[0]
        row, expected = await self.run(asker.run), expected_reply(asker.text)
        if finish == "stopped":
            expected = expected[: len(row.text)]
        state = "done" if finish == "stop" else finish
        assert (row.state, row.text) == (state, expected)
        assert attempt in (None, row.attempt), row
        assert crashes in (None, row.crashes_total), row
        for client in clients:
            assert client.run == asker.run
            end = client.end
            assert end is not None
            assert (end["type"], end["attempt"], end["finish"]) == ("done", row.attempt, finish)
            assert client.whole == expected
            assert client.taken_back == []
        messages = (await through(asker.person, self.base).history(asker.chat))["messages"]
        pairs = [(message["text"], message["state"]) for message in messages if message.get("run") == str(asker.run)]
        assert (expected, state) in pairs
        assert len([message for message in messages if message["text"] == asker.text]) == 1
        return row


@asynccontextmanager
async def house(
    nodes: Nodes,
    *,
    gateways: int = 2,
    workers: int = 3,
    command: Sequence[str] = PROSA,
    proxied: bool = True,
    overrides: Mapping[str, Mapping[str, str]] | None = None,
    filled: Callable[[str], Awaitable[None]] | None = None,
    **settings: str,
) -> AsyncIterator[House]:
    """A cluster on a database of its own. What others have left on the broker names runs that are not in it.

    ``overrides``: of processes by name; what is changed in it counts from their next start on. ``filled`` is given the
    address of the new database before anything starts.
    """
    database = f"prosa_{uuid4().hex}"
    await nodes.postgres.create(database)
    store, broker = nodes.postgres.url(database), nodes.rabbit.url
    if filled is not None:
        await filled(store)
    async with AsyncExitStack() as stack:
        made = await stack.enter_async_context(folder("cluster"))
        roads, detours = {}, {}
        for name in (f"worker-{number}" for number in range(1, workers + 1) if proxied):
            road = Road(FaultProxy(*place(store)), FaultProxy(*place(broker)))
            roads[name] = road
            await stack.enter_async_context(road.store)
            await stack.enter_async_context(road.broker)
            detours[name] = {
                "PROSA_DATABASE_URL": by(store, road.store.port),
                "PROSA_BROKER_URL": by(broker, road.broker.port),
            }
        given = {f"PROSA_{key.upper()}": value for key, value in settings.items()}
        environment = {**SETTINGS, "PROSA_DATABASE_URL": store, "PROSA_BROKER_URL": broker, **given}
        topology = Topology(
            folder=made,
            environment=environment,
            overrides=detours if overrides is None else overrides,
            gateways=gateways,
            workers=workers,
            command=command,
            patience=QUICK,
            start_seconds=60,
            stop_seconds=20,
        )
        built = House(nodes, database, roads, topology)
        await stack.enter_async_context(built.cluster)
        yield built


def place(url: str) -> tuple[str, int]:
    parts = urlsplit(url)
    assert parts.hostname is not None
    assert parts.port is not None
    return parts.hostname, parts.port


def by(url: str, port: int) -> str:
    """The same service through a proxy."""
    return url.replace(f":{place(url)[1]}", f":{port}")


def through(person: Person, base: str) -> Person:
    """The same person by another way."""
    return Person(base, person.username, person.token)


def said(house: House, name: str, event: str) -> list[dict[str, Any]]:
    """The lines of a process's log with this event."""
    return [json.loads(line) for who, line in house.lines if who == name and f'"{event}"' in line]
