"""The dead letters: jobs that no worker survived, and bodies that are no job. Looking at them loses none."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
from aiormq import spec
from aiormq.abc import DeliveredMessage
from aiormq.channel import Channel
from aiormq.connection import Connection

from prosa.adapters.rabbitmq_bus import topology
from prosa.adapters.rabbitmq_bus.connection import RPC_SECONDS, connected, opened
from prosa.adapters.rabbitmq_bus.declaration import QuorumQueues
from prosa.adapters.rabbitmq_bus.failures import Address, Lost, address, explained, reaching, silence
from prosa.adapters.rabbitmq_bus.topology import DEAD
from prosa.core import events
from prosa.core.errors import NotFound


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


Taken = list[tuple[Letter, DeliveredMessage]]


class Handled(msgspec.Struct, frozen=True):
    """How many letters were retried or dropped, and how many were left because they are no jobs."""

    done: int
    left: int = 0


class DeadLetters:
    """The dead letters of one broker. An ``id`` names a letter for as long as it lies there.

    While a method runs nobody else sees the letters; then those that are left are back, in their order. All methods
    raise BusUnavailable where the broker goes away.
    """

    def __init__(self, connection: Connection, channel: Channel, to: Address) -> None:
        self._connection = connection
        self._channel = channel
        self._to = to
        self._held: dict[int, None] = {}

    async def list(self, limit: int = 100) -> list[Letter]:
        """The oldest letters."""
        async with self._taken() as letters:
            return [letter for letter, _ in letters[:limit]]

    async def show(self, id: str) -> Letter:
        """Raises NotFound."""
        async with self._taken() as letters:
            return next(letter for letter, _ in _found(letters, id))

    async def retry(self, id: str | None = None) -> Handled:
        """Put a letter (None: every one) back into its pool's queue, unless it is no job. Raises NotFound."""
        async with self._taken() as letters:
            done = [await self._retried(letter, message) for letter, message in _found(letters, id)]
        return Handled(done.count(True), done.count(False))

    async def drop(self, id: str | None = None) -> Handled:
        """Forget a letter (None: every one). Raises NotFound."""
        async with self._taken() as letters:
            found = _found(letters, id)
            for _, message in found:
                await self._forget(message)
        return Handled(len(found))

    async def _retried(self, letter: Letter, message: DeliveredMessage) -> bool:
        if letter.pool is None:
            return False
        properties = spec.Basic.Properties(delivery_mode=2, message_id=str(letter.run))
        queue = await QuorumQueues().jobs(self._connection, letter.pool)
        async with asyncio.timeout(RPC_SECONDS):
            # Confirmed before it is forgotten: in between it is there twice, which does no harm.
            await self._channel.basic_publish(letter.body, routing_key=queue, properties=properties, mandatory=True)
        await self._forget(message)
        return True

    async def _forget(self, message: DeliveredMessage) -> None:
        tag = message.delivery_tag or 0
        self._held.pop(tag)
        await self._channel.basic_ack(tag)

    @asynccontextmanager
    async def _taken(self) -> AsyncIterator[Taken]:
        """Take all letters; leaving puts back those that were not forgotten, before anything else is asked.

        All, for what is put back comes behind what was not taken; and all before one is retried, for a job that dies
        again at once must not be met again.
        """
        with _explaining(self._to), reaching():
            letters = [(letter(one.body, one.header.properties), one) async for one in self._messages()]
            try:
                yield letters
            finally:
                for tag in self._held:
                    await self._channel.basic_nack(tag, requeue=True, wait=False)
                self._held.clear()

    async def _messages(self) -> AsyncIterator[DeliveredMessage]:
        for _ in range(topology.DEAD_LETTERS):
            async with asyncio.timeout(RPC_SECONDS):
                message = await self._channel.basic_get(DEAD)
            if isinstance(message.delivery, spec.Basic.GetEmpty):
                return
            self._held[message.delivery_tag or 0] = None
            yield message


@asynccontextmanager
async def open_dead_letters(url: str) -> AsyncIterator[DeadLetters]:
    """Raises what ``check`` raises."""
    to = address(url)
    silence()
    with _explaining(to):
        async with connected(to, "prosa dead") as connection, opened(connection, confirms=True) as channel:
            await QuorumQueues().dead(connection)
            yield DeadLetters(connection, channel, to)


def _found(letters: Taken, id: str | None) -> Taken:
    found = [(letter, message) for letter, message in letters if id in (None, letter.id)]
    if id is not None and not found:
        raise NotFound(f"There is no dead letter {id}.")
    return found


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


@contextmanager
def _explaining(to: Address) -> Iterator[None]:
    try:
        yield
    except Lost as lost:
        raise explained(lost, to) from lost
