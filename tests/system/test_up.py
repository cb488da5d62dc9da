"""`prosa up`, whole: real gateways and workers on one address, around services of ours and around its own."""

import asyncio
import json
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
import pytest
from uuid_utils.compat import uuid7

from prosa.adapters.scripted_engine import expected_reply
from prosa.cluster.nodes import PostgresNode, RabbitNode
from prosa.cluster.tree import family, parents
from tests.system.harness import Person, Tab

SECONDS = 90.0
Fields = dict[str, Any]


class Up:
    """A running `prosa up --json`."""

    def __init__(self, process: asyncio.subprocess.Process, log: Path) -> None:
        self._process = process
        self._log = log
        self._handles: list[int] = []
        self.address = ""
        self.processes: dict[str, Fields] = {}

    async def ready(self) -> None:
        described = await self.event(event="ready")
        self.address = described["address"]
        self.processes = {process["name"]: process for process in described["processes"]}
        self.remember()

    def remember(self) -> None:
        """All processes that there are now must be gone in the end."""
        self._handles.extend(map(os.pidfd_open, family(self._process.pid, parents())[1:]))

    async def event(self, **fields: object) -> Fields:
        """The next event with these fields."""
        assert self._process.stdout is not None
        async with asyncio.timeout(SECONDS):
            while line := await self._process.stdout.readline():
                event: Fields = json.loads(line)
                if fields.items() <= event.items():
                    return event
        raise AssertionError(f"prosa up has ended: {self._log.read_text()}")

    def pid(self, name: str) -> int:
        pid: int = self.processes[name]["pid"]
        return pid

    async def end(self, number: int) -> int:
        self.remember()
        self._process.send_signal(number)
        return await self.left()

    async def left(self) -> int:
        """The exit code, once nothing is left of it."""
        async with asyncio.timeout(SECONDS):
            code = await self._process.wait()
            for handle in self._handles:
                await _ended(handle)
        self._handles.clear()
        return code

    def kill(self) -> None:
        if self._process.returncode is None:
            self._process.kill()


async def _ended(handle: int) -> None:
    over = asyncio.Event()
    asyncio.get_running_loop().add_reader(handle, over.set)
    await over.wait()
    asyncio.get_running_loop().remove_reader(handle)
    os.close(handle)


@asynccontextmanager
async def launched(folder: Path, *words: str, **environment: str) -> AsyncIterator[Up]:
    log = folder / "up.log"
    with log.open("ab") as errors:
        process = await asyncio.create_subprocess_exec(
            Path(sys.executable).with_name("prosa"),
            *("up", "--json", "--port", "0", "--data-dir", str(folder / "data"), *words),
            env={"PATH": os.defpath, "HOME": str(folder), "PROSA_RATE_LIMITS": "off", **environment},
            cwd=folder,
            stdout=asyncio.subprocess.PIPE,
            stderr=errors,
        )
    up = Up(process, log)
    try:
        yield up
    finally:
        up.kill()
        await process.wait()


@contextmanager
def own_folder() -> Iterator[Path]:
    """Not below pytest's own, which other users may not enter: as root, PostgreSQL runs as one."""
    made = Path(tempfile.mkdtemp(prefix="prosa-up-"))
    made.chmod(0o755)
    try:
        yield made
    finally:
        shutil.rmtree(made)


@pytest.fixture(scope="module")
async def services() -> AsyncIterator[Mapping[str, str]]:
    """The addresses of a database and a broker that others keep up."""
    with own_folder() as folder:
        async with PostgresNode(folder / "postgresql") as database, RabbitNode(folder / "rabbitmq") as broker:
            yield {"PROSA_DATABASE_URL": database.url(), "PROSA_BROKER_URL": broker.url}


async def _asked(tab: Tab, text: str) -> None:
    accepted = await tab.ask(text)
    assert (await tab.answer(accepted["run"], SECONDS)).text == expected_reply(text)


async def test_people_chat_through_one_address_while_workers_and_gateways_die(
    services: Mapping[str, str], tmp_path: Path
) -> None:
    async with launched(tmp_path, "--gateways", "2", "--workers", "2", **services) as up:
        await up.ready()
        assert [*up.processes] == ["gateway-1", "gateway-2", "worker-1", "worker-2"]
        person = await Person.sign_up(up.address)
        question = "who goes on? [[n=120 r=40]]"
        async with person.socket() as tab:
            accepted = await tab.ask(question)
            await tab.text(UUID(accepted["run"]), 50)
            os.kill(up.pid("worker-1"), signal.SIGKILL)
            assert (await tab.answer(accepted["run"], SECONDS)).text == expected_reply(question)
        again = await up.event(event="ready", name="worker-1")
        assert again["pid"] != up.pid("worker-1")
        os.kill(up.pid("worker-2"), signal.SIGKILL)
        os.kill(up.pid("gateway-1"), signal.SIGKILL)
        async with person.socket() as tab:
            await _asked(tab, "and now? [[n=5 r=50]]")
        await up.event(event="ready", name="gateway-1")
        assert await up.end(signal.SIGTERM) == 0


