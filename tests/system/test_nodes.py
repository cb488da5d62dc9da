"""Nodes of our own, started for real: what they keep, how they end, and that they disturb nobody."""

import asyncio
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import aiormq
import asyncpg
import pytest
from aiormq.abc import AbstractChannel
from aiormq.exceptions import ChannelNotFoundEntity

from prosa.cluster.loopback import HOST
from prosa.cluster.nodes import PostgresNode, RabbitNode
from prosa.cluster.nodes.node import Node
from prosa.cluster.tree import family, parents
from prosa.core.errors import DataFolderInUse, PortTaken, SetupError

QUEUE = "kept"


@contextmanager
def folder() -> Iterator[Path]:
    """Not below pytest's own, which other users may not enter: as root, PostgreSQL runs as one."""
    made = Path(tempfile.mkdtemp(prefix="prosa-node-"))
    try:
        yield made
    finally:
        shutil.rmtree(made)


@pytest.fixture(scope="module")
async def postgres() -> AsyncIterator[PostgresNode]:
    with folder() as made:
        async with PostgresNode(made) as node:
            yield node


@pytest.fixture(scope="module")
async def rabbit() -> AsyncIterator[RabbitNode]:
    with folder() as made:
        async with RabbitNode(made) as node:
            yield node


async def ask(node: PostgresNode, statement: str) -> object:
    connection = await asyncpg.connect(node.url())
    try:
        return await connection.fetchval(statement)
    finally:
        await connection.close()


def processes_of(node: Node) -> list[int]:
    """Living processes of this one that work in the node's folder."""
    return [pid for pid in family(os.getpid(), parents()) if _works_in(pid, node.folder)]


def _works_in(pid: int, place: Path) -> bool:
    try:
        return Path(os.readlink(f"/proc/{pid}/cwd")).is_relative_to(place)
    except (FileNotFoundError, ProcessLookupError):
        return False


# ── PostgreSQL ──


async def test_postgresql_is_as_durable_as_in_production(postgres: PostgresNode) -> None:
    for setting in ("fsync", "synchronous_commit", "full_page_writes"):
        assert await ask(postgres, f"SHOW {setting}") == "on"
    assert await ask(postgres, "SHOW server_encoding") == "UTF8"
    assert await ask(postgres, "SHOW listen_addresses") == HOST
    assert await ask(postgres, "SELECT lower('ÉÇ')") == "éç"


@pytest.mark.parametrize("way", ["fast", "immediate", "kill"])
async def test_postgresql_keeps_what_it_has_however_it_ends(postgres: PostgresNode, way: str) -> None:
    await ask(postgres, f"CREATE TABLE kept_{way} AS SELECT 42 AS answer")
    before = postgres.pid
    match way:
        case "fast":
            await postgres.restart()
        case "immediate":
            await postgres.restart("immediate")
        case _:
            await postgres.kill()
            assert processes_of(postgres) == []
            await postgres.start()
    assert postgres.pid != before
    assert await ask(postgres, f"TABLE kept_{way}") == 42


async def test_an_immediate_stop_breaks_connections_off(postgres: PostgresNode) -> None:
    connection = await asyncpg.connect(postgres.url())
    await postgres.stop("immediate")
    with pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError, OSError)):
        await connection.fetchval("SELECT 1")
    connection.terminate()
    with pytest.raises(OSError, match=r"refused|Connect call failed"):
        await ask(postgres, "SELECT 1")
    assert not postgres.running
    await postgres.start()


async def test_postgresql_makes_databases(postgres: PostgresNode) -> None:
    for _ in range(2):
        await postgres.create('an "odd" name')
    names = await ask(postgres, "SELECT array_agg(datname) FROM pg_database")
    assert isinstance(names, list)
    assert {"prosa", 'an "odd" name'} <= set(names)


async def test_a_second_node_in_the_same_folder_is_refused(postgres: PostgresNode) -> None:
    with pytest.raises(DataFolderInUse, match=f"process {postgres.pid}\\) uses the node's folder {postgres.folder}"):
        await PostgresNode(postgres.folder).start()
    assert await ask(postgres, "SELECT 1") == 1


async def test_two_nodes_live_side_by_side(postgres: PostgresNode) -> None:
    with folder() as made:
        async with PostgresNode(made) as other:
            await ask(other, "CREATE TABLE only_here ()")
            assert await ask(postgres, "SELECT to_regclass('only_here')::text") is None
        assert processes_of(other) == []


async def test_a_start_that_is_cancelled_leaves_nothing_and_can_be_tried_again() -> None:
    with folder() as made:
        node = PostgresNode(made)
        async with asyncio.TaskGroup() as group:
            starting = group.create_task(node.start())
            async with asyncio.timeout(10):
                while not (made / "data.unfinished").exists():  # noqa: ASYNC110 - it is initdb that makes it
                    await asyncio.sleep(0.005)
            starting.cancel()
        assert processes_of(node) == []
        async with node:
            assert await ask(node, "SELECT 1") == 1


async def test_a_body_that_fails_ends_the_node_and_is_what_is_raised() -> None:
    with folder() as made:
        node = PostgresNode(made)
        with pytest.raises(ZeroDivisionError):
            await fail_within(node)
        assert processes_of(node) == []


async def fail_within(node: PostgresNode) -> None:
    async with node:
        assert processes_of(node)
        raise ZeroDivisionError


