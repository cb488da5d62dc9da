"""The failure table, fifth part: PostgreSQL is restarted, cleanly and hard."""

import asyncio
from typing import Literal

import pytest

from prosa.adapters.scripted_engine import expected_reply
from tests.conftest import Measured
from tests.system.client import Client
from tests.system.cluster import House, through
from tests.system.harness import Person

OUTAGE_SECONDS = 2.5


@pytest.mark.parametrize("mode", ["fast", "immediate"])
async def test_a_restart_of_the_database_loses_nothing_acknowledged_and_running_answers_go_on(
    house: House, measured: Measured, mode: Literal["fast", "immediate"]
) -> None:
    people = [await Person.sign_up(house.base) for _ in range(4)]
    here, there = (house.at(name) for name in house.gateways)
    running = Client(through(people[0], here), "under way [[n=120 r=20]]")
    waiting = Client(through(people[0], here), "behind it [[n=20 r=20]]", running.chat)
    last = Client(through(people[1], there), "acknowledged last [[n=20 r=20]]")
    refused = Client(through(people[2], there), "in the outage [[n=20 r=20]]")
    async with asyncio.TaskGroup() as group:
        for client in (running, waiting):
            group.create_task(client.live())
            await client.until(lambda client: client.accepted)
        refused.go.clear()
        group.create_task(refused.live())
        await refused.until(lambda client: client.tabs)
        await running.shows(100)
        group.create_task(last.live())
        await last.until(lambda client: client.accepted)
        await house.nodes.postgres.stop(mode)
        before = len(running.whole)
        refused.go.set()
        await refused.until(lambda client: client.refusals, 5)
        # Without a database to save it: a second and more of words.
        await running.shows(before + 30 * 12, OUTAGE_SECONDS)
        status, problem = await through(people[3], here).http("GET", f"/api/chats/{running.chat}")
        assert (status, problem["code"]) == (503, "store_unavailable")
        await house.nodes.postgres.start()
        begun = asyncio.get_running_loop().time()
        await refused.until(lambda client: client.accepted, 10)
        measured("first accept behind the return of the database, s", asyncio.get_running_loop().time() - begun)
    refusal = refused.refusals[0]
    assert (refusal["code"], refusal["retryable"], refusal["id"]) == ("store_unavailable", True, str(refused.id))
    assert "database does not answer" in refusal["message"]
    for client in (running, waiting, last, refused):
        await house.settled(client)
        assert len(client.tabs) == 1, "the outage of the database cost a socket"
    assert running.whole == expected_reply(running.text)
