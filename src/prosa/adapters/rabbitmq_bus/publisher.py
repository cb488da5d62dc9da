"""What this process sends: jobs, confirmed in the background; mail and bulletins, in one order or not at all."""

import asyncio
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

import msgspec
from aiormq import spec
from aiormq.channel import Channel
from aiormq.connection import Connection
from aiormq.exceptions import DeliveryError, PublishError

from prosa.adapters.rabbitmq_bus import topology
from prosa.adapters.rabbitmq_bus.connection import Session, opened
from prosa.adapters.rabbitmq_bus.declaration import QuorumQueues, declare_exchanges
from prosa.adapters.rabbitmq_bus.failures import Lost, reaching
from prosa.core import events
from prosa.core.events import BulletinNotice, Job, Mail
from prosa.ports import Metrics

JOBS: Final = 10_000
"""Jobs that wait for the broker or its confirm; what is beyond is dropped, and dispatched again from the store."""
IN_FLIGHT: Final = 100
"""Jobs published and not yet confirmed."""
CONFIRM_SECONDS: Final = 15.0
"""Longer than a dead connection stays unnoticed: a job without its confirm on a living one is left to the store."""
MAIL_MESSAGES: Final = 10_000
MAIL_BYTES: Final = 64 * 1024 * 1024
DECLARE_AGAIN_SECONDS: Final = 0.5
"""RabbitMQ 3.10 takes up to 200 ms to cancel the consumers of a deleted quorum queue, and forgets those of one that
was declared again before (seen)."""

# One for all: the library would draw a random id for each message that has none.
_TRANSIENT: Final = spec.Basic.Properties(delivery_mode=1, message_id="mail")


class Parcel(msgspec.Struct, frozen=True, eq=False):
    """A job on its way."""

    run: str
    pool: str
    body: bytes


class Post(msgspec.Struct, frozen=True):
    """One mail (to ``key``) or bulletin on its way; ``channel`` is its name among metrics."""

    channel: str
    exchange: str
    key: str
    body: bytes


def letter(to: str, mail: Mail) -> Post:
    return Post("inbox", topology.INBOX, to, events.encode(mail))


def bulletin(notices: Sequence[BulletinNotice]) -> Post:
    return Post("bulletin", topology.BULLETIN, "", events.encode(events.bulletin(notices)))


class Outgoing:
    """Mail that waits, bounded in messages and bytes: the oldest goes."""

    def __init__(self, metrics: Metrics) -> None:
        self._posts: deque[Post] = deque()
        self._bytes = 0
        self._metrics = metrics

    def __len__(self) -> int:
        return len(self._posts)

    def put(self, post: Post) -> None:
        self._posts.append(post)
        self._bytes += len(post.body)
        while len(self._posts) > MAIL_MESSAGES or (self._bytes > MAIL_BYTES and len(self._posts) > 1):
            self._drop_first()

    @property
    def first(self) -> Post:
        return self._posts[0]

    def sent(self, post: Post) -> None:
        """Forget it, unless it was dropped meanwhile."""
        self._metrics.count("bus_published_total", channel=post.channel)
        if self._posts and self._posts[0] is post:
            self._take()

    def drop(self) -> None:
        while self._posts:
            self._drop_first()

    def _drop_first(self) -> None:
        self._metrics.count("bus_dropped_total", channel=self._take().channel)

    def _take(self) -> Post:
        post = self._posts.popleft()
        self._bytes -= len(post.body)
        return post


class MailPublisher:
    """Sends mail and bulletins in one order, unconfirmed. ``post`` never waits."""

    def __init__(self, session: Session, metrics: Metrics) -> None:
        self._session = session
        self._waiting = Outgoing(metrics)
        self._there = asyncio.Event()
        self._sent = asyncio.Event()

    def post(self, post: Post) -> None:
        """Dropped while the broker is away: nobody waits for old news."""
        self._waiting.put(post)
        if self._session.away:
            self._waiting.drop()
        self._there.set()

    async def flushed(self) -> None:
        """Return when everything is sent, or dropped."""
        while self._waiting:
            await _next(self._sent)

    async def run(self, connection: Connection) -> None:
        """Send on this connection until it is lost; what is left then is dropped."""
        try:
            async with opened(connection) as channel:
                await declare_exchanges(channel)
                await self._send(channel)
        finally:
            self._waiting.drop()
            self._sent.set()

    async def _send(self, channel: Channel) -> None:
        while True:
            while not self._waiting:
                await _next(self._there)
            post = self._waiting.first
            # Returns when the socket took it: while the broker reads nothing, mail waits in its bounded buffer.
            await channel.basic_publish(post.body, exchange=post.exchange, routing_key=post.key, properties=_TRANSIENT)
            self._waiting.sent(post)
            self._sent.set()


