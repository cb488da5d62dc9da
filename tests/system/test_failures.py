"""The failure table, first part: devices that come and go, and gateways and workers that die."""

import asyncio

import pytest

from prosa.adapters.scripted_engine import expected_reply
from prosa.cluster.proxy import FaultProxy
from tests.conftest import Measured
from tests.system.client import Client
from tests.system.cluster import House, through
from tests.system.harness import Person

TAKEOVER_SECONDS = 5.0
"""At most, on whatever machine; ``PROMISED_SECONDS`` where nothing else slows it down."""
PROMISED_SECONDS = 2.0
LONG = "[[n=60 r=20]]"
WORD = 12
"""About so many characters are a word of the scripted model."""


async def test_a_reload_on_another_gateway_and_a_second_device_see_the_whole_answer(house: House) -> None:
    person = await Person.sign_up(house.base)
    here, there = (through(person, house.at(name)) for name in house.gateways)
    async with asyncio.TaskGroup() as group:
        tab = Client(here, f"reload me {LONG}")
        living = group.create_task(tab.live())
        await tab.shows(20 * WORD)
        device = Client(there, tab.text, accepted=tab.accepted)
        group.create_task(device.live())
        await device.shows(1)
        living.cancel()
        before = tab.whole
        reloaded = Client(there, tab.text, accepted=tab.accepted)
        group.create_task(reloaded.live())
        await reloaded.shows(1)
        assert reloaded.whole.startswith(before), "the text so far did not come at once"
        assert len(device.whole) >= len(before)
    await house.settled(device, reloaded)
    for client in (device, reloaded):
        # The text so far in one piece, then live: a word a frame or nearly so.
        assert client.kinds().count("snapshot") == 1
        assert client.kinds().count("delta") >= 10


async def test_a_network_change_in_mid_answer_costs_nothing(house: House) -> None:
    """Reset, black hole and a refused connection in turn, between one client and the gateways."""
    host, port = house.base.removeprefix("http://").split(":")
    person = await Person.sign_up(house.base)
    async with FaultProxy(host, int(port)) as network:
        client = Client(through(person, f"http://{network.host}:{network.port}"), f"on the train {LONG}")
        async with asyncio.TaskGroup() as group:
            group.create_task(client.live())
            await client.shows(10 * WORD)
            network.reset()
            await client.until(lambda client: len(client.tabs) == 2)
            await client.shows(20 * WORD)
            network.cut()
            await client.until(lambda client: len(client.closes) > 2)
            network.pass_through()
        assert len(client.tabs) >= 3
    await house.settled(client)


async def test_a_gateway_killed_in_mid_answer_is_not_missed(house: House) -> None:
    person = await Person.sign_up(house.base)
    first, second = house.gateways
    # The first connection is made to the gateway that dies, all others to the address that both share.
    client = Client(through(person, house.at(first)), f"whoever serves me {LONG}")
    watcher = Client(through(person, house.at(second)), client.text)
    async with asyncio.TaskGroup() as group:
        group.create_task(client.live())
        await client.shows(10 * WORD)
        watcher.accepted, watcher.chat = client.accepted, client.chat
        group.create_task(watcher.live())
        client.person = person
        house.cluster.kill(first)
        before = client.whole
        await client.until(lambda client: len(client.tabs) == 2 and client.whole)
        assert client.whole.startswith(before)
    await house.settled(client, watcher)
    assert len(watcher.tabs) == 1


async def test_a_worker_killed_in_mid_answer_again_and_again_the_same_bubble_goes_on(
    house: House, measured: Measured
) -> None:
    person = await Person.sign_up(house.base)
    here, there = (through(person, house.at(name)) for name in house.gateways)
    client = Client(here, "take it over [[n=110 r=20]]")
    async with asyncio.TaskGroup() as group:
        group.create_task(client.live())
        await client.shows(1)
        other = Client(there, client.text, accepted=client.accepted)
        group.create_task(other.live())
        times = []
        for attempt in (2, 3):
            # Behind a checkpoint, so that there is text to go on from.
            await client.shows(attempt * 15 * WORD)
            times.append(await killed(house, client, attempt))
            measured("takeover of a killed worker's answer, s", times[-1])
        assert max(times) < TAKEOVER_SECONDS
        assert min(times) < PROMISED_SECONDS
    row = await house.settled(client, other, attempt=3, crashes=2)
    assert row.crashes_row == 0


async def killed(house: House, client: Client, attempt: int) -> float:
    """Kill the worker that has the run; the seconds until the first frame of the next attempt."""
    name = await house.holder(client.run)
    begun = asyncio.get_running_loop().time()
    house.cluster.kill(name)
    await client.reaches(attempt)
    return client.first(attempt) - begun


@pytest.mark.parametrize(("shown", "pace"), [(0, "ttft=1.5"), (1, "r=20")])
async def test_a_worker_killed_between_claim_and_first_checkpoint_loses_no_answer(
    house: House, measured: Measured, shown: int, pace: str
) -> None:
    """Before its first word, and when its first words were shown but not saved."""
    person = await Person.sign_up(house.base)
    client = Client(person, f"at once [[n=20 {pace}]]")
    async with asyncio.TaskGroup() as group:
        group.create_task(client.live())
        await client.until(lambda client: "started" in client.kinds() and len(client.whole) >= shown)
        seconds = await killed(house, client, 2)
        measured(f"takeover before the first checkpoint ({pace}), s", seconds)
        assert seconds < TAKEOVER_SECONDS
    await house.settled(client, attempt=2, crashes=1)


async def test_a_worker_killed_between_commit_and_telling_has_answered(house: House) -> None:
    """Its way to the broker is a black hole: the commit gets through, the end does not."""
    person = await Person.sign_up(house.base)
    client = Client(person, "nobody hears my end [[n=40 r=20]]")
    async with asyncio.TaskGroup() as group:
        group.create_task(client.live())
        await client.shows(25 * WORD)
        name = await house.holder(client.run)
        house.roads[name].broker.black_hole()
        await house.until_run(client.run, lambda row: row.state == "done")
        assert client.end is None
        assert len(client.whole) < len(expected_reply(client.text))
        house.cluster.kill(name)
        house.roads[name].broker.reset()
    row = await house.settled(client)
    assert house.process_of(row) == name
