"""The processes of compose.yaml, without containers: people come through the balancer, a worker is killed, a gateway
leaves, and nobody is shown what is not theirs."""

import asyncio
import json
import re
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from uuid import UUID

import aiohttp
import asyncpg
import pytest
from websockets.asyncio.client import connect

from prosa.adapters.scripted_engine import expected_reply
from tests.deployment import ROOT
from tests.system.client import Client
from tests.system.cluster import Nodes, until
from tests.system.containers import USER, Stack, deployed
from tests.system.harness import Person

LONG = "[[n=60 r=20]]"
BUSIEST = "SELECT worker FROM runs WHERE state = 'running' GROUP BY worker ORDER BY count(*) DESC LIMIT 1"
TRIES = 10
"""A minute, of one name from one address; then 429."""


@pytest.fixture(scope="module")
async def stack(nodes: Nodes) -> AsyncIterator[Stack]:
    async with deployed(nodes) as found:
        yield found


async def asked(stack: Stack, statement: str) -> list[asyncpg.Record]:
    database = stack.service("postgres")["environment"]["POSTGRES_DB"]
    url = stack.nodes.postgres.url(database)
    connection = await asyncpg.connect(url)
    try:
        rows: list[asyncpg.Record] = await connection.fetch(statement)
        return rows
    finally:
        await connection.close()


async def test_people_reach_every_gateway_by_one_address(stack: Stack) -> None:
    ana = await Person.sign_up(stack.base)
    async with AsyncExitStack() as sockets:
        found: set[str] = set()

        async def both() -> bool:
            tab = await sockets.enter_async_context(ana.socket())
            found.add(tab.frames[0]["gateway"])
            return len(found) == 2

        await until(both, 10)


async def test_one_of_three_workers_is_killed_and_every_answer_comes_whole(stack: Stack) -> None:
    people = [await Person.sign_up(stack.base) for _ in range(4)]
    clients = [Client(person, f"{number} through the balancer {LONG}") for number, person in enumerate(people)]
    async with asyncio.TaskGroup() as group:
        for client in clients:
            group.create_task(client.live())
        for client in clients:
            await client.shows(20)
        ((name,),) = await asked(stack, BUSIEST)
        victim = next(one for one in stack.running.values() if name in stack.said(one.address))
        victim.child.signal(signal.SIGKILL)
    for client in clients:
        assert client.end is not None
        assert client.end["type"] == "done"
        assert client.whole == expected_reply(client.text)
        assert (client.taken_back, client.refusals) == ([], [])
    assert max(client.attempt for client in clients) == 2, "nobody had an answer of the worker that was killed"


async def test_prometheus_finds_every_process_and_is_shown_their_metrics(stack: Stack) -> None:
    (address,) = stack.addresses["prometheus"]
    killed = {one.address for one in stack.running.values() if not one.child.alive}
    wanted = {f"{host}:9464" for host in stack.addresses["gateway"]} | {f"{stack.addresses['balancer'][0]}:8404"}
    wanted |= {f"{host}:8001" for host in stack.addresses["worker"] if host not in killed}
    found: set[str] = set()

    async def up() -> bool:
        async with (
            aiohttp.ClientSession() as http,
            http.get(f"http://{address}:9090/api/v1/query", params={"query": "up == 1"}) as response,
        ):
            found.clear()
            found.update(one["metric"]["instance"] for one in (await response.json())["data"]["result"])
        return found == wanted

    try:
        await until(up)
    except TimeoutError:
        raise AssertionError(f"{sorted(found)} and not {sorted(wanted)}\n{stack.log('prometheus')}") from None


async def test_nobody_outside_is_shown_metrics_and_inside_only_who_has_the_token(stack: Stack) -> None:
    gateway = f"http://{stack.addresses['gateway'][0]}"
    token = {"Authorization": f"Bearer {stack.secret('/secrets/metrics/token')}"}
    async with aiohttp.ClientSession() as http:
        for url, headers, status in (
            (f"{stack.base}/metrics", token, 404),
            (f"{gateway}:8000/metrics", token, 404),
            (f"{gateway}:9464/metrics", {}, 404),
            (f"{gateway}:9464/metrics", token, 200),
        ):
            async with http.get(url, headers=headers) as response:
                assert response.status == status, url


async def test_a_person_counts_by_an_address_of_their_own_and_cannot_choose_it(stack: Stack) -> None:
    """Behind a balancer whose word is not believed, everybody would share the tries of one address."""

    async def tries(address: str, count: int) -> list[int]:
        """The answers to wrong passwords, each with a word of its own about where it comes from."""
        found: list[int] = []
        connector = aiohttp.TCPConnector(local_addr=(address, 0))
        async with aiohttp.ClientSession(connector=connector) as http:
            for number in range(count):
                body = {"username": "nobody-at-all", "password": "wrong-password"}
                headers = {"X-Forwarded-For": f"203.0.113.{number}", "Forwarded": f"for=203.0.113.{number}"}
                async with http.post(f"{stack.base}/api/auth/login", json=body, headers=headers) as response:
                    found.append(response.status)
        return found

    # Two gateways, each with windows of its own: of so many tries one has too many.
    assert 429 in await tries("127.9.9.1", 2 * TRIES + 1)
    assert await tries("127.9.9.2", 1) == [401]


async def test_the_classic_socket_answers_as_the_readme_says(stack: Stack) -> None:
    (statements,) = re.findall(r"```sql\n(INSERT.*?)```", (ROOT / "README.md").read_text("utf-8"), re.DOTALL)
    database = stack.service("postgres")["environment"]["POSTGRES_DB"]
    process = await asyncio.create_subprocess_exec(
        "psql", stack.nodes.postgres.url(database), "-U", USER, "-v", "ON_ERROR_STOP=1", "-q", "-c", statements
    )
    assert await process.wait() == 0
    chat = UUID(re.findall(r"'([0-9a-f-]{36})'", statements)[1])
    async with connect(f"{stack.base.replace('http', 'ws')}/ws_chat?id={chat}") as socket:
        await socket.send("Olá! [[n=3 r=50]]")
        received, told = [json.loads(await asyncio.wait_for(socket.recv(), 10)) for _ in range(2)]
    assert received == {"sender": "SYSTEM", "content": "Mensagem recebida e em processamento..."}
    assert told == {"sender": "BOT", "content": expected_reply("Olá! [[n=3 r=50]]")}


async def test_traces_are_sent_where_the_file_says(stack: Stack) -> None:
    assert {span.name for span in await stack.receiver.until(20)} >= {"model"}


async def test_a_gateway_that_leaves_is_missed_by_nobody(stack: Stack) -> None:
    """It says that it is not ready, the balancer sends nobody new, and those whom it has are told to come again."""
    ana = await Person.sign_up(stack.base)
    client = Client(ana, f"while a gateway leaves {LONG}")
    leaving = stack.running[stack.addresses["gateway"][0]]
    async with asyncio.TaskGroup() as group, aiohttp.ClientSession() as http:
        group.create_task(client.live())
        await client.shows(10)
        leaving.child.signal(signal.SIGTERM)
        ending = group.create_task(leaving.child.ended())
        answers: list[int] = []
        while not ending.done():
            async with http.get(f"{stack.base}/", headers={"Connection": "close"}) as response:
                answers.append(response.status)
            await asyncio.sleep(0.05)
    assert ending.result() == 0
    assert set(answers) == {200}, answers
    assert client.end is not None
    assert client.whole == expected_reply(client.text)
    assert client.refusals == []
