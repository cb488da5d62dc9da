"""The failure table, second part: a worker that is frozen and woken, or cut from one of the two services only."""

import asyncio
from collections.abc import Callable

import pytest

from prosa.cluster.proxy import FaultProxy
from tests.conftest import Measured
from tests.system.client import Client
from tests.system.cluster import PATIENT_SECONDS, House, through
from tests.system.harness import Person

TEXT = "one of you [[n=80 r=20]]"
WORDS = 10 * 12
"""So many characters are about ten words: half a second."""


def black_hole(proxy: FaultProxy) -> None:
    proxy.black_hole()


def cut(proxy: FaultProxy) -> None:
    proxy.cut()


def reset(proxy: FaultProxy) -> None:
    proxy.reset()


async def two_devices(house: House, group: asyncio.TaskGroup) -> tuple[Client, Client, str]:
    """A question whose answer is under way, watched through both gateways; and the worker that answers."""
    person = await Person.sign_up(house.base)
    here, there = (through(person, house.at(name)) for name in house.gateways)
    one = Client(here, TEXT)
    group.create_task(one.live())
    await one.shows(WORDS)
    two = Client(there, TEXT, accepted=one.accepted)
    group.create_task(two.live())
    await two.shows(WORDS)
    return one, two, await house.holder(one.run)


@pytest.mark.parametrize("woken", ["in mid-answer", "behind the end"])
async def test_a_worker_frozen_past_its_lease_changes_nothing_when_it_wakes(
    house: House, measured: Measured, woken: str
) -> None:
    async with asyncio.TaskGroup() as group:
        one, two, frozen = await two_devices(house, group)
        begun = asyncio.get_running_loop().time()
        house.cluster.freeze(frozen)
        await one.reaches(2)
        measured("takeover of a frozen worker's answer, s", one.first(2) - begun)
        if woken == "in mid-answer":
            shown = len(one.whole)
            house.cluster.thaw(frozen)
            await one.shows(shown + WORDS)
    row = await house.settled(one, two, attempt=2, crashes=1)
    assert house.process_of(row) != frozen
    house.cluster.thaw(frozen)
    await house.until_idle(frozen)
    assert await house.settled(one, two, attempt=2, crashes=1) == row


@pytest.mark.parametrize("fault", [black_hole, cut])
async def test_a_worker_cut_from_the_database_only_is_replaced_and_fenced(
    house: House, measured: Measured, fault: Callable[[FaultProxy], None]
) -> None:
    """It streams on and cannot store; another one takes over. What it tries to store once it is back changes nothing:
    a black hole even delivers the statements of that time."""
    async with asyncio.TaskGroup() as group:
        one, two, lonely = await two_devices(house, group)
        begun = asyncio.get_running_loop().time()
        fault(house.roads[lonely].store)
        await one.reaches(2)
        measured("takeover from a worker without a database, s", one.first(2) - begun)
        house.roads[lonely].store.pass_through()
    row = await house.settled(one, two, attempt=2, crashes=1)
    assert house.process_of(row) != lonely
    await house.until_idle(lonely)
    assert await house.settled(one, two, attempt=2, crashes=1) == row


async def test_a_worker_whose_connections_to_the_database_are_reset_goes_on(house: House) -> None:
    async with asyncio.TaskGroup() as group:
        one, two, name = await two_devices(house, group)
        house.roads[name].store.reset()
    row = await house.settled(one, two)
    assert house.process_of(row) == name


@pytest.mark.parametrize("fault", [black_hole, cut, reset])
async def test_a_worker_cut_from_the_broker_only_goes_on_to_the_end(
    house: House, fault: Callable[[FaultProxy], None]
) -> None:
    """Its heart beats in the database, so nobody takes its run; the text comes from there, in larger pieces."""
    async with asyncio.TaskGroup() as group:
        one, two, name = await two_devices(house, group)
        fault(house.roads[name].broker)
        before = len(one.whole)
        await one.until(lambda client: len(client.whole) > before + WORDS and client.end is None)
    row = await house.settled(one, two)
    assert house.process_of(row) == name


async def test_a_worker_cut_from_the_broker_hears_that_it_is_to_drain(house: House) -> None:
    """The wish is in the database. What it cannot finish in time goes on elsewhere, and nothing is taken back."""
    async with asyncio.TaskGroup() as group:
        one, two, lonely = await two_devices(house, group)
        since = len(house.events)
        house.roads[lonely].broker.cut()
        row = await house.run(one.run)
        await house.drain(row.worker or "")
        await one.reaches(2)
    await house.settled(one, two, attempt=2)
    house.roads[lonely].heal()
    await house.cluster.wait_ready(lonely, PATIENT_SECONDS)
    assert house.ends(since) == [(lonely, 0)]
