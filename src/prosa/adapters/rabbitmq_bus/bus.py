"""The port's bus over two connections: one publishes and one consumes, for a broker in need blocks publishers."""

import asyncio
from collections.abc import AsyncIterator, Collection, Coroutine, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any, Final

from aiormq import exceptions as amqp
from aiormq.connection import Connection

from prosa.adapters.rabbitmq_bus import topology
from prosa.adapters.rabbitmq_bus.connection import Session, Standing, connected, opened
from prosa.adapters.rabbitmq_bus.consumer import InboxConsumer, JobConsumer
from prosa.adapters.rabbitmq_bus.declaration import QuorumQueues, declare_exchanges
from prosa.adapters.rabbitmq_bus.failures import Address, Lost, address, explained, reaching, silence
from prosa.adapters.rabbitmq_bus.publisher import JobPublisher, MailPublisher, bulletin, letter
from prosa.core.events import BulletinNotice, Job, Mail
from prosa.ports import Metrics

BACKLOG_SECONDS: Final = 2.0
BOUND_SECONDS: Final = 2.0
"""How long ``inbox`` waits for its queue: mail that is sent before is lost."""

FLUSH_SECONDS: Final = 2.0
CANCEL_SECONDS: Final = 5.0
"""Longer than closing a channel and a connection takes."""


class RabbitBus:
    """``Bus`` over RabbitMQ. It works the same with the broker away; what cannot wait is dropped then."""

    def __init__(self, publishing: Session, consuming: Session, metrics: Metrics, tasks: asyncio.TaskGroup) -> None:
        self._publishing = publishing
        self._consuming = consuming
        self._metrics = metrics
        self._tasks = tasks
        self._mail = MailPublisher(publishing, metrics)
        self._queues = QuorumQueues()
        self._jobs = JobPublisher(self._queues, metrics, tasks)

    @property
    def connected(self) -> bool:
        """Whether both connections are up at this moment."""
        return None not in (self._publishing.connection, self._consuming.connection)

    def dispatch(self, job: Job) -> None:
        self._jobs.dispatch(job)

    def send(self, to: str, mail: Mail) -> None:
        self._mail.post(letter(to, mail))

    def announce(self, notices: Sequence[BulletinNotice]) -> None:
        self._mail.post(bulletin(notices))

    @asynccontextmanager
    async def jobs(self, pool: str, slots: int) -> AsyncIterator[JobConsumer]:
        consumer = JobConsumer(pool, slots, self._queues, self._metrics)
        async with self._running(self._consuming.keep(consumer.run)):
            yield consumer

    @asynccontextmanager
    async def inbox(self, name: str, *, bulletins: bool) -> AsyncIterator[InboxConsumer]:
        """Entered when mail can come, or when the broker is known to be away."""
        inbox = InboxConsumer(name, self._metrics, bulletins=bulletins)
        async with self._running(self._consuming.keep(inbox.run)):
            with suppress(TimeoutError):
                async with asyncio.timeout(BOUND_SECONDS):
                    await self._bound(inbox)
            yield inbox

    async def _bound(self, inbox: InboxConsumer) -> None:
        await self._consuming.settled()
        if not self._consuming.away:
            await inbox.bound.wait()

    async def backlog(self, pool: str) -> int | None:
        return await self._ready(topology.jobs_queue(pool))

    async def dead_letters(self) -> int | None:
        return await self._ready(topology.DEAD)

    async def _ready(self, queue: str) -> int | None:
        """Messages of a queue that nobody holds yet."""
        if (connection := self._consuming.connection) is None:
            return None
        # Shielded: a question that is cancelled under way can cost the whole connection.
        return await asyncio.shield(self._tasks.create_task(_ready(connection, queue)))

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        """Connections and publishers. Leaving sends what is buffered first, if it can be sent."""
        async with (
            self._running(self._consuming.run()),
            self._running(self._publishing.run()),
            self._running(self._publishing.keep(self._jobs.run)),
            self._running(self._publishing.keep(self._mail.run)),
        ):
            try:
                yield
            finally:
                await self._flush()

    async def _flush(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(0 if self._publishing.away else FLUSH_SECONDS):
                await self._mail.flushed()
                await self._jobs.flushed()

    @asynccontextmanager
    async def _running(self, work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
        """A task that lives as long as the context; it has ended when the context is left."""
        task = self._tasks.create_task(work)
        try:
            yield
        finally:
            # More than once: the library can swallow a cancellation that comes together with an answer.
            while not task.done():
                task.cancel()
                await asyncio.wait({task}, timeout=CANCEL_SECONDS)


async def _ready(connection: Connection, queue: str) -> int | None:
    try:
        with reaching():
            async with asyncio.timeout(BACKLOG_SECONDS), opened(connection) as channel:
                found = await channel.queue_declare(queue, passive=True)
                return found.message_count
    except Lost as lost:
        return 0 if isinstance(lost.__cause__, amqp.ChannelNotFoundEntity) else None


@asynccontextmanager
async def open_rabbitmq(url: str, metrics: Metrics, *, name: str = "prosa") -> AsyncIterator[RabbitBus]:
    """A bus on the broker of this URL. Nothing is waited for: a broker that is away is said once, and tried for ever.

    ``name`` is what RabbitMQ lists the connections under. Raises BadConfig for what is no broker's URL.
    """
    to = address(url)
    silence()
    standing = Standing(to, metrics)
    sessions = [Session(to, standing, name=name, purpose=purpose) for purpose in ("publishing", "consuming")]
    raised: Exception | None = None
    async with asyncio.TaskGroup() as tasks:
        bus = RabbitBus(sessions[0], sessions[1], metrics, tasks)
        async with bus.serving():
            try:
                yield bus
            except Exception as error:  # noqa: BLE001 — raised below as it is: the group would wrap it
                raised = error
    if raised is not None:
        raise raised


async def check(url: str, pools: Collection[str] = ()) -> str:
    """One sentence of how the broker does. Declares what Prosa needs on it, and the queues of these pools.

    Raises BusUnavailable where it is away, BrokerRefused for wrong credentials, a virtual host that is missing or a
    user without permission, BrokerMismatch where something was declared with other arguments, BadConfig for the URL.
    """
    to = address(url)
    silence()
    try:
        version = await _declared(to, pools)
    except Lost as lost:
        raise explained(lost, to) from lost
    return f"RabbitMQ {version} at {to.where} is there, with the virtual host {to.vhost!r}."


async def _declared(to: Address, pools: Collection[str]) -> str:
    queues = QuorumQueues()
    async with connected(to, "prosa check") as connection:
        async with opened(connection) as channel:
            await declare_exchanges(channel)
        await queues.dead(connection)
        for pool in pools:
            await queues.jobs(connection, pool)
        return _text(connection.server_properties.get("version"))


def _text(value: object) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