class JobPublisher:
    """Sends jobs, confirmed in the background. ``dispatch`` never waits."""

    def __init__(self, queues: QuorumQueues, metrics: Metrics, tasks: asyncio.TaskGroup) -> None:
        self._queues = queues
        self._metrics = metrics
        self._tasks = tasks
        self._waiting: deque[Parcel] = deque()
        self._flying: dict[Parcel, asyncio.Task[None]] = {}
        self._window = asyncio.Semaphore(IN_FLIGHT)
        self._declared: set[str] = set()
        self._there = asyncio.Event()
        self._landed = asyncio.Event()

    def dispatch(self, job: Job) -> None:
        if len(self._waiting) + len(self._flying) >= JOBS:
            self._dropped()
            return
        self._waiting.append(Parcel(str(job.run), job.pool, events.encode(job)))
        self._there.set()

    async def flushed(self) -> None:
        """Return when everything is confirmed, or dropped."""
        while self._waiting or self._flying:
            await _next(self._landed)

    async def run(self, connection: Connection) -> None:
        """Send on this connection until it is lost; what was not confirmed by then is sent again on the next."""
        self._window = asyncio.Semaphore(IN_FLIGHT)
        self._declared.clear()
        try:
            async with opened(connection, confirms=True) as channel:
                await self._send(connection, channel)
        finally:
            for flight in self._flying.values():
                flight.cancel()
            self._waiting.extendleft(reversed(self._flying))
            self._flying.clear()

    async def _send(self, connection: Connection, channel: Channel) -> None:
        while True:
            while not self._waiting:
                await _next(self._there)
            pool = self._waiting[0].pool
            if pool not in self._declared:
                await self._queues.jobs(connection, pool)
                self._declared.add(pool)
            # Short of memory, the broker reads nothing: then jobs wait here, where their number has a bound.
            await connection.ready()
            await self._window.acquire()
            parcel = self._waiting.popleft()
            self._flying[parcel] = self._tasks.create_task(self._fly(channel, parcel))

    async def _fly(self, channel: Channel, parcel: Parcel) -> None:
        """One job until it is confirmed. Where the channel is lost it stays in flight, and ``run`` takes it back."""
        sent = asyncio.get_running_loop().time()
        with suppress(Lost), reaching():
            try:
                await self._publish(channel, parcel)
            except PublishError:
                # The queue was deleted. Were it there again at once, its consumers would not hear that they have none.
                await asyncio.sleep(DECLARE_AGAIN_SECONDS)
                self._declared.discard(parcel.pool)
                self._waiting.appendleft(parcel)
                self._there.set()
            except (DeliveryError, TimeoutError):
                self._dropped()
            else:
                self._metrics.count("bus_published_total", channel="jobs")
                self._metrics.observe("bus_confirm_seconds", asyncio.get_running_loop().time() - sent)
            self._flying.pop(parcel, None)
            self._window.release()
            self._landed.set()

    async def _publish(self, channel: Channel, parcel: Parcel) -> None:
        queue = topology.jobs_queue(parcel.pool)
        properties = spec.Basic.Properties(delivery_mode=2, message_id=parcel.run)
        async with asyncio.timeout(CONFIRM_SECONDS):
            await channel.basic_publish(
                parcel.body, routing_key=queue, properties=properties, mandatory=True, wait=False
            )

    def _dropped(self) -> None:
        self._metrics.count("bus_dropped_total", channel="jobs")


async def _next(event: asyncio.Event) -> None:
    event.clear()
    await event.wait()
