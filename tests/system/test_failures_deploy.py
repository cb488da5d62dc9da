"""The failure table, last part: a rolling deploy, and one of three workers stopped, under load."""

import asyncio
import signal
import time
from typing import Any

import pytest
from uuid_utils.compat import uuid7

from prosa.adapters.clock import SystemClock
from prosa.load import report
from prosa.load.accounts import people
from prosa.load.crowd import Cast, Crowd
from prosa.load.plan import Plan
from tests.conftest import Measured
from tests.system.client import Client
from tests.system.cluster import PATIENT_SECONDS, House, said
from tests.system.harness import Person

GOING_AWAY = "1012"
BUSIEST = "SELECT worker FROM runs WHERE state = 'running' GROUP BY worker ORDER BY count(*) DESC"


@pytest.mark.timeout(300)
async def test_a_rolling_deploy_under_load_shows_no_error_and_takes_no_text_back(
    house: House, measured: Measured
) -> None:
    """Ten people who ask and ask, while every gateway and every worker is restarted, one after the other."""
    people = [await Person.sign_up(house.base) for _ in range(10)]
    since, over = len(house.events), asyncio.Event()
    async with asyncio.TaskGroup() as group:
        talks = [group.create_task(talk(person, over)) for person in people]
        for name in (*house.gateways, *house.workers):
            begun = time.monotonic()
            await house.cluster.restart(name)
            measured("restart of a process in a rolling deploy, s", time.monotonic() - begun)
        over.set()
    assert house.ends(since) == [(name, 0) for name in (*house.gateways, *house.workers)]
    clients = [client for talked in talks for client in talked.result()]
    for client in clients:
        await house.settled(client, attempt=None)
        assert client.refusals == []
        assert [close for close in client.closes if GOING_AWAY not in close] == []
        assert shrinkings(client) == []
    assert sum(len(client.closes) for client in clients) > 0, "no gateway that was told to end had a socket to close"
    given_back = sum(client.attempt > 1 for client in clients)
    assert given_back > 0, f"no worker that was told to end had one of {len(clients)} answers to give back"


async def talk(person: Person, over: asyncio.Event) -> list[Client]:
    """Questions of one chat, each asked when the one before is answered."""
    clients: list[Client] = []
    chat = uuid7()
    while not over.is_set():
        clients.append(Client(person, f"through the deploy {len(clients)} [[n=80 r=20]]", chat))
        await clients[-1].live()
    return clients


def shrinkings(client: Client) -> list[str]:
    """Where text that was shown went away, be it by a later attempt: a worker that drains gives back all it sent."""
    found, shown = [], 0
    for _, frame in client.of_run():
        if frame["type"] in ("snapshot", "delta"):
            if frame["seq"] < shown:
                found.append(f"{shown} characters became {frame['seq']} in attempt {frame['attempt']}")
            shown = frame["seq"]
    return found


@pytest.mark.parametrize("way", ["SIGKILL", "SIGTERM", "drain"])
async def test_one_of_three_workers_stopped_under_load_loses_nothing(
    house: House, measured: Measured, way: str
) -> None:
    """The classic scenario: twenty people who ask again and again; each reply is verified character by character."""
    plan = Plan(users=20, messages=4, words=30, rate=20, spread_seconds=1.5)
    clock, before = SystemClock().monotonic, await crashes(house)
    accounts = await people([house.base], plan.users, None, uuid7)
    crowd = Crowd(plan, Cast((house.base,), tuple(account.token for account in accounts)), uuid7, clock)
    async with crowd.connected():
        crowd.start(clock())
        await asyncio.sleep(plan.spread_seconds + 1.0)
        (victim, *_) = await house.ask(BUSIEST)
        name, since = house.named(victim["worker"]), len(house.events)
        await stop(house, victim["worker"], way)
        async with asyncio.timeout(60):
            await crowd.finished()
    harvest = await crowd.harvest()
    found = report.verdict(harvest.answers, harvest.tally, harvest.unread_chats)
    assert (found.asked, found.accepted, found.answered) == (80, 80, 80)
    assert (found.lost, found.duplicated, found.corrupted, found.reordered, found.unread_chats) == (0, 0, 0, 0, 0)
    lived = report.disturbance(harvest.answers, harvest.tally)
    assert (lived.failures, lived.refusals, lived.closes) == ({}, {}, {})
    # Only who had an answer of that worker saw anything of it.
    assert 0 < lived.takeovers <= plan.users
    if way != "SIGKILL":
        assert lived.taken_back == 0
    measured(f"most characters taken back when one of three workers is stopped by {way}", lived.taken_back)
    assert (await crashes(house) > before) == (way == "SIGKILL")
    await house.cluster.wait_ready(name, PATIENT_SECONDS)
    assert house.ends(since) == [(name, -signal.SIGKILL if way == "SIGKILL" else 0)]
    if way == "drain":
        (said,) = said_by(house, name, "worker.draining", victim["worker"])
        assert said["asked_by"] == "administrator"
        assert said["runs"] > 0


async def stop(house: House, worker: str, way: str) -> None:
    if way == "drain":
        await house.drain(worker)
    else:
        house.cluster.signal(house.named(worker), signal.Signals[way])


def said_by(house: House, name: str, event: str, worker: str) -> list[dict[str, Any]]:
    return [line for line in said(house, name, event) if line["worker"] == worker]


async def crashes(house: House) -> int:
    (found,) = await house.ask("SELECT coalesce(sum(crashes_total), 0) AS crashes FROM runs")
    counted: int = found["crashes"]
    return counted
