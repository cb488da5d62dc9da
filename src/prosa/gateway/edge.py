"""The outer edge of HTTP: bodies are bounded in size and time, answers carry safe headers, requests are timed.

Plain ASGI, so that streams pass through; sockets pass by untouched and cost nothing here.
"""

import asyncio
from typing import Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from prosa.gateway.parts import Parts
from prosa.gateway.problems import API_HEADERS, problem

BODY_SECONDS: Final = 30.0


class Edge:
    def __init__(self, app: ASGIApp, parts: Parts) -> None:
        self.app = app
        self.parts = parts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        most = self.parts.limits.frame_bytes
        if _announced(scope) > most:
            await problem("too_large", _too_large(most), retryable=False)(scope, receive, send)
            return
        exchange = Exchange(scope, receive, send, most)
        began = self.parts.clock.monotonic()
        try:
            await self.app(scope, exchange.receive, exchange.send)
        finally:
            self._observe(scope, exchange, self.parts.clock.monotonic() - began)

    def _observe(self, scope: Scope, exchange: "Exchange", seconds: float) -> None:
        if not exchange.stream:
            route = getattr(scope.get("route"), "path", "other")
            self.parts.metrics.observe("http_seconds", seconds, route=route, status=str(exchange.status))


class Exchange:
    """One request and its answer on their way through the edge."""

    def __init__(self, scope: Scope, receive: Receive, send: Send, most: int) -> None:
        self._scope = scope
        self._receive = receive
        self._send = send
        self._most = most
        self._got = 0
        self._whole = False
        # Who raises before it answers is answered for, outside of this edge, with this.
        self.status = 500
        self.stream = False

    async def receive(self) -> Message:
        """Raises HTTPException where the body grows too big or comes too slowly."""
        if self._whole:
            return await self._receive()
        try:
            async with asyncio.timeout(BODY_SECONDS):
                message = await self._receive()
        except TimeoutError as error:
            raise HTTPException(408, "The body did not arrive in time. Send it again.") from error
        self._whole = not message.get("more_body", False)
        self._got += len(message.get("body", b""))
        if self._got > self._most:
            raise HTTPException(413, _too_large(self._most))
        return message

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = MutableHeaders(scope=message)
            self.stream = headers.get("content-type", "").startswith("text/event-stream")
            for name, value in API_HEADERS.items():
                headers.setdefault(name, value)
        await self._send(message)


def _announced(scope: Scope) -> int:
    length = Headers(scope=scope).get("content-length", "0")
    return int(length) if length.isdecimal() else 0


def _too_large(most: int) -> str:
    return f"The body is too big: the limit is {most} bytes. Shorten or split it."
