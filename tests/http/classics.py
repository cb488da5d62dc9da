"""The classic socket in process: a client's end of it, a store that is away when a test says so, a worker by hand."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, Final, TypeVar, cast
from uuid import UUID

from starlette.types import Message

from prosa.adapters.clock import SystemClock
from prosa.adapters.metrics import NullMetrics
from prosa.adapters.tokens import SystemTokens
from prosa.adapters.traces import NullTraces
from prosa.app.intake import Intake
from prosa.app.spans import Spans
from prosa.core.classic import RECEIVED, SENTENCES, Opened, Saying, Sender
from prosa.core.errors import StoreUnavailable
from prosa.core.events import Over
from prosa.core.model import Catalogue
from prosa.core.relay import Row
from prosa.core.run import Claimant, End, Finish, RunState
from prosa.gateway.classic import SEND_SECONDS, ClassicDoor, route
from prosa.ports import Classic
from prosa.testing import settle
from tests.http.world import LIMITS, Person, World

T = TypeVar("T")
DONE: Final = End(RunState.DONE, Finish.STOP)
WAIT_SECONDS: Final = 10.0


class Owed:
    """The store's port, away where a test says so."""

    def __init__(self, owed: Classic) -> None:
        self.owed = owed
        self.away: set[str] = set()
        self.tells = 0
        self.held = asyncio.Event()
        self.held.set()

    async def enter(self, chat: UUID) -> Opened:
        return await self._faulty("enter", self.owed.enter(chat))

    async def next(self, chat: UUID, after: int) -> Row | None:
        return await self._faulty("next", self.owed.next(chat, after))

    async def tell(self, chat: UUID, ordinal: int) -> None:
        self.tells += 1
        await self.held.wait()
        await self._faulty("tell", self.owed.tell(chat, ordinal))

    async def _faulty(self, name: str, answer: Awaitable[T]) -> T:
        result = await answer
        if name in self.away:
            raise StoreUnavailable("away")
        return result


class Socket:
    """A client's end, in process. ``stalled``: it reads nothing. ``gone``: what is sent to it is lost with an error."""

    def __init__(self) -> None:
        self.sent: asyncio.Queue[Message] = asyncio.Queue()
        self.read = asyncio.Event()
        self.read.set()
        self.gone = False
        self.lost = asyncio.Event()
        self._inbox: asyncio.Queue[Message] = asyncio.Queue()
        self._inbox.put_nowait({"type": "websocket.connect"})

    async def receive(self) -> Message:
        return await self._inbox.get()

    async def send(self, message: Any) -> None:  # noqa: ANN401 - ASGI's own
        if message["type"] == "websocket.send":
            await self.read.wait()
            if self.gone:
                self.lost.set()
                raise OSError("gone")
        self.sent.put_nowait(dict(message))
        if message["type"] == "websocket.close":
            self.leave()

    def say(self, text: str) -> None:
        self._inbox.put_nowait({"type": "websocket.receive", "text": text})

    def say_bytes(self, data: bytes) -> None:
        self._inbox.put_nowait({"type": "websocket.receive", "bytes": data})

    def leave(self) -> None:
        self._inbox.put_nowait({"type": "websocket.disconnect", "code": 1006})

    async def message(self) -> Message:
        async with asyncio.timeout(WAIT_SECONDS):
            return await self.sent.get()

    async def told(self) -> Saying:
        """The next frame: exactly two fields."""
        message = await self.message()
        assert message["type"] == "websocket.send", message
        body = json.loads(message["text"])
        assert list(body) == ["sender", "content"]
        return Saying(Sender(body["sender"]), body["content"])

    async def code(self) -> int:
        """The code with which it is closed."""
        message = await self.message()
        assert message["type"] == "websocket.close", message
        return int(message["code"])

    async def ask(self, text: str) -> None:
        self.say(text)
        assert await self.told() == RECEIVED

    async def silent(self) -> None:
        """Nothing else comes before the answer to an empty message."""
        self.say("")
        assert await self.told() == Saying(Sender.SYSTEM, SENTENCES["bad_text"])


class Classics:
    """A world with the classic socket on, a user and chats, and a worker by hand."""

    def __init__(
        self, world: World, ana: Person, *, intake: Intake | None = None, send_seconds: float = SEND_SECONDS
    ) -> None:
        self.world = world
        self.ana = ana
        self.owed = Owed(world.store.classic)
        door = ClassicDoor(
            intake=intake or cast("Intake", world.parts.intake),
            hub=world.hub,
            owed=self.owed,
            clock=world.clock,
            metrics=world.parts.metrics,
            origins=frozenset({"https://chat.example.org"}),
            sockets_a_user=3,
            send_seconds=send_seconds,
        )
        world.app.router.routes.insert(0, route(door))

    async def chat(self) -> UUID:
        """A chat with one exchange that was not asked over the classic socket."""
        accepted = await self.ana.ask("from the page")
        await self.answer(UUID(accepted["run"]), "to the page")
        return UUID(accepted["chat"])

    @asynccontextmanager
    async def raw(self, query: str, **headers: str) -> AsyncIterator[Socket]:
        """A handshake; nothing is expected of it."""
        socket = Socket()
        scope = {
            "type": "websocket",
            "path": "/ws_chat",
            "query_string": query.encode(),
            "headers": [(b"host", b"prosa.test"), *((k.encode(), v.encode()) for k, v in headers.items())],
            "subprotocols": [],
        }
        async with asyncio.TaskGroup() as group:
            group.create_task(self.world.app(scope, socket.receive, socket.send))
            yield socket
            socket.leave()

    @asynccontextmanager
    async def open(self, chat: UUID) -> AsyncIterator[Socket]:
        """A connection that has looked for what is owed to it."""
        async with self.raw(f"id={chat}") as socket:
            assert (await socket.message())["type"] == "websocket.accept"
            yield socket

    async def runs(self, chat: UUID) -> list[Row]:
        """The owed replies that are not told."""
        after, rows = (await self.owed.owed.enter(chat)).told, []
        while (row := await self.owed.owed.next(chat, after)) is not None:
            rows.append(row)
            after = row.ordinal
        return rows

    async def claim(self, run: UUID) -> Claimant:
        return await self.world.claim(str(run))

    async def answer(self, run: UUID, text: str, end: End = DONE, *, quiet: bool = False) -> None:
        """End a run, and tell all gateways unless that is lost (``quiet``)."""
        await self.world.finish(await self.claim(run), text, end)
        if not quiet:
            row = (await self.world.store.reads.rows([run]))[0]
            self.world.bus.announce([Over(run, row.chat, row.user)])

    async def eventually(self, holds: Callable[[], Awaitable[bool]]) -> None:
        async with asyncio.timeout(WAIT_SECONDS):
            while not await holds():
                await settle()

    async def owes(self, chat: UUID) -> bool:
        return bool(await self.runs(chat))

    async def all_told(self, chat: UUID) -> bool:
        return not await self.runs(chat)

    async def follows(self, run: UUID) -> bool:
        return self.world.hub.relay(run) is not None


def elsewhere(world: World) -> Intake:
    """The intake of another gateway, whose bulletins are lost."""
    return Intake(
        runs=world.store.runs,
        bus=world.bus,
        tokens=SystemTokens(),
        catalogue=Catalogue({"scripted": "main"}),
        limits=LIMITS,
        metrics=NullMetrics(),
        spans=Spans(NullTraces(), SystemClock(), "gw-other"),
        announce=lambda notice: None,
    )
