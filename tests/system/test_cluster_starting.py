"""What a gateway and a worker do at their start where something is away, or wrong."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import aiormq
import asyncpg
import pytest

from prosa.adapters.sql import migrate
from prosa.cluster.proxy import FaultProxy
from prosa.settings import Settings
from tests.system.client import Client
from tests.system.cluster import Nodes, by, place, until
from tests.system.harness import Person
from tests.system.pair import SECONDS, Member

ROLES = ("gateway", "worker")
NOT_SET_UP = 2


class Process(Member):
    """One `prosa gateway` or `prosa worker`, which need not become ready."""

    async def says(self, event: str) -> dict[str, Any]:
        """The line of its log with this event, once it is there."""

        async def asked() -> bool:
            return bool(self.lines(event))

        await until(asked)
        return self.lines(event)[0]

    async def until_health(self, path: str, status: int) -> None:
        async def asked() -> bool:
            return await self.health(path) == status

        await until(asked)

    async def refused(self, *words: str) -> None:
        """It ends by itself, with one sentence that has these words."""
        async with asyncio.timeout(SECONDS):
            code = await self._process.wait()
        assert code == NOT_SET_UP, self.log
        assert "Traceback" not in self.log
        said = [line for line in self.log.splitlines() if line.startswith("prosa: ")]
        assert len(said) == 1, self.log
        for word in words:
            assert word in said[0]


class Place:
    """A database of a test's own, migrated, and the broker; both behind proxies. ``address`` changes what is named."""

    def __init__(self, nodes: Nodes, database: str, store: FaultProxy, broker: FaultProxy) -> None:
        self.nodes = nodes
        self.store = store
        self.broker = broker
        self.direct = nodes.postgres.url(database)
        self.environment = {
            "PROSA_DATABASE_URL": by(self.direct, store.port),
            "PROSA_BROKER_URL": by(nodes.rabbit.url, broker.port),
        }

    async def ask(self, statement: str) -> None:
        connection = await asyncpg.connect(self.direct, timeout=5)
        try:
            await connection.execute(statement)
        finally:
            await connection.close(timeout=5)


@pytest.fixture
async def here(nodes: Nodes) -> AsyncIterator[Place]:
    await nodes.heal()
    database = f"start_{uuid4().hex}"
    await nodes.postgres.create(database)
    async with (
        FaultProxy(*place(nodes.postgres.url())) as store,
        FaultProxy(*place(nodes.rabbit.url)) as broker,
    ):
        made = Place(nodes, database, store, broker)
        await migrate.migrate(Settings(database_url=made.direct).database_url)
        yield made


@asynccontextmanager
async def started(folder: Path, environment: Mapping[str, str]) -> AsyncIterator[list[Process]]:
    """A gateway and a worker."""
    async with AsyncExitStack() as stack:
        processes = [Process(role, folder, environment) for role in ROLES]
        for process in processes:
            await process.start()
            stack.callback(process.kill)
        yield processes


async def test_both_wait_for_a_database_that_is_away_say_so_and_become_ready(here: Place, tmp_path: Path) -> None:
    here.store.cut()
    async with started(tmp_path, here.environment) as processes:
        for process in processes:
            line = await process.says("store.awaited")
            assert "database does not answer" in line["error"]
            assert "waits" in line["way"]
            await process.until_health("live", 200)
            assert await process.health("ready") == 503
        here.store.pass_through()
        for process in processes:
            await process.until_health("ready", 200)
            assert (await process.stop())[0] == 0


async def test_both_start_without_a_broker_say_so_accept_and_answer_when_it_is_there(
    here: Place, tmp_path: Path
) -> None:
    here.broker.cut()
    async with started(tmp_path, here.environment) as processes:
        gateway, _ = processes
        for process in processes:
            line = await process.says("broker.away")
            assert f"127.0.0.1:{here.broker.port}" in line["error"]
            assert "keeps trying" in line["way"]
            await process.until_health("ready", 200)
        client = Client(await Person.sign_up(gateway.base), "anybody there [[n=3 r=20]]")
        async with asyncio.TaskGroup() as group:
            group.create_task(client.live())
            await client.until(lambda client: client.accepted)
            here.broker.pass_through()
        for process in processes:
            await process.says("broker.back")
            assert (await process.stop())[0] == 0
    history = await _stored(here, client.run)
    assert history == ("done", 1)


async def _stored(here: Place, run: UUID) -> tuple[str, int]:
    connection = await asyncpg.connect(here.direct, timeout=5)
    try:
        row = await connection.fetchrow("SELECT state, attempt FROM runs WHERE id = $1", run)
    finally:
        await connection.close(timeout=5)
    assert row is not None
    return row["state"], row["attempt"]


async def test_a_wrong_password_for_the_database_is_one_clear_sentence(here: Place, tmp_path: Path) -> None:
    role = f"clerk_{uuid4().hex}"
    await here.ask(f"CREATE ROLE {role} LOGIN PASSWORD 'right'")
    rules = here.nodes.postgres.folder / "data" / "pg_hba.conf"
    rules.write_text(f"host all {role} 127.0.0.1/32 scram-sha-256\n{rules.read_text()}")
    await here.ask("SELECT pg_reload_conf()")
    url = here.environment["PROSA_DATABASE_URL"].replace("postgres@", f"{role}:wrong@")
    async with started(tmp_path, {**here.environment, "PROSA_DATABASE_URL": url}) as processes:
        for process in processes:
            await process.refused("password authentication failed", role, "PROSA_DATABASE_URL")
            assert "wrong" not in process.log


async def test_a_wrong_password_for_the_broker_is_one_clear_sentence(here: Place, tmp_path: Path) -> None:
    url = here.environment["PROSA_BROKER_URL"].replace("guest:guest", "guest:mistaken")
    async with started(tmp_path, {**here.environment, "PROSA_BROKER_URL": url}) as processes:
        for process in processes:
            await process.refused(f"127.0.0.1:{here.broker.port}", "guest", "PROSA_BROKER_URL")
            assert "mistaken" not in process.log


async def test_a_database_that_was_never_migrated_is_one_clear_sentence(here: Place, tmp_path: Path) -> None:
    await here.ask("DROP SCHEMA public CASCADE")
    await here.ask("CREATE SCHEMA public")
    async with started(tmp_path, here.environment) as processes:
        for process in processes:
            await process.refused("database is empty", "prosa migrate")


async def test_a_newer_schema_is_one_clear_sentence(here: Place, tmp_path: Path) -> None:
    await here.ask("UPDATE alembic_version SET version_num = 'v9999'")
    await here.ask("UPDATE schema_oldest SET version = 'v9998'")
    async with started(tmp_path, here.environment) as processes:
        for process in processes:
            await process.refused("v9999", "newer")


async def test_a_jobs_queue_declared_with_other_arguments_is_one_clear_sentence(here: Place, tmp_path: Path) -> None:
    pool = f"odd-{uuid4().hex}"
    (tmp_path / "prosa.toml").write_text(f'[[models]]\nname = "odd"\nengine = "scripted"\npool = "{pool}"\n')
    async with aiormq.connect(here.nodes.rabbit.url) as connection:
        channel = await connection.channel()
        await channel.queue_declare(f"prosa.jobs.v1.{pool}", durable=True, arguments={"x-max-length": 5})
    async with started(tmp_path, {**here.environment, "PROSA_CONFIG": str(tmp_path / "prosa.toml")}) as processes:
        for process in processes:
            await process.refused(f"prosa.jobs.v1.{pool}", "delete_queue")
