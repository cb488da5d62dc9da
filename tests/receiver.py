"""A receiver of OTLP's traces: it decodes what it is sent, as Jaeger or Tempo would."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Self
from uuid import UUID

import msgspec
from aiohttp import web
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span as Message


class Seen(msgspec.Struct, frozen=True):
    """One span as it came, and of which process."""

    service: str
    instance: str
    name: str
    trace: str
    id: str
    parent: str
    links: tuple[tuple[str, str], ...]
    attributes: dict[str, str | int]
    events: dict[str, float]
    begun: float
    ended: float
    error: str

    @classmethod
    def of(cls, message: Message, resource: Mapping[str, str | int]) -> Self:
        return cls(
            service=str(resource["service.name"]),
            instance=str(resource["service.instance.id"]),
            name=message.name,
            trace=message.trace_id.hex(),
            id=message.span_id.hex(),
            parent=message.parent_span_id.hex(),
            links=tuple((link.trace_id.hex(), link.span_id.hex()) for link in message.links),
            attributes=values(message.attributes),
            events={event.name: event.time_unix_nano / 1e9 for event in message.events},
            begun=message.start_time_unix_nano / 1e9,
            ended=message.end_time_unix_nano / 1e9,
            error=message.status.message if message.status.code == message.status.StatusCode.STATUS_CODE_ERROR else "",
        )


def values(pairs: "object") -> dict[str, str | int]:
    found: dict[str, str | int] = {}
    for pair in pairs:  # type: ignore[attr-defined] # protobuf's own container
        assert isinstance(pair, KeyValue)
        found[pair.key] = pair.value.string_value or pair.value.int_value
    return found


class Receiver:
    """``answers`` are the next statuses; 200 behind them."""

    def __init__(self) -> None:
        self.spans: list[Seen] = []
        self.bodies: list[bytes] = []
        self.headers: list[Mapping[str, str]] = []
        self.answers: list[int] = []
        self.address = ""

    async def _take(self, request: web.Request) -> web.Response:
        body = await request.read()
        self.headers.append(request.headers)
        if self.answers and (status := self.answers.pop(0)) != 200:
            return web.Response(status=status)
        self.bodies.append(body)
        for group in ExportTraceServiceRequest.FromString(body).resource_spans:
            resource = values(group.resource.attributes)
            self.spans += [Seen.of(span, resource) for scope in group.scope_spans for span in scope.spans]
        return web.Response(body=b"", content_type="application/x-protobuf")

    def of(self, run: UUID) -> list[Seen]:
        return [span for span in self.spans if span.trace == run.hex]

    async def until(self, count: int, run: UUID | None = None, seconds: float = 20) -> list[Seen]:
        """So many spans, of the run or of all."""
        async with asyncio.timeout(seconds):
            while len(found := self.of(run) if run else self.spans) < count:  # noqa: ASYNC110 — nobody tells a loop of this count
                await asyncio.sleep(0.02)
        return found


@asynccontextmanager
async def receiving(port: int = 0) -> AsyncIterator[Receiver]:
    receiver = Receiver()
    app = web.Application(client_max_size=2**24)
    app.router.add_post("/v1/traces", receiver._take)
    runner = web.AppRunner(app, shutdown_timeout=1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    receiver.address = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield receiver
    finally:
        await runner.cleanup()


@asynccontextmanager
async def hanging() -> AsyncIterator[str]:
    """The address of one that accepts, reads a little, and never answers."""
    gone = asyncio.Event()

    async def swallow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        await gone.wait()
        writer.close()

    async with await asyncio.start_server(swallow, "127.0.0.1", 0) as server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        gone.set()
