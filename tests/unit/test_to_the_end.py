"""What is closed is closed whole, whoever is cancelled meanwhile."""

import asyncio

import pytest

from prosa.adapters.sql.database import to_the_end


class Door:
    def __init__(self) -> None:
        self.push = asyncio.Event()
        self.shut = False

    async def close(self) -> None:
        await self.push.wait()
        self.shut = True


async def test_a_cancelled_caller_closes_to_the_end_and_is_cancelled_then() -> None:
    door = Door()
    async with asyncio.TaskGroup() as group:
        caller = group.create_task(to_the_end(door.close()))
        await asyncio.sleep(0)
        caller.cancel()
        await asyncio.sleep(0)
        assert not caller.done()
        door.push.set()
        with pytest.raises(asyncio.CancelledError):
            await caller
    assert door.shut


async def test_what_never_closes_is_left_after_its_time() -> None:
    door = Door()
    await to_the_end(door.close(), seconds=0.01)
    assert not door.shut


async def test_a_failure_is_the_callers() -> None:
    async def broken() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await to_the_end(broken())
