"""The gateway in process: the real store on SQLite, the real intake and hub, a manual clock, and a worker by hand."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self
from uuid import UUID, uuid4

import httpx2
from fastapi import FastAPI
from sqlalchemy import create_engine
from starlette.types import ASGIApp, Message

from prosa.adapters.exposition import Exposition
from prosa.adapters.memory_bus import MemoryBus
from prosa.adapters.metrics import PrometheusMetrics
from prosa.adapters.sql.store import Store, open_store
from prosa.adapters.sql.tables import metadata
from prosa.adapters.tokens import SystemTokens
from prosa.app.access import Access
from prosa.app.accounts import AccountOptions, Accounts
from prosa.app.chats import Chats
from prosa.app.intake import Intake
from prosa.app.operations import Administration
from prosa.app.spans import Spans
from prosa.core import events
from prosa.core.events import RunEvent
from prosa.core.model import Catalogue
from prosa.core.policy import Limits
from prosa.core.run import Claimant, End
from prosa.gateway.asgi import Options, Parts, application
from prosa.gateway.hub import Hub
from prosa.gateway.throttle import Throttle
from prosa.testing import KeptTraces, ManualClock, settle

PASSWORD: Final = "correct horse"
LIMITS: Final = Limits(text_bytes=1024)
WORKER: Final = "wk-test"
BASE: Final = "http://prosa.test"


class PlainPasswords:
    """Fast, for tests of what is around it."""

    async def hash(self, password: str) -> str:
        return f"hash of {password}"

    async def verify(self, password: str, digest: str | None) -> bool:
        return digest == f"hash of {password}"


@dataclass
class Person:
    """Somebody signed in, with a browser's cookie."""

    name: str
    id: UUID
    client: httpx2.AsyncClient

    async def ask(self, text: str = "What is a run?", **body: object) -> dict[str, Any]:
        """Send a message to a new chat, or to the one in ``body``; the answer as ``accepted``."""
        chat = body.pop("chat", None) or uuid4()
        sent = {"id": str(uuid4()), "text": text, **body}
        answer = await self.client.post(f"/api/chats/{chat}/messages", json=sent)
        assert answer.status_code == 202, answer.text
        accepted: dict[str, Any] = answer.json()
        return accepted


@dataclass
class World:
    store: Store
    clock: ManualClock
    bus: MemoryBus
    hub: Hub
    traces: KeptTraces
    metrics: PrometheusMetrics
    parts: Parts
    app: FastAPI
    clients: list[httpx2.AsyncClient] = field(default_factory=list)

    def client(self, address: str = "192.0.2.1", **options: Any) -> httpx2.AsyncClient:  # noqa: ANN401 — httpx's own
        transport = httpx2.ASGITransport(self.app, raise_app_exceptions=False, client=(address, 1))
        made = httpx2.AsyncClient(transport=transport, **{"base_url": BASE, **options})
        self.clients.append(made)
        return made

    def shown(self) -> str:
        """The metrics at this moment."""
        return self.metrics.exposition().decode()

    async def scraped(self) -> str:
        """The metrics, as a Prometheus on the same machine gets them."""
        answer = await self.client("127.0.0.1", base_url="http://127.0.0.1:8000").get("/metrics")
        assert answer.status_code == 200, answer.text
        return answer.text

    async def person(self, name: str) -> Person:
        client = self.client()
        answer = await client.post("/api/auth/register", json={"username": name, "password": PASSWORD})
        assert answer.status_code == 201, answer.text
        return Person(name, UUID(answer.json()["id"]), client)

    async def token(self, name: str) -> str:
        answer = await self.client().post("/api/auth/token", json={"username": name, "password": PASSWORD})
        return str(answer.json()["access_token"])

    async def claim(self, run: str, claim: int = 1) -> Claimant:
        claimant = Claimant(UUID(run), WORKER, claim)
        await self.store.sweeps.heartbeat(WORKER, slots=1, draining=False)
        assert await self.store.runs.claim(claimant, lease_seconds=3, continues=(), limits=LIMITS)
        return claimant

    async def finish(self, claimant: Claimant, text: str, end: End) -> None:
        committed = await self.store.runs.finish(claimant, text, end, LIMITS)
        assert committed.mine

    def say(self, *told: RunEvent) -> None:
        """A frame from the worker to this gateway."""
        self.bus.send(self.hub.name, events.frame(WORKER, told))


@asynccontextmanager
async def open_world(folder: Path, **options: Any) -> AsyncIterator[World]:  # noqa: ANN401 — see _parts
    database = folder / "prosa.db"
    engine = create_engine(f"sqlite:///{database}")
    metadata.create_all(engine)
    engine.dispose()
    async with open_store(f"sqlite:///{database}") as store, asyncio.TaskGroup() as tasks:
        world = _assembled(store, **options)
        running = tasks.create_task(world.hub.run())
        yield world
        for client in world.clients:
            await client.aclose()
        running.cancel()


