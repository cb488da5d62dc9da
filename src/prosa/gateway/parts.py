"""What the gateway is put together from: the use-cases, the hub, and how this deployment is set."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from starlette.requests import HTTPConnection
from starlette.responses import Response
from starlette.routing import BaseRoute

from prosa.app.access import Access
from prosa.app.accounts import Accounts
from prosa.app.chats import Chats
from prosa.app.operations import Administration
from prosa.core.cursor import Cursor
from prosa.core.events import BulletinNotice
from prosa.core.exposure import FROM_HERE, Exposure
from prosa.core.policy import Limits
from prosa.core.protocol import Regenerate, Send, ServerMessage
from prosa.core.relay import Row
from prosa.core.work import Receipt
from prosa.gateway.throttle import Throttle
from prosa.ports import Clock, Metrics, Reads


class Intake(Protocol):
    """Accept, regenerate, stop (app.intake)."""

    async def send(
        self, user: UUID, message: Send, *, run: UUID | None = None, origin: str | None = None
    ) -> Receipt: ...

    async def regenerate(
        self, user: UUID, message: Regenerate, *, run: UUID | None = None, origin: str | None = None
    ) -> Receipt: ...

    async def stop(self, user: UUID, run: UUID) -> Row: ...


class Hub(Protocol):
    """The live side of this gateway (gateway.hub)."""

    @property
    def name(self) -> str: ...

    @property
    def sockets(self) -> int: ...

    def follow(self, cursor: Cursor) -> AbstractAsyncContextManager[AsyncIterator[list[ServerMessage]]]:
        """The messages from the cursor to the run's end; an empty list after 15 s of silence."""
        ...

    def announce(self, notice: BulletinNotice) -> None: ...


@dataclass(frozen=True)
class Options:
    """How this deployment is set. ``origins`` are whole origins (``https://chat.example.org``) besides the own host."""

    version: str
    origins: frozenset[str] = frozenset()
    secure_cookies: bool = False
    metrics: Exposure = FROM_HERE
    probe_seconds: float = 2.0
    """How long the store may take to answer before the gateway calls itself not ready."""


@dataclass(frozen=True)
class Parts:
    """All that the gateway needs. ``exposition`` answers a scrape; ``ready`` is false while the gateway drains."""

    accounts: Accounts
    administration: Administration
    access: Access
    chats: Chats
    intake: Intake
    hub: Hub
    reads: Reads
    metrics: Metrics
    exposition: Callable[[], Response]
    clock: Clock
    throttle: Throttle
    limits: Limits
    models: tuple[str, ...]
    options: Options
    ready: Callable[[], bool]
    websockets: Sequence[BaseRoute] = ()


def parts_of(connection: HTTPConnection) -> Parts:
    """The parts of the application that serves this connection."""
    parts: Parts = connection.app.state.parts
    return parts
