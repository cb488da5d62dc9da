"""The page of metrics for scrapers who are many, or do not read."""

import asyncio
from itertools import count

from starlette.types import Message

from prosa.adapters.exposition import AT_ONCE, KEPT_SECONDS, PIECE_BYTES, Exposition
from prosa.testing import ManualClock, settle

SCOPE = {"type": "http"}


class Scraper:
    """Takes so many messages of an answer, and no more."""

    def __init__(self, takes: int = 1_000_000) -> None:
        self.takes = takes
        self.got: list[Message] = []

    async def scrape(self, exposition: Exposition) -> None:
        await exposition()(SCOPE, self.receive, self.send)

    async def receive(self) -> Message:
        raise AssertionError("a scrape has no body")

    async def send(self, message: Message) -> None:
        if len(self.got) == self.takes:
            await asyncio.Event().wait()
        self.got.append(message)

    @property
    def status(self) -> int:
        found: int = self.got[0]["status"]
        return found

    @property
    def headers(self) -> dict[str, str]:
        return {name.decode(): value.decode() for name, value in self.got[0]["headers"]}

    @property
    def body(self) -> bytes:
        return b"".join(message.get("body", b"") for message in self.got[1:])

    @property
    def whole(self) -> bool:
        return not self.got[-1].get("more_body", False) and self.got[-1]["type"] == "http.response.body"


async def test_a_page_comes_whole_and_its_connection_is_closed_behind_it() -> None:
    content = bytes(PIECE_BYTES) + b"the rest"
    scraper = Scraper()
    await scraper.scrape(Exposition(lambda: content, ManualClock()))
    assert (scraper.status, scraper.body, scraper.whole) == (200, content, True)
    assert scraper.headers["content-length"] == str(len(content))
    assert scraper.headers["connection"] == "close"
    assert len(scraper.got) == 4, "a head, two pieces, an end"


async def test_many_who_ask_at_once_get_one_rendering_and_later_ones_a_new_one() -> None:
    clock, rendered = ManualClock(), count(1)
    exposition = Exposition(lambda: str(next(rendered)).encode(), clock)
    bodies = []
    for seconds in (0.0, 0.0, KEPT_SECONDS / 2, KEPT_SECONDS / 2, 0.0):
        await clock.advance(seconds)
        scraper = Scraper()
        await scraper.scrape(exposition)
        bodies.append(scraper.body)
    assert bodies == [b"1", b"1", b"1", b"2", b"2"]


async def test_while_so_many_do_not_read_others_are_told_to_come_again() -> None:
    exposition = Exposition(lambda: b"page", ManualClock())
    async with asyncio.TaskGroup() as group:
        stalled = [group.create_task(Scraper(takes=1).scrape(exposition)) for _ in range(AT_ONCE)]
        await settle()
        assert exposition.sending == AT_ONCE
        late = Scraper()
        await late.scrape(exposition)
        assert (late.status, late.headers["retry-after"], late.headers["connection"]) == (503, "1", "close")
        for task in stalled:
            task.cancel()
    again = Scraper()
    await again.scrape(exposition)
    assert (again.status, again.body) == (200, b"page")


async def test_who_does_not_read_is_cut_off() -> None:
    exposition = Exposition(lambda: b"page", ManualClock(), send_seconds=0.01)
    scraper = Scraper(takes=1)
    async with asyncio.timeout(5):
        await scraper.scrape(exposition)
    assert (scraper.whole, exposition.sending) == (False, 0)
