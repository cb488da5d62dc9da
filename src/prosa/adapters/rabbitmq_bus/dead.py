"""The dead letters: jobs that no worker survived, and bodies that are no job. Looking at them loses none."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import msgspec
from aiormq import spec
from aiormq.abc import DeliveredMessage
from aiormq.channel import Channel
from aiormq.connection import Connection

from prosa.adapters.rabbitmq_bus import topology
from prosa.adapters.rabbitmq_bus.connection import connected, opened
from prosa.adapters.rabbitmq_bus.failures import Address, Lost, address, explained, silence
from prosa.adapters.rabbitmq_bus.topology import DEAD, RPC_SECONDS
from prosa.core import events
from prosa.core.errors import NotFound

ALL: Final = topology.DEAD_LETTERS


class Letter(msgspec.Struct, frozen=True):
    """A dead letter. ``run`` and ``pool`` are None where its body is no job."""

    id: str
    run: UUID | None
    pool: str | None
    queue: str
    """The queue in which it died."""
    reason: str
    """``rejected``: nobody can read or run it; ``delivery_limit``: its workers died of it; ``expired``; ``maxlen``."""
    died: datetime | None
    """When it died, to the second, in UTC."""
    body: bytes

    @property
    def text(self) -> str:
        """The body as text where it is some, else in hexadecimal."""
        with suppress(UnicodeDecodeError):
            text = self.body.decode()
            if text.isprintable():
                return text
        return self.body.hex(" ", 1)


class Handled(msgspec.Struct, frozen=True):
    """How many letters were retried or dropped, and how many were left because they are no jobs."""

    done: int
    left: int = 0


class DeadLetters:
    """The dead letters of one broker. An ``id`` names a letter for as long as it lies there.

    While a method runs nobody else sees the letters; then those that are left are back, in their order. All methods
    raise BusUnavailable where the broker goes away.
    """

    def __init__(self, connection: Connection, to: Address) -> None:
        self._connection = connection
        self._to = to

    async def list(self, limit: int = 100) -> list[Letter]:
        """The oldest letters."""
        with _explaining(self._to):
            async with opened(self._connection) as channel:
                return [letter async for letter, _ in _letters(channel, limit)]

    async def show(self, id: str) -> Letter:
        """Raises NotFound."""
        with _explaining(self._to):
            async with opened(self._connection) as channel:
                async for letter, _ in _letters(channel):
                    if letter.id == id:
                        return letter
        raise _unknown(id)

    async def retry(self, id: str | None = None) -> Handled:
        """Put a letter (None: every one) back into its pool's queue, unless it is no job. Raises NotFound."""
        return await self._handle(id, _retried)

    async def drop(self, id: str | None = None) -> Handled:
        """Forget a letter (None: every one). Raises NotFound."""
        return await self._handle(id, _dropped)

    async def _handle(self, id: str | None, action: "Action") -> Handled:
        outcomes: list[bool] = []
        with _explaining(self._to):
            async with opened(self._connection, confirms=True) as channel:
                async for letter, message in _letters(channel):
                    if id in (None, letter.id):
                        outcomes.append(await action(channel, letter, message))
                    if id == letter.id:
                        break
        if id is not None and not outcomes:
            raise _unknown(id)
        return Handled(outcomes.count(True), outcomes.count(False))


@asynccontextmanager
async def open_dead_letters(url: str) -> AsyncIterator[DeadLetters]:
    """Raises what ``check`` raises."""
    to = address(url)
    silence()
    with _explaining(to):
        async with connected(to, "prosa dead") as connection:
            async with opened(connection) as channel, asyncio.timeout(RPC_SECONDS):
                await topology.declare_dead(channel)
            yield DeadLetters(connection, to)


# ── one letter ───────────────────────────────────────────────────────────────────────────────────────────────

Action = Callable[[Channel, Letter, DeliveredMessage], Awaitable[bool]]


async def _letters(channel: Channel, limit: int = ALL) -> AsyncIterator[tuple[Letter, DeliveredMessage]]:
    """Take the letters that lie there now, one by one. The broker puts back what is not acknowledged on the channel."""
    async with asyncio.timeout(RPC_SECONDS):
        there = await channel.queue_declare(DEAD, passive=True)
    for _ in range(min(there.message_count or 0, limit)):
        async with asyncio.timeout(RPC_SECONDS):
            message = await channel.basic_get(DEAD)
        if isinstance(message.delivery, spec.Basic.GetEmpty):
            return
        yield letter(message.body, message.header.properties), message


async def _retried(channel: Channel, letter: Letter, message: DeliveredMessage) -> bool:
    if letter.pool is None:
        return False
    properties = spec.Basic.Properties(delivery_mode=2, message_id=str(letter.run))
    async with asyncio.timeout(RPC_SECONDS):
        queue = await topology.declare_jobs(channel, letter.pool)
        # Confirmed before it is forgotten: in between it is there twice, which does no harm.
        await channel.basic_publish(letter.body, routing_key=queue, properties=properties, mandatory=True)
    return await _dropped(channel, letter, message)


async def _dropped(channel: Channel, _letter: Letter, message: DeliveredMessage) -> bool:
    await channel.basic_ack(message.delivery_tag or 0)
    return True


def letter(body: bytes, properties: spec.Basic.Properties) -> Letter:
    """A letter as the broker keeps it: why and where it died is in its header ``x-death``, the latest death first."""
    deaths: Any = (properties.headers or {}).get("x-death") or [{}]
    queue, died = str(deaths[0].get("queue", "")), deaths[0].get("time")
    name = f"{properties.message_id} {queue} {died}".encode()
    job = None
    with suppress(msgspec.MsgspecError):
        job = events.decode_job(body)
    return Letter(
        id=hashlib.blake2s(name + body, digest_size=6).hexdigest(),
        run=job.run if job else None,
        pool=job.pool if job else None,
        queue=queue,
        reason=str(deaths[0].get("reason", "unknown")),
        died=died if isinstance(died, datetime) else None,
        body=body,
    )


def _unknown(id: str) -> NotFound:
    return NotFound(f"There is no dead letter {id}.")


@contextmanager
def _explaining(to: Address) -> Iterator[None]:
    try:
        yield
    except Lost as lost:
        raise explained(lost, to) from lost
