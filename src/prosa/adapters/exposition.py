"""The page of metrics over HTTP, for scrapers who may be many, ask again and again, and never read.

A page is rendered at most four times a second, is sent to a few at once, and its connection is closed behind it: who
does not read holds neither the event loop nor, beyond SEND_SECONDS, a place here.
"""

import asyncio
from collections.abc import Callable, Iterator
from typing import Final

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from prosa.ports import Clock

TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
KEPT_SECONDS: Final = 0.25
"""Rendering takes some milliseconds of the event loop, in which no answer moves on."""
AT_ONCE: Final = 16
SEND_SECONDS: Final = 5.0
"""A scraper that has not taken the page by then is cut off. Prometheus gives up after 10 s itself."""
PIECE_BYTES: Final = 16 * 1024
# Prometheus opens another connection for its next scrape: cheap every 15 s, and nothing stays with who forgets us.
CLOSED: Final = {"connection": "close", "cache-control": "no-store"}


class Exposition:
    """Called once for each scrape. ``render`` makes the page."""

    def __init__(self, render: Callable[[], bytes], clock: Clock, send_seconds: float = SEND_SECONDS) -> None:
        self.send_seconds = send_seconds
        self._render = render
        self._clock = clock
        self._page = b""
        self._rendered_at: float | None = None
        self.sending = 0

    def __call__(self) -> Response:
        """The page, or 503 while it is sent to as many as may be."""
        if self.sending >= AT_ONCE:
            busy = "Too many scrapes at once. Try again.\n"
            return Response(busy, 503, {**CLOSED, "retry-after": "1"}, "text/plain; charset=utf-8")
        return Page(self._current(), self)

    def _current(self) -> bytes:
        now = self._clock.monotonic()
        if self._rendered_at is None or now - self._rendered_at >= KEPT_SECONDS:
            self._page, self._rendered_at = self._render(), now
        return self._page


class Page(Response):
    """Sent in pieces, so that it is noticed when nobody takes them."""

    def __init__(self, content: bytes, exposition: Exposition) -> None:
        super().__init__(content, headers=CLOSED, media_type=TYPE)
        self._exposition = exposition

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._exposition.sending += 1
        try:
            async with asyncio.timeout(self._exposition.send_seconds):
                await self._send(send)
        except TimeoutError:
            # The server sees that the answer is not whole, and closes the connection.
            return
        finally:
            self._exposition.sending -= 1

    async def _send(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        for piece in _pieces(bytes(self.body)):
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b""})


def _pieces(content: bytes) -> Iterator[bytes]:
    for start in range(0, len(content), PIECE_BYTES):
        yield content[start : start + PIECE_BYTES]
