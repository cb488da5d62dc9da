"""Streams that read in step, so that many of them cost little."""

import asyncio
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from prosa.adapters.openai_engine.beat import FEW, LONGEST_SECONDS, Beat, beat_seconds


@pytest.fixture
def crowd() -> Iterator[Beat]:
    """As many streams as read in step."""
    beat = Beat()
    with ExitStack() as stack:
        for _ in range(FEW):
            stack.enter_context(beat.joined())
        yield beat


def test_few_streams_read_each_token_as_it_comes() -> None:
    assert beat_seconds(FEW - 1) == 0


def test_the_more_streams_the_longer_the_beat_up_to_the_longest() -> None:
    beats = [beat_seconds(streams) for streams in (FEW, 2 * FEW, 100 * FEW, 1_000 * FEW)]
    assert beats == sorted(beats)
    assert beats[0] > 0
    assert beats[-1] == LONGEST_SECONDS


async def test_streams_that_rest_at_different_times_wake_together(crowd: Beat) -> None:
    loop = asyncio.get_running_loop()
    woken = []

    async def stream(late: float) -> None:
        await asyncio.sleep(late)
        await crowd.rest()
        woken.append(loop.time())

    async with asyncio.timeout(5), asyncio.TaskGroup() as streams:
        for late in (0.0, 0.005, 0.01):
            streams.create_task(stream(late))
    assert max(woken) - min(woken) < 0.005


async def test_a_stream_that_is_cancelled_while_it_rests_keeps_none_of_the_others_asleep(crowd: Beat) -> None:
    async with asyncio.timeout(5), asyncio.TaskGroup() as streams:
        leaving = streams.create_task(crowd.rest())
        staying = streams.create_task(crowd.rest())
        await asyncio.sleep(0)
        leaving.cancel()
        await staying
        assert leaving.cancelled()


async def test_who_left_is_not_counted() -> None:
    beat = Beat()
    for _ in range(2 * FEW):
        with beat.joined():
            pass
    begun = asyncio.get_running_loop().time()
    with beat.joined():
        await beat.rest()
    assert asyncio.get_running_loop().time() - begun < 0.01
