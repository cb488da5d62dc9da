"""Slots bound throughput linearly: three workers answer three times as much as one."""

import asyncio
import time

import pytest
from uuid_utils.compat import uuid7

from prosa.load import report
from prosa.load.accounts import people
from prosa.load.crowd import Cast, Crowd
from prosa.load.plan import Plan, Start
from tests.conftest import Measured
from tests.system.cluster import Nodes, house

SLOTS = 10
USERS = 60
"""Two for each slot that there is at most: none waits for a person to ask."""
RATIO = 2.7
"""The promise is 2.9; a machine that others use as well may cost a little of either measurement."""


@pytest.mark.timeout(180)
async def test_three_workers_of_ten_slots_answer_about_three_times_as_much_as_one(
    nodes: Nodes, measured: Measured
) -> None:
    """With an engine that takes a second for each answer."""
    await nodes.heal()
    async with house(nodes, gateways=1, proxied=False, slots=str(SLOTS)) as built:
        accounts = await people([built.base], USERS, None, uuid7)
        tokens = tuple(account.token for account in accounts)
        three = await throughput(built.base, tokens, 3 * SLOTS)
        for name in built.workers[1:]:
            await built.cluster.stop(name)
        one = await throughput(built.base, tokens[: USERS // 3], SLOTS)
    measured("answers a second of 3 workers of 10 slots", three)
    measured("answers a second of 1 worker of 10 slots", one)
    measured("throughput of 3 workers over that of 1", three / one)
    assert three / one >= RATIO
    assert one <= SLOTS * 1.05


async def throughput(base: str, tokens: tuple[str, ...], slots: int) -> float:
    """Answers a second of so many slots while all of them are busy: without the first and the last of each."""
    plan = Plan(users=len(tokens), messages=4, words=1, ttft=1.0, start=Start.BACK_TO_BACK)
    crowd = Crowd(plan, Cast((base,), tokens), uuid7, time.monotonic)
    async with crowd.connected():
        crowd.start(time.monotonic())
        async with asyncio.timeout(60):
            await crowd.finished()
    harvest = await crowd.harvest()
    found = report.verdict(harvest.answers, harvest.tally, harvest.unread_chats)
    assert found.answered == found.asked == len(tokens) * plan.messages
    ends = sorted(answer.ended_at for answer in harvest.answers if answer.ended_at is not None)
    return (len(ends) - 2 * slots) / (ends[-slots - 1] - ends[slots - 1])
