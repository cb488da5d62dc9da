"""The bus of one process: queues and inboxes in memory, through the same codec, acks and bounds as the broker's."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Final

import msgspec

from prosa.core import events
from prosa.core.events import BulletinNotice, Job, Mail
from prosa.ports import Metrics

QUEUE_JOBS: Final = 100_000
INBOX_MESSAGES: Final = 10_000
INBOX_BYTES: Final = 64 * 1024 * 1024
DELIVERY_LIMIT: Final = 20
DEAD_LETTERS: Final = 1_000


class _Queue:
    """One pool's jobs: ready bodies with the number of their deliveries so far."""

    def __init__(self, dead: deque[bytes], metrics: Metrics) -> None:
        self.ready: deque[tuple[bytes, int]] = deque()
        self.arrived = asyncio.Event()
        self._dead = dead
        self._metrics = metrics

    def bury(self, body: bytes, reason: str) -> None:
        """To the dead letters."""
        self._dead.append(body)
        self._metrics.count("dead_letters_total", reason=reason)

    def put(self, body: bytes) -> bool:
        if len(self.ready) >= QUEUE_JOBS:
            return False
        self.ready.append((body, 0))
        self.arrived.set()
        return True

    def requeue(self, body: bytes, deliveries: int) -> None:
        if deliveries >= DELIVERY_LIMIT:
            self.bury(body, "delivery_limit")
            return
        self.ready.appendleft((body, deliveries))
        self.arrived.set()


class _Consumer:
    """Takes from one queue, at most ``slots`` unsettled deliveries at once."""

    def __init__(self, queue: _Queue, slots: int) -> None:
        self._queue = queue
        self._free = asyncio.Semaphore(slots)
        self._unsettled: dict[int, _Delivery] = {}
        self._stopped = False

    def __aiter__(self) -> "_Consumer":
        return self

    async def stop(self) -> None:
        """Nothing is taken before it is asked for, and what is asked for afterwards never comes."""
        self._stopped = True

    async def __anext__(self) -> "_Delivery":
        await self._free.acquire()
        try:
            return await self._next()
        except BaseException:
            self._free.release()
            raise

    async def _next(self) -> "_Delivery":
        while True:
            while self._stopped or not self._queue.ready:
                self._queue.arrived.clear()
                await self._queue.arrived.wait()
            body, deliveries = self._queue.ready.popleft()
            try:
                job = events.decode_job(body)
            except msgspec.MsgspecError:
                self._queue.bury(body, "unreadable")
                continue
            delivery = _Delivery(self, job, body, deliveries)
            self._unsettled[id(delivery)] = delivery
            return delivery

    def settle(self, delivery: "_Delivery") -> bool:
        if self._unsettled.pop(id(delivery), None) is None:
            return False
        self._free.release()
        return True

    def reject(self, delivery: "_Delivery") -> None:
        if self.settle(delivery):
            self._queue.bury(delivery.body, "rejected")

    def close(self) -> None:
        for delivery in reversed(self._unsettled.values()):
            self._queue.requeue(delivery.body, delivery.deliveries + 1)
        self._unsettled.clear()


class _Delivery:
    def __init__(self, consumer: _Consumer, job: Job, body: bytes, deliveries: int) -> None:
        self._consumer = consumer
        self.job = job
        self.body = body
        self.deliveries = deliveries

    @property
    def redelivered(self) -> bool:
        return self.deliveries > 0

    async def ack(self) -> None:
        self._consumer.settle(self)

    async def reject(self) -> None:
        self._consumer.reject(self)


class _Inbox:
    """Mail of one process, bounded in messages and bytes: the oldest goes, as in a broker's drop-head queue."""

    def __init__(self, metrics: Metrics) -> None:
        self._bodies: deque[bytes] = deque()
        self._bytes = 0
        self._arrived = asyncio.Event()
        self._metrics = metrics

    def put(self, body: bytes) -> None:
        self._bodies.append(body)
        self._bytes += len(body)
        while len(self._bodies) > INBOX_MESSAGES or (self._bytes > INBOX_BYTES and len(self._bodies) > 1):
            self._bytes -= len(self._bodies.popleft())
            self._metrics.count("bus_dropped_total", channel="inbox")
        self._arrived.set()

    def __aiter__(self) -> "_Inbox":
        return self

    async def __anext__(self) -> Mail:
        while True:
            while not self._bodies:
                self._arrived.clear()
                await self._arrived.wait()
            body = self._bodies.popleft()
            self._bytes -= len(body)
            try:
                return events.decode_mail(body)
            except msgspec.MsgspecError:
                self._metrics.count("bus_unreadable_total")


class MemoryBus:
    """``Bus`` for one process. What it holds is lost with the process: the store dispatches again."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._metrics.gauge("bus_connected", 1)
        self._queues: dict[str, _Queue] = {}
        self._inboxes: dict[str, _Inbox] = {}
        self._bulletins: set[str] = set()
        self.dead: deque[bytes] = deque(maxlen=DEAD_LETTERS)

    def dispatch(self, job: Job) -> None:
        if not self._queue(job.pool).put(events.encode(job)):
            self._metrics.count("bus_dropped_total", channel="jobs")

    @asynccontextmanager
    async def jobs(self, pool: str, slots: int) -> AsyncIterator[_Consumer]:
        consumer = _Consumer(self._queue(pool), slots)
        try:
            yield consumer
        finally:
            consumer.close()

    async def backlog(self, pool: str) -> int | None:
        return len(self._queue(pool).ready)

    async def dead_letters(self) -> int | None:
        return len(self.dead)

    @asynccontextmanager
    async def inbox(self, name: str, *, bulletins: bool) -> AsyncIterator[_Inbox]:
        inbox = self._inboxes[name] = _Inbox(self._metrics)
        if bulletins:
            self._bulletins.add(name)
        try:
            yield inbox
        finally:
            del self._inboxes[name]
            self._bulletins.discard(name)

    def send(self, to: str, mail: Mail) -> None:
        if inbox := self._inboxes.get(to):
            inbox.put(events.encode(mail))

    def announce(self, notices: Sequence[BulletinNotice]) -> None:
        body = events.encode(events.bulletin(notices))
        for name in self._bulletins:
            self._inboxes[name].put(body)

    def _queue(self, pool: str) -> _Queue:
        return self._queues.setdefault(pool, _Queue(self.dead, self._metrics))
