"""A real HTTP server on the loopback interface that behaves as model servers do, and as they should not."""

import asyncio
import contextlib
import json
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager

SSE = "text/event-stream; charset=utf-8"


class Exchange:
    """One request, and the wire to answer on."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self.path = ""
        self.headers: dict[str, str] = {}
        self.body: dict[str, object] = {}
        self.left = asyncio.Event()
        """Set when the client is gone."""

    async def receive(self) -> bool:
        """Reads the next request of the connection; False at its end."""
        try:
            head = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            self.path = head[0].split(" ")[1]
            self.headers = {
                name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:] if line)
            }
            body = await self._reader.readexactly(int(self.headers.get("content-length", "0")))
        except (asyncio.IncompleteReadError, ConnectionError):
            return False
        self.body = json.loads(body) if body else {}
        return True

    async def begin(self, status: int = 200, content_type: str = SSE, headers: Mapping[str, str] | None = None) -> None:
        lines = [f"HTTP/1.1 {status} Said", f"Content-Type: {content_type}", "Transfer-Encoding: chunked"]
        lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
        await self._write("\r\n".join([*lines, "", ""]).encode())

    async def send(self, data: bytes) -> None:
        await self._write(b"%x\r\n%s\r\n" % (len(data), data))

    async def event(self, said: object, *, end: str = "\n\n") -> None:
        await self.send(f"data: {said if isinstance(said, str) else json.dumps(said)}{end}".encode())

    async def end(self) -> None:
        await self._write(b"0\r\n\r\n")

    def cut(self) -> None:
        """The connection breaks."""
        self._writer.transport.abort()

    async def gone(self) -> None:
        """Says nothing until the client leaves."""
        with contextlib.suppress(ConnectionError):
            await self._reader.read(1)
        self.left.set()

    async def _write(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()


Behaviour = Callable[[Exchange], Awaitable[None]]


def word(text: str | None, finish: str | None = None) -> dict[str, object]:
    delta = {} if text is None else {"content": text}
    return {"object": "chat.completion.chunk", "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}


USAGE = {"choices": [], "usage": {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}}


def says(texts: Sequence[str], *, per_second: float | None = None, finish: str = "stop") -> Behaviour:
    """Streams the texts as a server should; ``per_second`` None: as fast as it can."""

    async def behave(exchange: Exchange) -> None:
        await exchange.begin()
        await exchange.event({"choices": [{"index": 0, "delta": {"role": "assistant", "content": None}}]})
        for text in texts:
            await exchange.event(word(text))
            if per_second:
                await asyncio.sleep(1 / per_second)
        await exchange.event(word(None, finish))
        await exchange.event(USAGE)
        await exchange.event("[DONE]")
        await exchange.end()

    return behave


def sends(*parts: bytes, content_type: str = SSE) -> Behaviour:
    """Exactly these bytes, each part by itself, and the end of the answer."""

    async def behave(exchange: Exchange) -> None:
        await exchange.begin(content_type=content_type)
        for part in parts:
            await exchange.send(part)
            await asyncio.sleep(0.005)
        await exchange.end()

    return behave


def answers(
    status: int, body: str, headers: Mapping[str, str] | None = None, kind: str = "application/json"
) -> Behaviour:
    """A whole answer that is no stream."""

    async def behave(exchange: Exchange) -> None:
        await exchange.begin(status, kind, headers)
        if body:
            await exchange.send(body.encode())
        await exchange.end()

    return behave


def hangs(after: Sequence[str] | None = None) -> Behaviour:
    """Nothing more behind these texts; None: not even headers."""

    async def behave(exchange: Exchange) -> None:
        if after is not None:
            await exchange.begin()
            for text in after:
                await exchange.event(word(text))
        await exchange.gone()

    return behave


def breaks(after: Sequence[str] | None = None, *, politely: bool = False) -> Behaviour:
    """The connection breaks behind these texts; ``politely``: the answer ends as if it were whole."""

    async def behave(exchange: Exchange) -> None:
        if after is not None:
            await exchange.begin()
            for text in after:
                await exchange.event(word(text))
            await asyncio.sleep(0.01)
        if politely:
            await exchange.end()
        else:
            exchange.cut()

    return behave


class FakeModelServer:
    """Answers each request as the next of ``behaviours`` says, the last of them for ever."""

    def __init__(self, base_url: str) -> None:
        self.base_url = base_url
        self.behaviours: list[Behaviour] = [says(["ok"])]
        self.exchanges: list[Exchange] = []
        self.connections = 0
        self.asked = asyncio.Event()
        """Set when a request for an answer came."""
        self.models = answers(200, json.dumps({"data": [{"id": "m"}, {"id": "n"}]}))

    def next(self, *behaviours: Behaviour) -> None:
        self.behaviours = list(behaviours)
        self.exchanges.clear()
        self.asked.clear()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while await (exchange := Exchange(reader, writer)).receive():
                await self._behave(exchange)
        except ConnectionError:
            exchange.left.set()
        finally:
            writer.close()

    async def _behave(self, exchange: Exchange) -> None:
        if exchange.path.endswith("/models"):
            await self.models(exchange)
            return
        self.exchanges.append(exchange)
        self.asked.set()
        behaviour = self.behaviours.pop(0) if len(self.behaviours) > 1 else self.behaviours[0]
        await behaviour(exchange)


@asynccontextmanager
async def fake_model_server() -> AsyncGenerator[FakeModelServer]:
    fake = FakeModelServer("")
    server = await asyncio.start_server(fake.serve, "127.0.0.1", 0)
    fake.base_url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    try:
        yield fake
    finally:
        server.close()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(1):
                await server.wait_closed()
