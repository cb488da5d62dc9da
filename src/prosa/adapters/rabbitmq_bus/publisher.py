"""What this process sends: jobs, confirmed in the background; mail and bulletins, in one order or not at all."""

import asyncio
from collections import deque
from collections.abc import Sized
from contextlib import suppress
from typing import Final

import msgspec
from aiormq import spec
from aiormq.channel import Channel
from aiormq.connection import Connection
from aiormq.exceptions import DeliveryError, PublishError

from prosa.adapters.rabbitmq_bus import topology
from prosa.adapters.rabbitmq_bus.connection import Session, opened, until_closed
from prosa.adapters.rabbitmq_bus.failures import Lost, reaching
from prosa.core import events
from prosa.core.events import Job
from prosa.ports import Metrics

JOBS: Final = 10_000
"""Jobs that wait for the broker; what is beyond is dropped, and dispatched again from the store."""
IN_FLIGHT: Final = 100
"""Jobs published and not yet confirmed."""
CONFIRM_SECONDS: Final = 15.0
"""Longer than a dead connection stays unnoticed: a job without its confirm on a living one is left to the store."""
MAIL_MESSAGES: Final = 10_000
MAIL_BYTES: Final = 64 * 1024 * 1024
FLUSH_SECONDS: Final = 2.0
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
    """One mail or bulletin on its way."""

    exchange: str
    key: str
    body: bytes


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
            self.take()
            self._dropped(1)

    def take(self) -> Post:
        post = self._posts.popleft()
        self._bytes -= len(post.body)
        return post

    def drop(self) -> None:
        self._dropped(len(self._posts))
        self._posts.clear()
        self._bytes = 0

    def _dropped(self, count: int) -> None:
        if count:
            self._metrics.count("bus_dropped_total", count, channel="mail")


class Publisher:
    """Buffers what is to be sent and sends it on the session's connection. ``dispatch`` and ``post`` never wait."""

    def __init__(self, session: Session, metrics: Metrics) -> None:
        self._session = session
        self._metrics = metrics
        self._jobs: deque[Parcel] = deque()
        self._flying: dict[Parcel, None] = {}
        self._mail = Outgoing(metrics)
        self._posting = False
        self._window = asyncio.Semaphore(IN_FLIGHT)
        self._job_there = asyncio.Event()
        self._mail_there = asyncio.Event()
        self._progress = asyncio.Event()

    def dispatch(self, job: Job) -> None:
        if len(self._jobs) + len(self._flying) >= JOBS:
            self._job_dropped()
            return
        self._jobs.append(Parcel(str(job.run), job.pool, events.encode(job)))
        self._job_there.set()

    def post(self, exchange: str, key: str, body: bytes) -> None:
        """Dropped while the broker is away: nobody waits for old news."""
        self._mail.put(Post(exchange, key, body))
        if self._session.away:
            self._mail.drop()
        self._mail_there.set()

    async def flush(self) -> None:
        """Return when everything is sent and confirmed; not while the broker is away, nor later than its deadline."""
        with suppress(TimeoutError):
            async with asyncio.timeout(FLUSH_SECONDS):
                while self._busy and not self._session.away:
                    self._progress.clear()
                    await self._progress.wait()

    @property
    def _busy(self) -> bool:
        return bool(self._jobs or self._flying or self._mail or self._posting)

    async def run(self, connection: Connection) -> None:
        """Send on this connection until it is lost; what was not confirmed by then is sent again on the next."""
        try:
            async with opened(connection, confirms=True) as jobs, opened(connection) as mail:
                async with asyncio.timeout(topology.RPC_SECONDS):
                    await topology.declare_exchanges(mail)
                await self._send(connection, jobs, mail)
        finally:
            self._mail.drop()
            self._jobs.extendleft(reversed(self._flying))
            self._flying.clear()
            self._progress.set()

    async def _send(self, connection: Connection, jobs: Channel, mail: Channel) -> None:
        self._window = asyncio.Semaphore(IN_FLIGHT)
        try:
            async with asyncio.TaskGroup() as group:
                for channel in (jobs, mail):
                    group.create_task(until_closed(channel))
                group.create_task(self._pump(connection, jobs, group))
                group.create_task(self._deliver(mail))
        except ExceptionGroup as failures:
            lost, others = failures.split(Lost)
            if others is not None or lost is None:
                raise
            raise Lost(str(lost)) from first(lost)

    # ── jobs ─────────────────────────────────────────────────────────────────────────────────────────────────

    async def _pump(self, connection: Connection, channel: Channel, group: asyncio.TaskGroup) -> None:
        declared: set[str] = set()
        while True:
            await self._until_there(self._job_there, self._jobs)
            pool = self._jobs[0].pool
            if pool not in declared:
                await _declare(connection, pool)
                declared.add(pool)
            # Short of memory, the broker reads nothing: then jobs wait here, where their number has a bound.
            await connection.ready()
            await self._window.acquire()
            parcel = self._jobs.popleft()
            # Before its task begins: a task that is cancelled before that does nothing at all.
            self._flying[parcel] = None
            group.create_task(self._fly(channel, parcel, declared))

    async def _fly(self, channel: Channel, parcel: Parcel, declared: set[str]) -> None:
        properties = spec.Basic.Properties(delivery_mode=2, message_id=parcel.run)
        queue = topology.jobs_queue(parcel.pool)
        with reaching():
            try:
                async with asyncio.timeout(CONFIRM_SECONDS):
                    await channel.basic_publish(
                        parcel.body, routing_key=queue, properties=properties, mandatory=True, wait=False
                    )
                self._metrics.count("bus_published_total", channel="jobs")
            except PublishError:
                # The queue was deleted. Were it there again at once, its consumers would not hear that they have none.
                await asyncio.sleep(DECLARE_AGAIN_SECONDS)
                declared.discard(parcel.pool)
                self._jobs.appendleft(parcel)
                self._job_there.set()
            except (DeliveryError, TimeoutError):
                self._job_dropped()
        self._flying.pop(parcel, None)
        self._window.release()
        self._progress.set()

    def _job_dropped(self) -> None:
        self._metrics.count("bus_dropped_total", channel="jobs")

    # ── mail ─────────────────────────────────────────────────────────────────────────────────────────────────

    async def _deliver(self, channel: Channel) -> None:
        while True:
            await self._until_there(self._mail_there, self._mail)
            self._posting = True
            post = self._mail.take()
            with reaching():
                # Returns when the socket took it: while the broker reads nothing, mail waits in its bounded buffer.
                await channel.basic_publish(
                    post.body, exchange=post.exchange, routing_key=post.key, properties=_TRANSIENT
                )
            self._posting = False
            channel_name = "bulletins" if post.exchange == topology.BULLETIN else "mail"
            self._metrics.count("bus_published_total", channel=channel_name)
            self._progress.set()

    @staticmethod
    async def _until_there(event: asyncio.Event, waiting: Sized) -> None:
        while not waiting:
            event.clear()
            await event.wait()


async def _declare(connection: Connection, pool: str) -> None:
    """A pool's queue, on a channel of its own: a refusal closes the channel."""
    async with opened(connection) as channel, asyncio.timeout(topology.RPC_SECONDS):
        await topology.declare_jobs(channel, pool)


def first(failures: BaseExceptionGroup[Lost]) -> BaseException | None:
    """The cause of one of several losses: they all have the same."""
    found = failures.exceptions[0]
    return first(found) if isinstance(found, BaseExceptionGroup) else found.__cause__