async def test_a_worker_that_an_administrator_drains_finishes_its_answer_and_a_fresh_one_takes_its_place(
    services: Mapping[str, str], tmp_path: Path
) -> None:
    async with launched(tmp_path, "--gateways", "1", "--workers", "2", **services) as up:
        await up.ready()
        root = await administrator(up.address, services["PROSA_DATABASE_URL"])
        question = "let me finish [[n=80 r=20]]"
        async with root.socket() as tab:
            accepted = await tab.ask(question)
            await tab.text(UUID(accepted["run"]), 50)
            worker = (await asked(root, f"/api/admin/runs/{accepted['run']}"))["run"]["worker"]
            before = await workers(root)
            assert await root.http("POST", f"/api/admin/workers/{worker}/drain") == (204, None)
            reply = await tab.answer(accepted["run"], SECONDS)
            assert (reply.text, reply.attempt) == (expected_reply(question), 1)
        left = await up.event(event="ended", role="worker")
        assert (left["code"], left["asked"]) == (0, False)
        again = await up.event(event="restarting", name=left["name"])
        assert again["seconds"] == 0
        fresh = await up.event(event="ready", name=left["name"])
        assert fresh["pid"] != left["pid"]
        after = await workers(root)
        # Whom another test has killed in this database is missed for a while, too.
        assert (worker in after, len(set(after) - set(before))) == (False, 1)
        status, refused = await root.http("POST", "/api/admin/workers/wk-nobody/drain")
        assert (status, refused["code"]) == (404, "not_found")
        assert await up.end(signal.SIGTERM) == 0


async def administrator(address: str, database: str) -> Person:
    """Whoever was first in this database is one already, and may be gone."""
    person = await Person.sign_up(address)
    connection = await asyncpg.connect(database, timeout=5)
    try:
        await connection.execute("UPDATE users SET role = 'admin' WHERE username = $1", person.username)
    finally:
        await connection.close(timeout=5)
    return person


async def asked(person: Person, path: str) -> Fields:
    status, body = await person.http("GET", path)
    assert status == 200, body
    found: Fields = body
    return found


async def workers(person: Person) -> set[str]:
    """Those that take answers."""
    found = (await asked(person, "/api/admin/overview"))["workers"]
    return {worker["name"] for worker in found if worker["alive"] and not worker["draining"]}


async def test_without_services_it_keeps_its_own_and_what_they_hold() -> None:
    """The first start ends by a kill, so that its services are lost without a warning."""
    with own_folder() as folder:
        async with launched(folder, "--gateways", "1", "--workers", "1") as up:
            await up.ready()
            assert [*up.processes] == ["gateway-1", "worker-1", "database", "broker"]
            person = await Person.sign_up(up.address, "ana")
            os.kill(up.pid("database"), signal.SIGKILL)
            restarted = await up.event(event="started", name="database")
            assert restarted["pid"] != up.pid("database")
            await _answered(person)
            assert await up.end(signal.SIGKILL) == -signal.SIGKILL
        async with launched(folder, "--gateways", "1", "--workers", "1") as up:
            await up.ready()
            async with Person(up.address, person.username, person.token).socket() as tab:
                await _asked(tab, "still there? [[n=5 r=50]]")
            assert await up.end(signal.SIGINT) == 0


async def _answered(person: Person) -> None:
    """Ask until the database takes it; then the answer must come."""
    text = "hello [[n=5 r=50]]"
    async with asyncio.timeout(SECONDS), person.socket() as tab:
        while True:
            await tab.send({"type": "send", "id": str(uuid7()), "chat": str(uuid7()), "text": text})
            frame = await tab.until("accepted", "error", seconds=SECONDS)
            if frame["type"] == "accepted":
                break
            await asyncio.sleep(0.2)
        assert (await tab.answer(frame["run"], SECONDS)).text == expected_reply(text)


async def test_a_broker_that_refuses_us_is_one_sentence_and_exit_code_2(
    services: Mapping[str, str], tmp_path: Path
) -> None:
    wrong = services["PROSA_BROKER_URL"].replace("guest:guest", "guest:wrong")
    async with launched(tmp_path, "--workers", "1", **{**services, "PROSA_BROKER_URL": wrong}) as up:
        with pytest.raises(AssertionError, match="prosa up has ended"):
            await up.ready()
        assert await up.left() == 2
    log = (tmp_path / "up.log").read_text()
    said = log.splitlines()[-1]
    assert said.startswith("prosa: ")
    assert "cannot start: " in said
    assert "Traceback" not in log