def _assembled(
    store: Store,
    *,
    sign_up: bool = True,
    throttled: bool = False,
    alone: bool = False,
    wrap: Callable[[Parts], Parts] = lambda parts: parts,
    **options: Any,  # noqa: ANN401 — fields of Options
) -> World:
    clock, metrics, tokens = ManualClock(), PrometheusMetrics(), SystemTokens()
    traces = KeptTraces()
    spans = Spans(traces, clock, "gw-test")
    bus = MemoryBus(metrics)
    access = Access(store.sign_ins, tokens, clock)
    hub = Hub(
        name="gw-test",
        bus=bus,
        reads=store.reads,
        chats=store.chats,
        sign_ins=store.sign_ins,
        clock=clock,
        metrics=metrics,
        spans=spans,
        revoked=access.forget,
    )
    intake = Intake(
        runs=store.runs,
        bus=bus,
        tokens=tokens,
        catalogue=Catalogue({"scripted": "main", "other": "main"}),
        limits=LIMITS,
        metrics=metrics,
        spans=spans,
        announce=hub.announce,
    )
    parts = Parts(
        accounts=Accounts(store.users, store.sign_ins, PlainPasswords(), tokens, AccountOptions(sign_up=sign_up)),
        administration=Administration(
            operations=store.operations,
            letters=bus,
            intake=intake,
            clock=clock,
            models={"scripted": "main", "other": "main"},
            alone=alone,
        ),
        access=access,
        chats=Chats(store.chats, intake),
        intake=intake,
        hub=hub,
        reads=store.reads,
        metrics=metrics,
        exposition=Exposition(metrics.exposition, clock),
        clock=clock,
        throttle=Throttle(clock, on=throttled),
        limits=LIMITS,
        models=("scripted", "other"),
        options=replace(Options(version="1.2.3"), **options),
        ready=lambda: True,
    )
    parts = wrap(parts)
    return World(store, clock, bus, hub, traces, metrics, parts, application(parts))


# ── streams ──


@dataclass(frozen=True)
class Event:
    """One server-sent event."""

    id: str
    kind: str
    data: dict[str, Any]

    @classmethod
    def of(cls, block: str) -> Self:
        lines = dict(line.split(": ", 1) for line in block.split("\n"))
        return cls(lines["id"], lines["event"], json.loads(lines["data"]))


class Stream:
    """A client of a stream, which the test transports of HTTP libraries would only hand over at its end."""

    def __init__(self) -> None:
        self.status: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self.headers: dict[str, str] = {}
        self.comments = 0
        self._chunks: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._left = asyncio.Event()
        self._asked = False
        self._buffer = ""

    async def receive(self) -> Message:
        if not self._asked:
            self._asked = True
            return {"type": "http.request", "body": b"", "more_body": False}
        await self._left.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Any) -> None:  # noqa: ANN401 — ASGI's own
        if message["type"] == "http.response.start":
            self.headers = {name.decode(): value.decode() for name, value in message["headers"]}
            self.status.set_result(message["status"])
            return
        self._chunks.put_nowait(message.get("body", b""))
        if not message.get("more_body", False):
            self._chunks.put_nowait(None)

    def leave(self) -> None:
        self._left.set()

    async def event(self) -> Event | None:
        """The next event; None at the end of the stream."""
        while True:
            block, found, rest = self._buffer.partition("\n\n")
            if not found:
                chunk = await self._chunks.get()
                if chunk is None:
                    return None
                self._buffer += chunk.decode()
                continue
            self._buffer = rest
            if block.startswith("id: "):
                return Event.of(block)
            self.comments += block.startswith(":")

    async def rest(self) -> list[Event]:
        found = []
        while (event := await self.event()) is not None:
            found.append(event)
        return found


class following:
    """The stream of a run's events, as ``client`` gets it."""

    def __init__(self, app: ASGIApp, client: httpx2.AsyncClient, run: str, **headers: str) -> None:
        self._app = app
        self._request = client.build_request("GET", f"/api/runs/{run}/events", headers=headers)
        self._stream = Stream()
        self._tasks = asyncio.TaskGroup()

    async def __aenter__(self) -> Stream:
        await self._tasks.__aenter__()
        self._tasks.create_task(self._call())
        await self._stream.status
        # Nobody polls under a manual clock: what is said before the hub knows its reader would be lost on it.
        await settle()
        return self._stream

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stream.leave()
        await self._tasks.__aexit__(kind, error, trace)

    async def _call(self) -> None:
        await self._app(scope_of(self._request), self._stream.receive, self._stream.send)


def scope_of(request: httpx2.Request) -> dict[str, Any]:
    return {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": request.method,
        "scheme": "http",
        "path": request.url.path,
        "raw_path": request.url.raw_path,
        "query_string": request.url.query,
        "root_path": "",
        "headers": [(name.lower(), value) for name, value in request.headers.raw],
        "client": ("192.0.2.1", 1),
        "server": ("prosa.test", 80),
    }


def problem(answer: httpx2.Response, status: int, code: str, **headers: str) -> Mapping[str, Any]:
    """The body of the problem that the answer must be."""
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json"), answer.text
    body: dict[str, Any] = answer.json()
    assert body["code"] == code, body
    assert set(body) == {"type", "title", "status", "detail", "code", "retryable"}
    assert body["status"] == status
    assert {name: answer.headers[name] for name in headers} == headers
    return body