async def test_a_port_that_is_taken_is_named(postgres: PostgresNode) -> None:
    with folder() as made, pytest.raises(PortTaken, match=f"port {postgres.port}"):
        await PostgresNode(made, postgres.port).start()


async def test_a_node_that_cannot_start_shows_the_end_of_its_log() -> None:
    with folder() as made:
        (made / "data").mkdir()
        with pytest.raises(SetupError, match="it ended while it started") as failed:
            await PostgresNode(made).start()
        assert "postgres" in failed.value.message.rpartition("node.log:\n")[2]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root runs PostgreSQL as somebody else")
async def test_a_folder_behind_a_closed_one_is_named_with_what_to_do() -> None:
    with folder() as closed, pytest.raises(SetupError, match=f"chmod o\\+x {closed}"):
        await PostgresNode(closed / "inner").start()


async def test_a_node_ends_with_the_process_that_started_it_even_if_that_is_killed() -> None:
    with folder() as made:
        own_and_be_killed(made)
        async with PostgresNode(made) as node:  # its lock is free, so nothing of the first one lives
            assert await ask(node, "SELECT 1") == 1


def own_and_be_killed(made: Path) -> None:
    code = (
        "import asyncio, sys\nfrom pathlib import Path\nfrom prosa.cluster.nodes import PostgresNode\n"
        "async def main():\n"
        "    async with PostgresNode(Path(sys.argv[1])):\n"
        "        print('ready', flush=True)\n"
        "        await asyncio.Event().wait()\n"
        "asyncio.run(main())\n"
    )
    with subprocess.Popen([sys.executable, "-c", code, made], stdout=subprocess.PIPE) as owner:
        assert owner.stdout is not None
        assert owner.stdout.readline() == b"ready\n"
        owner.kill()


# ── RabbitMQ ──


@asynccontextmanager
async def channel_to(node: RabbitNode) -> AsyncIterator[AbstractChannel]:
    connection = await aiormq.connect(node.url)
    try:
        yield await connection.channel()
    finally:
        await connection.close()


async def take(node: RabbitNode) -> bytes | None:
    """The body of the queue's next message; None: there is no such queue."""
    async with channel_to(node) as channel:
        try:
            await channel.queue_declare(QUEUE, passive=True)
        except ChannelNotFoundEntity:
            return None
        found = await channel.basic_get(QUEUE, no_ack=True, timeout=10)
        return bytes(found.body)


async def put(node: RabbitNode) -> None:
    async with channel_to(node) as channel:
        await channel.queue_declare(QUEUE, durable=True, arguments={"x-queue-type": "quorum"})
        lasting = aiormq.spec.Basic.Properties(delivery_mode=2)
        await channel.basic_publish(b"hello", routing_key=QUEUE, properties=lasting)


async def written_down(node: RabbitNode) -> None:
    """Until the node's list of quorum queues is on disk: one killed within half a second of a queue's first declaration
    forgets that the queue was its own, and the queue never has a leader again (RabbitMQ 3.10)."""
    async with asyncio.timeout(10):
        while not lists_queue(node):  # noqa: ASYNC110 - a file has no event
            await asyncio.sleep(0.02)


def lists_queue(node: RabbitNode) -> bool:
    return any(QUEUE.encode() in names.read_bytes() for names in node.folder.rglob("names.dets"))


async def known_names(directory_port: int) -> str:
    """What Erlang's directory on a port knows; nothing if there is none."""
    try:
        reader, writer = await asyncio.open_connection(HOST, directory_port)
    except ConnectionRefusedError:
        return ""
    writer.write(b"\x00\x01n")
    names = await reader.read(-1)
    writer.close()
    return names[4:].decode()


async def test_rabbitmq_keeps_what_it_confirmed_when_killed_and_nothing_when_wiped(rabbit: RabbitNode) -> None:
    await put(rabbit)
    await written_down(rabbit)
    assert len(processes_of(rabbit)) >= 2
    await rabbit.kill()
    assert processes_of(rabbit) == []
    await rabbit.start()
    assert await take(rabbit) == b"hello"
    await rabbit.wipe()
    assert await take(rabbit) is None


async def test_the_machines_own_directory_of_erlang_does_not_hear_of_it(rabbit: RabbitNode) -> None:
    assert told(f"/proc/{rabbit.pid}/comm") == "beam.smp\n"
    variables = told(f"/proc/{rabbit.pid}/environ").split("\0")
    own = next(value for value in variables if value.startswith("ERL_EPMD_PORT="))
    assert "name prosa at" in await known_names(int(own.partition("=")[2]))
    assert "name prosa at" not in await known_names(4369)


def told(path: str) -> str:
    return Path(path).read_text()


def listeners(table: str, port: int) -> list[str]:
    """The addresses, as /proc writes them, on which somebody listens on the port."""
    rows = [row.split()[1:4] for row in told(table).splitlines()[1:]]
    return [local.partition(":")[0] for local, _, state in rows if state == "0A" and local.endswith(f":{port:04X}")]


@pytest.mark.parametrize("service", ["postgres", "rabbit"])
async def test_nodes_listen_on_the_loopback_interface_only(service: str, request: pytest.FixtureRequest) -> None:
    port = request.getfixturevalue(service).port
    assert listeners("/proc/net/tcp", port) == ["0100007F"]
    assert listeners("/proc/net/tcp6", port) == []
