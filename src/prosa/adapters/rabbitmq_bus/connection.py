"""One connection to the broker, kept up for ever. Each is a fresh scope: nothing of an old one is used on a new one.

The client library's own reconnecting is not used: it repeats acks and declarations of old channels at a fixed pace.
"""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any, Final, NoReturn, cast

import aiormq
import structlog
from aiormq.channel import Channel
from aiormq.connection import Connection
from aiormq.exceptions import AMQPChannelError

from prosa.adapters.rabbitmq_bus.failures import Address, Lost, explained, reaching
from prosa.ports import Metrics

log = structlog.get_logger()

CONNECT_SECONDS: Final = 5.0
RPC_SECONDS: Final = 5.0
"""How long the broker may take for one answer.

Held with ``asyncio.timeout``. The client library's own ``timeout`` is built on ``wait_for``, which in Python 3.11
swallows a cancellation that comes together with the answer.
"""
CLOSE_SECONDS: Final = 1.0
PROBE_SECONDS: Final = 2.0
"""Between two questions to a broker from which nothing else is awaited: a black hole ends no connection."""
FIRST_PAUSE: Final = (0.2, 0.5)
"""Between the first loss and the first try, in seconds: random, or all processes would come back in one instant."""
PAUSE: Final = (1.0, 2.0)

PURPOSES: Final = frozenset({"publishing", "consuming"})
"""Of the two connections: the broker is there while both are up."""

Scope = Callable[[Connection], Awaitable[None]]


def pause_seconds(failures: int) -> float:
    """How long to wait after so many failures in a row."""
    return random.uniform(*(FIRST_PAUSE if failures <= 1 else PAUSE))  # noqa: S311 — jitter is no secret


# ── scopes ───────────────────────────────────────────────────────────────────────────────────────────────────


@asynccontextmanager
async def connected(to: Address, name: str) -> AsyncIterator[Connection]:
    """A connection; ``name`` is what RabbitMQ lists it under. Raises Lost, also for what the body says of it."""
    with reaching():
        async with asyncio.timeout(CONNECT_SECONDS):
            connection = await aiormq.connect(to.url, client_properties={"connection_name": name, "product": "Prosa"})
        try:
            yield connection
        finally:
            await _closed(connection)


@asynccontextmanager
async def opened(connection: Connection, *, confirms: bool = False) -> AsyncIterator[Channel]:
    """A channel; raises Lost in the body as soon as it ends.

    Leaving closes it after what was sent on it; the broker puts back what is not acknowledged.
    """
    with reaching():
        if connection.is_closed:
            raise Lost("the connection was closed")
        async with asyncio.timeout(RPC_SECONDS):
            channel = await _channel(connection, confirms=confirms)
        try:
            async with while_open(channel.closing):
                yield channel
        finally:
            await _closed(channel)


async def _channel(connection: Connection, *, confirms: bool) -> Channel:
    try:
        return cast(Channel, await connection.channel(publisher_confirms=confirms))
    except RuntimeError as error:  # it ended while this waited
        raise Lost("the connection was closed") from error


@asynccontextmanager
async def while_open(closing: asyncio.Future[Any]) -> AsyncIterator[None]:
    """Ends the body with Lost as soon as the future is done; its exception is the cause."""
    try:
        async with asyncio.timeout(None) as until:

            def end(_closing: asyncio.Future[Any]) -> None:
                with suppress(RuntimeError):  # the body has ended in the same turn
                    until.reschedule(0)

            closing.add_done_callback(end)
            try:
                yield
            finally:
                closing.remove_done_callback(end)
    except TimeoutError:
        if not closing.done():
            raise
        raise Lost("the connection was closed") from (None if closing.cancelled() else closing.exception())


async def _closed(thing: Connection | Channel) -> None:
    with suppress(Lost), reaching():
        async with asyncio.timeout(CLOSE_SECONDS):
            await thing.close()


async def until_closed(thing: Connection | Channel) -> NoReturn:
    """Raises Lost when the connection or channel ends."""
    with reaching():
        await thing.closing
    raise Lost("the connection was closed")


async def blocked(connection: Connection) -> bool:
    """Whether the broker said that it reads nothing from publishers: it is short of memory or disk."""
    try:
        async with asyncio.timeout(0):
            await connection.ready()
    except TimeoutError:
        return True
    return False


