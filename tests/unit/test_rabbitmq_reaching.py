"""What the client library does to a cancellation, put right."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from aiormq.exceptions import ChannelClosed

from prosa.adapters.rabbitmq_bus.failures import Lost, reaching


async def nothing() -> None:
    """The library closes a channel, and what cancels it meanwhile is suppressed."""
    try:
        await asyncio.sleep(10)
    except asyncio.CancelledError:
        return


async def an_error() -> None:
    """The library ends a wait with its own reason."""
    try:
        await asyncio.sleep(10)
    except asyncio.CancelledError:
        raise ChannelClosed(None, None) from None


async def itself() -> None:
    await asyncio.sleep(10)


@pytest.mark.parametrize("becomes", [nothing, an_error, itself])
async def test_a_cancellation_comes_out_whatever_the_library_makes_of_it(
    becomes: Callable[[], Awaitable[None]],
) -> None:
    after: list[str] = []

    async def work() -> None:
        with reaching():
            await becomes()
        after.append("went on")

    async with asyncio.TaskGroup() as group:
        task = group.create_task(work())
        await asyncio.sleep(0)
        task.cancel()
    assert task.cancelled()
    assert after == []


async def test_an_end_of_the_librarys_own_is_lost() -> None:
    for error in (asyncio.CancelledError(), ChannelClosed(None, None), TimeoutError(), ConnectionResetError()):
        with pytest.raises(Lost), reaching():
            raise error


async def test_a_deadline_of_ours_inside_is_no_cancellation() -> None:
    with pytest.raises(Lost), reaching():
        async with asyncio.timeout(0):
            await asyncio.sleep(10)
