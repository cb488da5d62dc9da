"""The laws that need more than one gateway: who waits, who stops, and what other devices see."""

import asyncio
import time
from itertools import pairwise
from uuid import UUID

import pytest
from uuid_utils.compat import uuid7
from websockets.exceptions import ConnectionClosed

from prosa.adapters.scripted_engine import expected_reply
from tests.system.client import Client
from tests.system.cluster import House, through
from tests.system.harness import Person

LIMIT = 4


def two_ways(house: House, person: Person) -> tuple[Person, Person]:
    """The same person at each gateway."""
    here, there = (through(person, house.at(name)) for name in house.gateways)
    return here, there


async def test_a_user_beyond_the_limit_waits_on_whichever_gateway_and_sees_the_position(house: House) -> None:
    """L9 over two gateways: N = 4 in all, the oldest goes first, and who waits is told where."""
    here, there = two_ways(house, await Person.sign_up(house.base))
    other = await Person.sign_up(house.base)
    async with asyncio.TaskGroup() as group:
        mine = []
        for number in range(LIMIT + 3):
            client = Client(here if number % 2 else there, f"mine {number} [[n=45 r=20]]")
            group.create_task(client.live())
            await client.until(lambda client: client.accepted)
            mine.append(client)
        states = [client.accepted["state"] for client in mine if client.accepted]
        assert states == ["queued"] * LIMIT + ["waiting"] * 3
        theirs = Client(other, "quick [[n=2 r=50]]")
        group.create_task(theirs.live())
        await theirs.ends()
        assert all(client.end is None for client in mine), "another user had to wait"
        counts = await house.ask(
            "SELECT state, count(*) FROM runs WHERE ended_at IS NULL GROUP BY state ORDER BY state"
        )
        assert [tuple(row) for row in counts] == [("running", LIMIT), ("waiting", 3)]
        await mine[-1].until(lambda client: "queued" in client.kinds())
    for client in mine:
        await house.settled(client)
    starts = [client.first(1) for client in mine]
    assert max(starts[:LIMIT]) < min(starts[LIMIT:])
    for client in mine[LIMIT:]:
        places = [frame["position"] for _, frame in client.of_run() if frame["type"] == "queued"]
        assert places == sorted(places, reverse=True)


async def test_the_messages_of_a_chat_sent_through_two_gateways_are_answered_in_order(house: House) -> None:
    """L5."""
    ways, chat = two_ways(house, await Person.sign_up(house.base)), uuid7()
    async with asyncio.TaskGroup() as group:
        clients = []
        for number in range(4):
            clients.append(Client(ways[number % 2], f"line {number} [[n=6 r=20]]", chat))
            group.create_task(clients[-1].live())
            await clients[-1].until(lambda client: client.accepted)
    ordinals = [client.accepted["ordinal"] for client in clients if client.accepted]
    assert ordinals == sorted(set(ordinals))
    for earlier, later in pairwise(clients):
        assert later.first(1) >= earlier.frames[-1][0] - 0.1, "two answers of a chat ran at once"
    for client in clients:
        await house.settled(client)


async def test_tabs_on_two_gateways_see_the_same_chat_live(house: House) -> None:
    """L7: also the question itself, and the chat that begins; nobody asks for it."""
    here, there = two_ways(house, await Person.sign_up(house.base))
    chat = uuid7()
    async with here.socket() as tab, there.socket() as other:
        await tab.answer((await tab.ask("open it [[n=1 r=50]]", chat))["run"])
        await other.until("chat")
        await other.send({"type": "watch", "chat": str(chat)})
        await other.until("watching")
        accepted = await tab.ask("side by side [[n=60 r=20]]", chat)
        run = UUID(accepted["run"])
        async with asyncio.TaskGroup() as group:
            answers = [group.create_task(one.answer(accepted["run"])) for one in (tab, other)]
        texts = [answer.result().text for answer in answers]
        assert texts == [expected_reply("side by side [[n=60 r=20]]")] * 2
        roles = [frame["message"]["role"] for frame in other.frames if frame["type"] == "message"]
        assert roles[-2:] == ["user", "assistant"]
        assert other.runs[run].deltas > 30, "the other tab did not see it live"


async def test_a_stop_from_another_gateway_keeps_what_was_shown(house: House) -> None:
    here, there = two_ways(house, await Person.sign_up(house.base))
    async with here.socket() as tab, there.socket() as other:
        accepted = await tab.ask("stop me [[n=400 r=20]]")
        run = UUID(accepted["run"])
        await tab.text(run, 100)
        status, _ = await there.http("POST", f"/api/runs/{run}/stop")
        assert status < 300
        await tab.answer(accepted["run"])
        await other.send({"type": "watch", "chat": accepted["chat"], "runs": [accepted["run"]]})
        shown = await other.answer(accepted["run"])
    assert tab.runs[run].end == shown.end
    assert shown.end is not None
    assert shown.end["finish"] == "stopped"
    row = await house.run(run)
    assert (row.state, row.text) == ("stopped", shown.text)
    assert len(row.text) >= 100


async def test_a_sign_in_that_ends_on_one_gateway_closes_its_sockets_on_the_other(house: House) -> None:
    person = await Person.sign_up(house.base)
    here, there = two_ways(house, person)
    async with there.socket() as tab:
        await tab.ask("before [[n=1]]")
        begun = time.monotonic()
        status, _ = await here.http("POST", "/api/auth/logout")
        assert status == 204
        with pytest.raises(ConnectionClosed) as closed:
            await tab.until("nothing that exists", seconds=30)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 4401
        assert time.monotonic() - begun < 2
    assert (await there.http("GET", "/api/me"))[0] == 401