async def watched(connection: Connection) -> NoReturn:
    """Ask the broker for a sign of life again and again. Raises Lost when the connection ends or none comes."""
    async with asyncio.timeout(RPC_SECONDS):
        channel = await connection.channel(publisher_confirms=False)
    while True:
        with suppress(TimeoutError):
            async with asyncio.timeout(PROBE_SECONDS):
                await until_closed(connection)
        # What it does not read it does not answer either. Then its heartbeats have to do.
        if not await blocked(connection):
            async with asyncio.timeout(RPC_SECONDS):
                await channel.basic_qos(prefetch_count=1)


# ── for ever ─────────────────────────────────────────────────────────────────────────────────────────────────


class Standing:
    """Whether the broker is there for this process. Says it once when it goes and once when it is back."""

    def __init__(self, to: Address, metrics: Metrics) -> None:
        self._to = to
        self._metrics = metrics
        self._away: set[str] = set()
        self._up: set[str] = set()
        self._metrics.gauge("bus_connected", 0)
        self._trouble = ""

    def away(self, purpose: str, lost: Lost) -> None:
        if not self._away:
            way = "Prosa keeps trying; messages are accepted meanwhile and answered when it is back."
            log.warning("broker.away", error=explained(lost, self._to).message, way=way)
        self._away.add(purpose)
        self._up.discard(purpose)
        self._metrics.gauge("bus_connected", 0)

    def back(self, purpose: str) -> None:
        was_away = bool(self._away)
        self._away.discard(purpose)
        self._up.add(purpose)
        self._metrics.gauge("bus_connected", int(self._up >= PURPOSES))
        if was_away and not self._away:
            self._trouble = ""
            log.info("broker.back", address=self._to.where)

    def troubled(self, lost: Lost) -> None:
        """The broker refused something on a connection that is up; the same thing is said once."""
        error = explained(lost, self._to).message
        if isinstance(lost.__cause__, AMQPChannelError) and error != self._trouble:
            self._trouble = error
            log.warning("broker.trouble", error=error, way="Prosa keeps trying.")


class Session:
    """A connection for one ``purpose``, made again whenever it is lost."""

    def __init__(self, to: Address, standing: Standing, *, name: str, purpose: str) -> None:
        self._to = to
        self._standing = standing
        self._name = f"{name} {purpose}"
        self._purpose = purpose
        self._changed = asyncio.Event()
        self._gone: asyncio.Future[None]
        self.connection: Connection | None = None
        """None while there is no connection."""
        self.away = False
        """The last try failed, or the connection was lost. False before the first try."""

    async def run(self) -> NoReturn:
        failures = 0
        while True:
            try:
                async with connected(self._to, self._name) as connection:
                    failures = 0
                    await self._serve(connection)
            except Lost as lost:
                failures += 1
                self._set(None, away=True)
                self._standing.away(self._purpose, lost)
            await asyncio.sleep(pause_seconds(failures))

    async def _serve(self, connection: Connection) -> None:
        """Let the scopes have it until it is lost. Then they lose it at once, before anybody tries to close it."""
        self._gone = asyncio.get_running_loop().create_future()
        self._set(connection, away=False)
        self._standing.back(self._purpose)
        try:
            await watched(connection)
        finally:
            self._set(None, away=True)
            self._gone.set_result(None)

    async def keep(self, scope: Scope) -> NoReturn:
        """Run a scope on the present connection, and again whenever it returns or is lost, until it is cancelled."""
        failures = 0
        while True:
            connection = await self._present()
            try:
                # The library may never say that a silent connection ended: the session does.
                async with while_open(self._gone):
                    await scope(connection)
                failures = 0
            except Lost as lost:
                failures += 1
                self._standing.troubled(lost)
            if connection is self.connection and not connection.is_closed:
                await asyncio.sleep(pause_seconds(failures))

    async def settled(self) -> None:
        """Return when the first try has ended, one way or the other."""
        while self.connection is None and not self.away:
            await self._changes()

    async def _present(self) -> Connection:
        while self.connection is None or self.connection.is_closed:
            await self._changes()
        return self.connection

    async def _changes(self) -> None:
        self._changed.clear()
        await self._changed.wait()

    def _set(self, connection: Connection | None, *, away: bool) -> None:
        self.connection = connection
        self.away = away
        self._changed.set()
