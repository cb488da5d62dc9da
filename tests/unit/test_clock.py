"""The clocks: the machine's, and the one that a test moves."""

import asyncio
from datetime import UTC, timedelta

from prosa.adapters.clock import SystemClock
from prosa.testing import START, ManualClock


async def test_the_system_clock_tells_utc_and_never_goes_back() -> None:
    clock = SystemClock()
    before = clock.monotonic()
    await clock.sleep(0.001)
    assert clock.monotonic() > before
    assert clock.now().tzinfo is UTC


async def test_sleepers_wake_in_the_order_of_their_times_at_their_times() -> None:
    clock = ManualClock()
    woken: list[tuple[str, float]] = []

    async def sleeper(name: str, seconds: float) -> None:
        await clock.sleep(seconds)
        woken.append((name, clock.monotonic()))

    async with asyncio.TaskGroup() as group:
        group.create_task(sleeper("late", 3))
        group.create_task(sleeper("early", 1))
        await clock.asleep(2)
        await clock.advance(0.5)
        assert woken == []
        await clock.advance(5)
    assert woken == [("early", 1), ("late", 3)]
    assert clock.now() == START + timedelta(seconds=5.5)


async def test_one_who_sleeps_again_is_woken_as_often_as_time_allows() -> None:
    clock = ManualClock()
    ticks: list[float] = []

    async def ticker() -> None:
        while len(ticks) < 4:
            await clock.sleep(0.5)
            ticks.append(clock.monotonic())

    async with asyncio.TaskGroup() as group:
        group.create_task(ticker())
        await clock.asleep()
        await clock.advance(2)
    assert ticks == [0.5, 1.0, 1.5, 2.0]


async def test_a_sleeper_that_was_cancelled_is_forgotten() -> None:
    clock = ManualClock()
    async with asyncio.TaskGroup() as group:
        sleeper = group.create_task(clock.sleep(1))
        await clock.asleep()
        sleeper.cancel()
        await clock.advance(2)
    assert clock.sleepers == 0
