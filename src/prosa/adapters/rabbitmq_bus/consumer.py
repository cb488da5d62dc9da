"""What this process takes: the jobs of a pool, and its own mail. The library's callbacks only hand over."""

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any, Final
from uuid import uuid4

import msgspec
from aiormq import spec
from aiormq.abc import DeliveredMessage
from aiormq.channel import Channel
from aiormq.connection import Connection

from prosa.adapters.rabbitmq_bus import topology
from prosa.adapters.rabbitmq_bus.connection import RPC_SECONDS, opened, until_closed
from prosa.adapters.rabbitmq_bus.declaration import QuorumQueues, declare_inbox
from prosa.adapters.rabbitmq_bus.failures import Lost, reaching
from prosa.core import events
from prosa.core.events import Job, Mail
from prosa.ports import Metrics

INBOX_MESSAGES: Final = topology.INBOX_MESSAGES
INBOX_BYTES: Final = topology.INBOX_BYTES

HandOver = Callable[[DeliveredMessage], Coroutine[Any, Any, None]]


class JobDelivery:
    """A job on the channel that delivered it. Once that channel is gone, settling it does nothing."""

    def __init__(self, channel: Channel, message: DeliveredMessage, job: Job, metrics: Metrics) -> None:
        self.channel: Channel | None = channel
        self.job = job
        self.redelivered = bool(message.redelivered)
        self._message = message
        self._metrics = metrics

    async def ack(self) -> None:
        if channel := self._settled():
            with suppress(Lost), reaching():
                await channel.basic_ack(self._message.delivery_tag or 0, wait=False)

    async def reject(self) -> None:
        if channel := self._settled():
            self._metrics.count("dead_letters_total", reason="rejected")
            await _rejected(channel, self._message)

    async def give_back(self) -> None:
        """To another consumer, at once: nobody here has begun it."""
        if channel := self._settled():
            with suppress(Lost), reaching():
                await channel.basic_nack(self._message.delivery_tag or 0, requeue=True, wait=False)

    def _settled(self) -> Channel | None:
        """The channel, once: a second answer to one delivery would be an error that closes the channel."""
        channel, self.channel = self.channel, None
        return channel


class JobConsumer:
    """Iterates over a pool's deliveries, across all connections there will be."""

    def __init__(self, pool: str, slots: int, queues: QuorumQueues, metrics: Metrics) -> None:
        self._pool = pool
        self._slots = slots
        self._queues = queues
        self._metrics = metrics
        self._channel: Channel | None = None
        self._ready: deque[JobDelivery] = deque()
        self._arrived = asyncio.Event()
        self._tag = uuid4().hex
        self._stopped = False

    def __aiter__(self) -> "JobConsumer":
        return self

    async def __anext__(self) -> JobDelivery:
        while not self._ready:
            self._arrived.clear()
            await self._arrived.wait()
        return self._ready.popleft()

    async def stop(self) -> None:
        self._stopped = True
        if self._channel is not None:
            with suppress(Lost), reaching():
                async with asyncio.timeout(RPC_SECONDS):
                    await self._channel.basic_cancel(self._tag)
        # Not before: the broker would hand them to us again.
        while self._ready:
            await self._ready.popleft().give_back()

    async def run(self, connection: Connection) -> None:
        """Consume on this connection until it is lost or the broker cancels, for example with its queue deleted."""
        if self._stopped:
            await until_closed(connection)
        queue = await self._queues.jobs(connection, self._pool)
        async with opened(connection) as channel:
            async with asyncio.timeout(RPC_SECONDS):
                await channel.basic_qos(prefetch_count=self._slots)
            self._channel = channel
            try:
                await consumed(channel, queue, self._hand_over, no_ack=False, tag=self._tag)
            finally:
                # The broker delivers these again. What was not begun yet must not begin twice.
                self._channel = None
                self._ready.clear()

    async def _hand_over(self, message: DeliveredMessage) -> None:
        channel = message.channel
        if channel is not self._channel:
            return
        try:
            job = events.decode_job(message.body)
        except msgspec.MsgspecError:
            self._metrics.count("bus_unreadable_total")
            self._metrics.count("dead_letters_total", reason="unreadable")
            await _rejected(channel, message)
            return
        self._ready.append(JobDelivery(channel, message, job, self._metrics))
        self._arrived.set()


class InboxConsumer:
    """Iterates over this process's mail: at most once, bounded in messages and bytes, the oldest goes."""

    def __init__(self, name: str, metrics: Metrics, *, bulletins: bool) -> None:
        self._name = name
        self._bulletins = bulletins
        self._metrics = metrics
        self._bodies: deque[bytes] = deque()
        self._bytes = 0
        self._arrived = asyncio.Event()
        self.bound = asyncio.Event()
        """Set while there is a queue to which mail can come."""

    def __aiter__(self) -> "InboxConsumer":
        return self

    async def __anext__(self) -> Mail:
        while True:
            while not self._bodies:
                self._arrived.clear()
                await self._arrived.wait()
            body = self._take()
            try:
                return events.decode_mail(body)
            except msgspec.MsgspecError:
                self._metrics.count("bus_unreadable_total")

    async def run(self, connection: Connection) -> None:
        async with opened(connection) as channel:
            queue = await declare_inbox(channel, self._name, uuid4().hex, bulletins=self._bulletins)
            self.bound.set()
            try:
                await consumed(channel, queue, self._hand_over, no_ack=True)
            finally:
                self.bound.clear()

    async def _hand_over(self, message: DeliveredMessage) -> None:
        self._bodies.append(message.body)
        self._bytes += len(message.body)
        while len(self._bodies) > INBOX_MESSAGES or (self._bytes > INBOX_BYTES and len(self._bodies) > 1):
            self._take()
            self._metrics.count("bus_dropped_total", channel="inbox")
        self._arrived.set()

    def _take(self) -> bytes:
        body = self._bodies.popleft()
        self._bytes -= len(body)
        return body


async def consumed(channel: Channel, queue: str, hand_over: HandOver, *, no_ack: bool, tag: str | None = None) -> None:
    """Consume until the broker cancels the consumer. By its ``tag`` we can as well."""
    cancelled = asyncio.Event()

    def on_cancel(_frame: spec.Basic.Cancel) -> None:
        cancelled.set()

    channel.on_consumer_cancel_callbacks.add(on_cancel)
    async with asyncio.timeout(RPC_SECONDS):
        await channel.basic_consume(queue, hand_over, no_ack=no_ack, consumer_tag=tag)
    await cancelled.wait()


async def _rejected(channel: Channel, message: DeliveredMessage) -> None:
    with suppress(Lost), reaching():
        await channel.basic_reject(message.delivery_tag or 0, requeue=False, wait=False)
