"""Scrapers that ask and never read: no answer is later for them, and they hold nothing of the process."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from itertools import pairwise
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp
import msgspec

from prosa.adapters.exposition import AT_ONCE
from prosa.adapters.scripted_engine import expected_reply
from tests.system.cluster import House, Nodes, house, until
from tests.system.harness import Person, Tab

SCRAPERS = 300
"""At each process."""
ASKS = 10
"""Of each scraper, one behind the other without waiting."""
PEOPLE = 8
QUESTION = "Is anybody waiting? [[n=80 r=40]]"
FIRST_SECONDS = 1.0
GAP_SECONDS = 1.0


class Lived(msgspec.Struct, frozen=True):
    """What somebody lived through: seconds to the first text, and the longest between two texts."""

    first: float
    gap: float


async def asked(tab: Tab) -> Lived:
    seen = len(tab.frames)
    accepted = await tab.ask(QUESTION)
    begun = tab.times[-1]
    reader = await tab.answer(accepted["run"])
    assert reader.text == expected_reply(QUESTION)
    times = [at for at, frame in zip(tab.times[seen:], tab.frames[seen:], strict=True) if frame["type"] == "delta"]
    return Lived(times[0] - begun, max(later - earlier for earlier, later in pairwise(times)))


async def all_asked(tabs: list[Tab]) -> list[Lived]:
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(asked(tab)) for tab in tabs]
    return [task.result() for task in tasks]


@asynccontextmanager
async def people(built: House) -> AsyncIterator[list[Tab]]:
    async with AsyncExitStack() as stack:
        persons = [await Person.sign_up(built.base) for _ in range(PEOPLE)]
        yield [await stack.enter_async_context(person.socket()) for person in persons]


async def stall(stack: AsyncExitStack, address: str) -> None:
    """Many connections, one after the other, that ask for the metrics and read nothing."""
    parts = urlsplit(address)
    ask = f"GET /metrics HTTP/1.1\r\nHost: {parts.netloc}\r\n\r\n".encode() * ASKS
    loop = asyncio.get_running_loop()
    for _ in range(SCRAPERS):
        scraper = stack.enter_context(socket.socket())
        scraper.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        scraper.setblocking(False)
        await loop.sock_connect(scraper, (parts.hostname, parts.port))
        await loop.sock_sendall(scraper, ask)
        await asyncio.sleep(0.005)


def open_files(built: House, name: str) -> int:
    return len(list(Path(f"/proc/{built.cluster.process(name).pid}/fd").iterdir()))


async def test_scrapers_that_never_read_slow_no_answer_and_hold_few_connections(nodes: Nodes) -> None:
    await nodes.heal()
    names = ("gateway-1", "worker-1")
    async with house(nodes, gateways=1, workers=1, proxied=False) as built, people(built) as tabs:
        await all_asked(tabs)
        before = {name: open_files(built, name) for name in names}
        async with AsyncExitStack() as scrapers, asyncio.TaskGroup() as group:
            stalling = [group.create_task(stall(scrapers, built.at(name))) for name in names]
            lived = await all_asked(tabs)
            lived += await all_asked(tabs)
            assert max(one.first for one in lived) < FIRST_SECONDS, lived
            assert max(one.gap for one in lived) < GAP_SECONDS, lived
            await asyncio.wait(stalling)
            for name in names:
                await until(partial(few, built, name, before[name]), 10)
                async with aiohttp.ClientSession() as http, http.get(f"{built.at(name)}/metrics") as response:
                    assert response.status == 200
                    assert "prosa_build_info{" in await response.text()


async def few(built: House, name: str, before: int) -> bool:
    return open_files(built, name) <= before + AT_ONCE + 8
