"""A virtual host of the tests' own on a RabbitMQ that is at hand, and what only tests do to it."""

import asyncio
import json
import os
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Final, TypeVar
from urllib.parse import urlsplit
from uuid import uuid4

import aiormq

from prosa.adapters.rabbitmq_bus import DeadLetters, RabbitBus, open_dead_letters, open_rabbitmq
from prosa.adapters.rabbitmq_bus.topology import jobs_queue
from prosa.ports import Bus, Metrics

SERVER: Final = os.environ.get("TEST_BROKER_URL")  # noqa: TID251 - a setting of the tests, not of Prosa
"""A broker such as amqp://guest:guest@127.0.0.1, on this machine: ``rabbitmqctl`` makes and deletes virtual hosts."""
CONTROL: Final[dict[str, str] | None] = json.loads(os.environ.get("TEST_BROKER_CONTROL", "null"))  # noqa: TID251
"""The variables with which ``rabbitmqctl`` reaches it; None: those of this process."""
PATIENCE_SECONDS: Final = 10.0

T = TypeVar("T")


class Tally:
    """Metrics that remember what was counted, timed and shown, by name and labels."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.gauges: dict[str, float] = {}
        self.times: Counter[str] = Counter()

    def count(self, name: str, amount: float = 1, **labels: str) -> None:
        self.counts[" ".join((name, *labels.values()))] += int(amount)

    def observe(self, name: str, value: float, **labels: str) -> None:
        self.times[" ".join((name, *labels.values()))] += 1

    def gauge(self, name: str, value: float, **labels: str) -> None:
        self.gauges[" ".join((name, *labels.values()))] = value

    @property
    def dropped(self) -> int:
        return sum(count for name, count in self.counts.items() if name.startswith("bus_dropped_total"))


async def eventually(asked: Callable[[], Awaitable[T]], wanted: T, seconds: float = PATIENCE_SECONDS) -> None:
    """Ask until the answer is the wanted one."""
    got = await asked()
    try:
        async with asyncio.timeout(seconds):
            while got != wanted:
                await asyncio.sleep(0.02)
                got = await asked()
    except TimeoutError:
        raise AssertionError(f"after {seconds} s it is {got!r}, not {wanted!r}") from None


async def until(condition: Callable[[], bool], seconds: float = PATIENCE_SECONDS) -> None:
    async def asked() -> bool:
        return condition()

    await eventually(asked, True, seconds)


async def rabbitmqctl(*arguments: str) -> str:
    process = await asyncio.create_subprocess_exec(
        "rabbitmqctl",
        "-q",
        *arguments,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env=CONTROL,
    )
    output, _ = await process.communicate()
    assert process.returncode == 0, output.decode()
    return output.decode()


class Broker:
    """One virtual host. ``url(port=…)`` goes through something else that listens on this machine."""

    def __init__(self, server: str, vhost: str) -> None:
        self._parts = urlsplit(server)
        self.vhost = vhost
        self.host = self._parts.hostname or "127.0.0.1"
        self.port = self._parts.port or 5672
        self.user = self._parts.username or "guest"

    def url(self, *, port: int | None = None, user: str | None = None, vhost: str | None = None) -> str:
        credentials = user or f"{self.user}:{self._parts.password or 'guest'}"
        return f"amqp://{credentials}@{self.host}:{port or self.port}/{vhost or self.vhost}"

    async def make(self) -> None:
        await rabbitmqctl("add_vhost", self.vhost)
        await rabbitmqctl("set_permissions", "-p", self.vhost, self.user, ".*", ".*", ".*")

    async def remove(self) -> None:
        await rabbitmqctl("delete_vhost", self.vhost)

    @asynccontextmanager
    async def bus(self, *, port: int | None = None, metrics: Metrics | None = None) -> AsyncIterator[RabbitBus]:
        """A bus that is connected."""
        async with open_rabbitmq(self.url(port=port), metrics or Tally(), name="test") as bus:
            await until(lambda: bus.connected)
            yield bus

    @asynccontextmanager
    async def dead_letters(self) -> AsyncIterator[DeadLetters]:
        async with open_dead_letters(self.url()) as dead:
            yield dead

    @asynccontextmanager
    async def channel(self) -> AsyncIterator[aiormq.Channel]:
        """For what the bus itself never does."""
        async with aiormq.connect(self.url()) as connection:
            channel = await connection.channel()
            assert isinstance(channel, aiormq.Channel)
            yield channel

    async def put(self, pool: str, body: bytes) -> None:
        """A body as it is into a pool's queue, which is there."""
        async with self.channel() as channel:
            await channel.basic_publish(body, routing_key=jobs_queue(pool), mandatory=True)


@asynccontextmanager
async def own_vhost() -> AsyncIterator[Broker]:
    broker = Broker(SERVER or "", f"prosa-test-{uuid4().hex}")
    await broker.make()
    try:
        yield broker
    finally:
        await broker.remove()


async def backlog_is(bus: Bus, pool: str, wanted: int | None) -> None:
    async def asked() -> int | None:
        return await bus.backlog(pool)

    await eventually(asked, wanted)
