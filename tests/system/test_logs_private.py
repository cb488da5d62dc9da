"""No secret and nothing that people or models wrote is in any log, at the level debug, over a whole conversation."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final
from uuid import UUID, uuid4

import asyncpg
import pytest
from uuid_utils.compat import uuid7

from prosa.cluster.proxy import FaultProxy
from tests.fake_model_server import FakeModelServer, answers, breaks, fake_model_server, hangs, says, sends
from tests.system.cluster import Nodes, by, place, until
from tests.system.harness import Person, Tab
from tests.system.pair import Member, database

WORDS: Final = {
    "a question": "perguntaplantada",
    "an answer": "respostaplantada",
    "a title": "tituloplantado",
    "a password": "senhaplantada",
    "a wrong password": "senhaerrada",
    "the provider": "sk-chaveplantada",
    "the database": "bancoplantado",
    "the broker": "filaplantada",
    "the traces": "tracosplantados",
}
"""What people and models write, and the secrets towards each: all that must be found nowhere."""
CONFIG = """
[[models]]
name = "provider"
engine = "openai"
base_url = "{base_url}"
api_key_env = "PROVIDER_KEY"
"""


class Place:
    """A database and a broker whose passwords are planted words, behind proxies."""

    def __init__(self, direct: str, role: str, store: FaultProxy, broker: FaultProxy) -> None:
        self.store = store
        self.broker = broker
        self.environment = {
            "PROSA_DATABASE_URL": by(direct, store.port).replace("://postgres@", f"://{role}:{WORDS['the database']}@"),
            "PROSA_BROKER_URL": f"amqp://{role}:{WORDS['the broker']}@127.0.0.1:{broker.port}/",
            "PROSA_OTLP_ENDPOINT": "http://127.0.0.1:9",
            "PROSA_OTLP_HEADERS": f"authorization=Bearer {WORDS['the traces']}",
            "PROSA_LOG_LEVEL": "debug",
            "PROSA_TEXT_BYTES": "2000",
            "PROVIDER_KEY": WORDS["the provider"],
        }
        self._direct = direct

    async def do(self, *statements: str) -> None:
        connection = await asyncpg.connect(self._direct, timeout=5)
        try:
            for statement in statements:
                await connection.execute(statement)
        finally:
            await connection.close(timeout=5)


@pytest.fixture
async def here(nodes: Nodes) -> AsyncIterator[Place]:
    await nodes.heal()
    role = f"clerk_{uuid4().hex}"
    async with (
        database(nodes) as url,
        FaultProxy(*place(url)) as store,
        FaultProxy(*place(nodes.rabbit.url)) as broker,
    ):
        assert "://postgres@" in url
        made = Place(url, role, store, broker)
        await made.do(f"CREATE ROLE {role} LOGIN SUPERUSER PASSWORD '{WORDS['the database']}'")
        await _control(nodes, "add_user", role, WORDS["the broker"])
        await _control(nodes, "set_permissions", role, ".*", ".*", ".*")
        yield made


async def _control(nodes: Nodes, *command: str) -> None:
    process = await asyncio.create_subprocess_exec(
        *("rabbitmqctl", "--quiet", *command), env=nodes.rabbit.control, stdout=asyncio.subprocess.DEVNULL
    )
    async with asyncio.timeout(20):
        assert await process.wait() == 0


@pytest.fixture
async def provider() -> AsyncIterator[FakeModelServer]:
    async with fake_model_server() as fake:
        yield fake


@pytest.fixture
async def members(here: Place, provider: FakeModelServer, tmp_path: Path) -> AsyncIterator[tuple[Member, Member]]:
    """A gateway that logs for machines, and a worker that logs for people."""
    (tmp_path / "prosa.toml").write_text(CONFIG.format(base_url=provider.base_url))
    async with AsyncExitStack() as stack:
        gateway = Member("gateway", tmp_path, here.environment)
        worker = Member("worker", tmp_path, {**here.environment, "PROSA_LOG_FORMAT": "pretty"})
        for member in (gateway, worker):
            await member.start()
            stack.callback(member.kill)
        for member in (gateway, worker):
            await member.ready()
        yield gateway, worker


async def test_no_log_holds_a_secret_or_what_people_and_models_wrote(
    here: Place, provider: FakeModelServer, members: tuple[Member, Member]
) -> None:
    gateway, worker = members
    person = await _signs_in(gateway.base)
    planted = {**WORDS, "the token": person.token}
    async with person.socket() as tab:
        await _converses(tab, provider)
        await _is_refused(tab, here)
        await _goes_on_through_trouble(tab, here, gateway)
    await _uses_http(person)
    for member in members:
        assert (await member.stop())[0] == 0
        said = {what for what, word in planted.items() if word.casefold() in member.log.casefold()}
        assert said == set(), member.log
    # All that could have told them was said: each of these had one of the words at hand.
    for event in ("run.accepted", "request.broke", "store.away", "broker.away", "traces.away"):
        assert event in gateway.log, gateway.log
    for event in ("run.claimed", "model.failed", "run.ended", "broker.away", "traces.away"):
        assert event in worker.log, worker.log


async def _signs_in(base: str) -> Person:
    person = await Person.sign_up(base, password=WORDS["a password"])
    body = {"username": person.username, "password": WORDS["a wrong password"]}
    status, _ = await person.http("POST", "/api/auth/token", body)
    assert status == 401
    status, _ = await person.http("POST", "/api/auth/register", {"username": " ", "password": WORDS["a password"]})
    assert status == 422
    return person


async def _converses(tab: Tab, provider: FakeModelServer) -> None:
    """A model that answers, one that fails in each way, and one that is stopped."""
    echo = json.dumps({"error": {"message": f"{WORDS['a question']}: bad key {WORDS['the provider']}"}})
    provider.next(
        says([WORDS["an answer"]]),
        answers(401, echo),
        answers(400, echo),
        breaks([WORDS["an answer"]]),
        sends(f"data: {echo}\n\n".encode()),
        sends(f"data: {WORDS['an answer']}\n\n".encode()),
        hangs([WORDS["an answer"]]),
    )
    chat = uuid7()
    for _ in range(6):
        accepted = await tab.ask(WORDS["a question"], chat, model="provider")
        await tab.answer(accepted["run"])
    accepted = await tab.ask(WORDS["a question"], chat, model="provider")
    await tab.text(UUID(accepted["run"]), 1)
    await tab.send({"type": "stop", "run": accepted["run"]})
    await tab.answer(accepted["run"])
    broken = await tab.ask(f"{WORDS['a question']} [[n=50 r=200 fail=5]]", chat, model="scripted")
    await tab.answer(broken["run"])


async def _is_refused(tab: Tab, here: Place) -> None:
    question = WORDS["a question"]
    for refused in (
        {"type": "send", "id": question, "chat": question, "text": question},
        {"type": question, "text": question},
        {"type": "send", "id": str(uuid7()), "chat": str(uuid7()), "text": question * 200},
        {"type": "send", "id": str(uuid7()), "chat": str(uuid7()), "text": "hi", "model": question},
    ):
        await tab.send(refused)
        await tab.until("error")
    # A fault of ours: the database refuses a row, and its error quotes it.
    await here.do(f"ALTER TABLE messages ADD CONSTRAINT nobody CHECK (text NOT LIKE '%{question} zero%')")
    await tab.send({"type": "send", "id": str(uuid7()), "chat": str(uuid7()), "text": f"{question} zero"})
    assert (await tab.until("error"))["code"] == "internal"


async def _goes_on_through_trouble(tab: Tab, here: Place, gateway: Member) -> None:
    here.store.cut()
    here.broker.cut()
    await tab.send({"type": "send", "id": str(uuid7()), "chat": str(uuid7()), "text": WORDS["a question"]})
    assert (await tab.until("error", seconds=30))["retryable"]

    async def told() -> bool:
        return all(f'"{event}"' in gateway.log for event in ("store.away", "broker.away"))

    await until(told)
    here.store.pass_through()
    here.broker.pass_through()
    await until(gateway.healthy)


async def _uses_http(person: Person) -> None:
    chat, request = uuid7(), uuid7()
    status, _ = await person.http(
        "POST",
        f"/api/chats/{chat}/messages",
        {"id": str(request), "text": f"{WORDS['a question']} [[n=3 r=50]]", "model": "scripted"},
    )
    assert status == 202
    status, renamed = await person.http("PATCH", f"/api/chats/{chat}", {"title": WORDS["a title"]})
    assert (status, renamed["title"]) == (200, WORDS["a title"])
    status, _ = await person.http("GET", f"/api/chats?cursor={WORDS['a title']}")
    assert status == 422
    status, _ = await person.http("DELETE", f"/api/chats/{chat}")
    assert status == 204
