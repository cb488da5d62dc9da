"""A deadline for each of many waits, by one timer."""

import asyncio

import pytest

from prosa.gateway.patience import patient

SECONDS = 0.05


async def stuck(*, after: float = 0) -> None:
    """Wait for nothing, begun so long after a first wait."""
    async with patient(SECONDS) as patience:
        patience.begins()
        if after:
            patience.ends()
            await asyncio.sleep(after)
            patience.begins()
        await asyncio.sleep(5)


async def test_a_wait_that_takes_longer_is_ended() -> None:
    with pytest.raises(TimeoutError):
        await stuck()


async def test_a_wait_that_begins_while_the_timer_runs_has_its_whole_time() -> None:
    begun = asyncio.get_running_loop().time()
    with pytest.raises(TimeoutError):
        await stuck(after=SECONDS / 2)
    assert asyncio.get_running_loop().time() - begun >= SECONDS * 1.5


async def test_short_waits_and_the_time_between_them_end_nothing() -> None:
    async with patient(SECONDS) as patience:
        for _ in range(5):
            patience.begins()
            await asyncio.sleep(SECONDS / 5)
            patience.ends()
        await asyncio.sleep(SECONDS * 3)


async def test_nothing_is_left_behind() -> None:
    reported: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: reported.append(context))
    async with patient(SECONDS) as patience:
        patience.begins()
    await asyncio.sleep(SECONDS * 2)
    assert reported == []
