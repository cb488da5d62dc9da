"""Calls that share a transaction: when one waits for company, and where the line of those that wait ends (L8)."""

import asyncio
from collections.abc import Sequence
from typing import TypeVar, cast

import pytest
from sqlalchemy import Connection

from prosa.adapters.sql.database import Database, Work
from prosa.adapters.sql.together import BUSY, COMPANY, COMPANY_SECONDS, LANES, LINE, Rate, Together, company_seconds
from prosa.core.errors import Overloaded, ProsaError

T = TypeVar("T")


class Stuck(Database):
    """A database that answers nothing until it is told to."""

    def __init__(self, tasks: asyncio.TaskGroup) -> None:
        super().__init__(tasks)
        self.answer = asyncio.Event()

    async def read(self, work: Work[T]) -> T:
        raise AssertionError

    async def write(self, work: Work[T], *, synced: bool = True) -> T:
        await self.answer.wait()
        return work(cast("Connection", None))


class Counting(Stuck):
    """A database that takes so long for a transaction, and counts them."""

    def __init__(self, tasks: asyncio.TaskGroup, seconds: float = 0) -> None:
        super().__init__(tasks)
        self.answer.set()
        self.seconds = seconds
        self.transactions = 0

    async def write(self, work: Work[T], *, synced: bool = True) -> T:
        self.transactions += 1
        await asyncio.sleep(self.seconds)
        return await super().write(work, synced=synced)


def echo(_tx: Connection, calls: Sequence[int]) -> list[int | ProsaError]:
    return list(calls)


async def test_a_call_beyond_the_line_of_a_database_that_answers_nothing_is_refused_at_once() -> None:
    async with asyncio.timeout(5), asyncio.TaskGroup() as lanes, asyncio.TaskGroup() as callers:
        stuck = Stuck(lanes)
        calls: Together[int, int] = Together(stuck, echo)
        waiting = [callers.create_task(calls(number)) for number in range(LINE)]
        await asyncio.sleep(0)
        with pytest.raises(Overloaded):
            await calls(LINE)
        stuck.answer.set()
    assert [task.result() for task in waiting] == list(range(LINE))


def test_where_few_calls_come_nobody_waits_for_company() -> None:
    assert company_seconds(BUSY - 1, here=1) == 0


def test_where_many_come_a_transaction_waits_for_a_few_and_never_long() -> None:
    waits = [company_seconds(rate, here=1) for rate in (BUSY, 100.0, 1_000.0, 10_000.0)]
    assert waits[0] == COMPANY_SECONDS
    assert waits == sorted(waits, reverse=True)
    assert all(0 < wait <= COMPANY_SECONDS for wait in waits)


def test_who_has_company_does_not_wait_for_more() -> None:
    assert company_seconds(1_000.0, here=COMPANY + 1) == 0


def test_the_rate_follows_the_calls_and_is_forgotten_without_them() -> None:
    rate = Rate()
    for call in range(500):
        rate.seen(call / 100)
    assert rate.at(5.0) == pytest.approx(100, rel=0.05)
    assert rate.at(15.0) < 1


async def test_a_lone_call_begins_at_once() -> None:
    async with asyncio.TaskGroup() as lanes:
        calls: Together[int, int] = Together(Counting(lanes), echo)
        begun = asyncio.get_running_loop().time()
        await calls(1)
    assert asyncio.get_running_loop().time() - begun < COMPANY_SECONDS


async def test_calls_that_trickle_in_under_load_share_transactions_and_each_gets_its_own_answer() -> None:
    async with asyncio.TaskGroup() as lanes, asyncio.TaskGroup() as callers:
        counting = Counting(lanes)
        calls: Together[int, int] = Together(counting, echo)
        await asyncio.wait([callers.create_task(calls(number)) for number in range(200)])
        before = counting.transactions
        trickle = []
        for number in range(40):
            trickle.append(callers.create_task(calls(number)))
            await asyncio.sleep(0.001)
    assert [task.result() for task in trickle] == list(range(40))
    assert counting.transactions - before <= 40 / 2


async def test_a_crowd_whose_calls_are_each_answered_before_the_next_comes_shares_transactions_too() -> None:
    async with asyncio.TaskGroup() as lanes, asyncio.TaskGroup() as callers:
        counting = Counting(lanes)
        calls: Together[int, int] = Together(counting, echo)
        for number in range(150):
            callers.create_task(calls(number))
            await asyncio.sleep(0.004)
    assert counting.transactions <= 150 / 2


async def test_a_few_callers_who_come_again_and_again_wait_for_nobody_else() -> None:
    """Two who are answered in 2 ms each time: for company they would wait until the timer ends."""

    async def caller(calls: Together[int, int]) -> None:
        for number in range(100):
            await calls(number)

    loop = asyncio.get_running_loop()
    async with asyncio.TaskGroup() as lanes:
        calls: Together[int, int] = Together(Counting(lanes, seconds=0.002), echo)
        begun = loop.time()
        async with asyncio.TaskGroup() as callers:
            for _ in range(2):
                callers.create_task(caller(calls))
    assert loop.time() - begun < 100 * COMPANY_SECONDS / 4


async def test_a_line_that_nobody_serves_any_more_lets_its_callers_go() -> None:
    async with asyncio.TaskGroup() as callers:
        try:
            async with asyncio.TaskGroup() as lanes:
                calls: Together[int, int] = Together(Stuck(lanes), echo)
                waiting = []
                for number in range(LANES + 1):
                    waiting.append(callers.create_task(calls(number)))
                    await asyncio.sleep(0.01)
                raise ConnectionError
        except* ConnectionError:
            pass
        async with asyncio.timeout(1):
            await asyncio.wait(waiting)  # the last of them stood in line
    assert all(task.cancelled() for task in waiting)


async def _cancelled(calls: Together[int, int]) -> None:
    with pytest.raises(asyncio.CancelledError):
        await calls(1)


async def test_a_call_whose_lane_is_cancelled_before_it_began_is_let_go_and_the_next_one_is_told() -> None:
    async with asyncio.timeout(5), asyncio.TaskGroup() as callers:
        calls: Together[int, int]
        try:
            async with asyncio.TaskGroup() as lanes:
                calls = Together(Stuck(lanes), echo)
                waiting = callers.create_task(_cancelled(calls))
                await asyncio.sleep(0)
                raise ConnectionError
        except* ConnectionError:
            pass
        await waiting
        with pytest.raises(RuntimeError):
            await calls(2)
        with pytest.raises(RuntimeError):
            await calls(3)


async def test_a_call_that_comes_as_the_last_lane_ends_is_served() -> None:
    async with asyncio.timeout(5), asyncio.TaskGroup() as lanes:
        calls: Together[int, int] = Together(Counting(lanes), echo)
        for number in range(300):
            assert await calls(number) == number
