"""The failure table, third part: every frame and bulletin is dropped. The database alone must do (L6)."""

import asyncio
import signal
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from statistics import median
from uuid import UUID

import pytest

from tests.conftest import Measured
from tests.system.client import Client
from tests.system.cluster import House, Nodes, house, through
from tests.system.harness import Person

LOSSY = (sys.executable, "-P", str(Path(__file__).parents[1] / "lossy_process.py"))
STOPS = 8
SHOWN = range(100, 100 + STOPS * 66, 66)
"""Characters on the screen before each stop: behind the first checkpoint, and at other moments between two of them."""


@pytest.fixture(scope="module")
async def common_house(nodes: Nodes) -> AsyncIterator[House]:
    """Processes whose buses lose what a signal says."""
    await nodes.heal()
    async with house(nodes, workers=2, command=LOSSY) as built:
        yield built


def lose(house: House, what: signal.Signals) -> None:
    for name in house.cluster.names:
        house.cluster.signal(name, what)


async def test_with_every_frame_and_bulletin_dropped_all_answers_appear_whole(house: House, measured: Measured) -> None:
    people = [await Person.sign_up(house.base) for _ in range(4)]
    lose(house, signal.SIGUSR1)
    clients = [Client(person, f"into the void {n} [[n=30 r=20]]") for n, person in enumerate(people)]
    async with asyncio.TaskGroup() as group:
        for client in clients:
            group.create_task(client.live())
        await clients[0].until(lambda client: client.accepted)
        second = Client(through(people[0], house.at("gateway-2")), clients[0].text, accepted=clients[0].accepted)
        group.create_task(second.live())
    await house.settled(clients[0], second)
    for client in clients[1:]:
        await house.settled(client)
    for client in clients:
        asked, ended = client.frames[0][0], client.frames[-1][0]
        measured("answer of 1.5 s with every frame dropped, s", ended - asked)
        # All of it came from the database, where a run is read again after two seconds of silence.
        assert client.first(1) - asked > 0.5


@pytest.mark.parametrize(("lost", "bound"), [(signal.SIGHUP, 0.3), (signal.SIGUSR2, 1.5)], ids=["told", "lost"])
async def test_a_stop_is_quick_and_one_whose_message_is_lost_waits_for_a_checkpoint(
    house: House, measured: Measured, lost: signal.Signals, bound: float
) -> None:
    """From the click to the end on the screen, through a gateway that is not the one that streams."""
    person = await Person.sign_up(house.base)
    lose(house, lost)
    times = [await stopped(house, person, shown) for shown in SHOWN]
    for seconds in times:
        measured(f"stop, its message {'lost' if lost is signal.SIGUSR2 else 'told'}, s", seconds)
    if lost is signal.SIGUSR2:
        assert max(times) <= bound
        assert max(times) > 0.3, "no message was lost"
    else:
        assert median(times) <= bound


async def stopped(house: House, person: Person, shown: int) -> float:
    """Stop an answer under way; the seconds that took. What was shown is what is stored."""
    here, there = (through(person, house.at(name)) for name in house.gateways)
    async with here.socket() as tab, there.socket() as other:
        accepted = await tab.ask("stop me [[n=400 r=20]]")
        run = UUID(accepted["run"])
        await tab.text(run, shown)
        begun = time.monotonic()
        await other.send({"type": "stop", "run": accepted["run"]})
        end = await tab.until("done", run=run)
        seconds = time.monotonic() - begun
        assert end["finish"] == "stopped"
        row = await house.run(run)
        assert (row.state, row.text, row.attempt) == ("stopped", tab.runs[run].text, 1)
        return seconds
