"""The failure table, fourth part: RabbitMQ goes away, keeps or loses all it held, and comes back."""

import asyncio
import time
from collections.abc import Awaitable, Callable

import pytest

from tests.conftest import Measured
from tests.system.client import Client
from tests.system.cluster import House, through
from tests.system.harness import Person

RETURN_SECONDS = 5.0
"""After the broker answers again, everything that its absence held up is answered within so many."""


async def stopped(house: House, meanwhile: Callable[[], Awaitable[None]]) -> None:
    await house.nodes.rabbit.stop()
    await meanwhile()
    await house.nodes.rabbit.start()


async def wiped(house: House, meanwhile: Callable[[], Awaitable[None]]) -> None:
    await house.nodes.rabbit.stop()
    await meanwhile()
    await house.nodes.rabbit.wipe()


@pytest.mark.parametrize("away", [stopped, wiped])
async def test_accepts_go_on_without_the_broker_and_answers_come_within_5_s_of_its_return(
    house: House, measured: Measured, away: Callable[[House, Callable[[], Awaitable[None]]], Awaitable[None]]
) -> None:
    """Asked before, under way, waiting behind one that is under way, and asked in the outage through either gateway."""
    people = [await Person.sign_up(house.base) for _ in range(4)]
    here, there = (house.at(name) for name in house.gateways)
    running = Client(through(people[0], here), "under way [[n=50 r=20]]")
    waiting = Client(through(people[0], here), "behind it [[n=20 r=20]]", running.chat)
    long = Client(through(people[1], there), "longer than the outage [[n=2000 r=20]]")
    during = [
        Client(through(person, base), f"anybody there {base} [[n=20 r=20]]")
        for person, base in zip(people[2:], (here, there), strict=True)
    ]
    async with asyncio.TaskGroup() as group:

        async def ask(client: Client) -> None:
            group.create_task(client.live())
            await client.until(lambda client: client.accepted, 3)

        async def ask_in_the_outage() -> None:
            for client in during:
                await ask(client)

        for client in (running, waiting, long):
            await ask(client)
        await long.shows(60)
        await away(house, ask_in_the_outage)
        back = time.monotonic()
        for client in (running, waiting, *during):
            await client.ends()
            measured(f"last end behind the return of a broker that was {away.__name__}, s", client.frames[-1][0] - back)
        assert time.monotonic() - back <= RETURN_SECONDS
        # What was under way all the time is live again: words, not checkpoints.
        deltas = long.kinds().count("delta")
        await long.until(lambda client: client.kinds().count("delta") >= deltas + 10, RETURN_SECONDS)
        assert sum(client.refusals != [] for client in (running, waiting, long, *during)) == 0
        await long.stop()
    await house.settled(long, finish="stopped")
    for client in (running, waiting, *during):
        await house.settled(client)
    for client in (running, waiting, long, *during):
        assert len(client.tabs) == 1, "the outage of the broker cost a socket"
