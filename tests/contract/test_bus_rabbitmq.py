"""What only a broker can do to the bus: be away, come back, lose everything, fall silent."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from uuid import UUID, uuid4

import pytest
from structlog.testing import capture_logs

from prosa.adapters.rabbitmq_bus import RabbitBus, open_rabbitmq, topology
from prosa.adapters.rabbitmq_bus.publisher import JOBS
from prosa.cluster.proxy import FaultProxy
from prosa.core.events import Job, Mail, StopAsked
from prosa.ports import Delivery
from tests.contract.broker import Broker, Tally, backlog_is, own_vhost, rabbitmqctl, until


@pytest.fixture
async def proxy(broker: Broker) -> AsyncIterator[FaultProxy]:
    async with FaultProxy(broker.host, broker.port) as proxy:
        yield proxy


@pytest.fixture
async def bus(broker: Broker, proxy: FaultProxy, tally: Tally) -> AsyncIterator[RabbitBus]:
    """A bus whose network can fail."""
    async with broker.bus(port=proxy.port, metrics=tally) as bus:
        yield bus


@pytest.fixture
async def peer(broker: Broker) -> AsyncIterator[RabbitBus]:
    """Another process, whose network is well."""
    async with broker.bus() as peer:
        yield peer


async def soon(deliveries: AsyncIterator[Delivery]) -> Delivery:
    async with asyncio.timeout(5):
        return await anext(deliveries)


async def mail(inbox: AsyncIterator[Mail]) -> Mail:
    async with asyncio.timeout(5):
        return await anext(inbox)


async def outage(bus: RabbitBus, proxy: FaultProxy) -> None:
    """The network is cut, noticed, mended, and found to be so."""
    proxy.cut()
    await until(lambda: not bus.connected)
    proxy.pass_through()
    await until(lambda: bus.connected)


async def answered(inbox: AsyncIterator[Mail], sender: RabbitBus, to: str) -> Mail:
    """Mail until some arrives: what is sent before the new queue is bound is lost."""
    for _ in range(100):
        sender.send(to, StopAsked(uuid4()))
        try:
            async with asyncio.timeout(0.1):
                return await anext(inbox)
        except TimeoutError:
            continue
    raise AssertionError("no mail arrived")


# ── the connection is lost ──


async def test_after_an_outage_jobs_and_mail_go_on(
    bus: RabbitBus, peer: RabbitBus, proxy: FaultProxy, pool: str
) -> None:
    async with bus.jobs(pool, 2) as deliveries, bus.inbox("gw-1", bulletins=True) as inbox:
        for _ in range(3):
            await outage(bus, proxy)
            peer.dispatch(Job(uuid4(), pool))
            bus.dispatch(Job(uuid4(), pool))
            for _ in range(2):
                await (await soon(deliveries)).ack()
            await answered(inbox, peer, "gw-1")
            await answered(inbox, bus, "gw-1")


async def test_a_delivery_of_a_lost_connection_is_void(bus: RabbitBus, proxy: FaultProxy, pool: str) -> None:
    """Acks count per channel: the old delivery's tag would be the new one's, and ack what nobody has done."""
    bus.dispatch(Job(uuid4(), pool))
    async with bus.jobs(pool, 1) as deliveries:
        old = await soon(deliveries)
        await outage(bus, proxy)
        new = await soon(deliveries)
        assert (new.job, new.redelivered) == (old.job, True)
        await old.ack()
        await old.reject()
    await backlog_is(bus, pool, 1)
    async with bus.jobs(pool, 1) as deliveries:
        await (await soon(deliveries)).ack()
    await backlog_is(bus, pool, 0)


async def test_what_lay_ready_when_the_connection_was_lost_is_not_given_out_twice(
    bus: RabbitBus, proxy: FaultProxy, pool: str
) -> None:
    jobs = [Job(uuid4(), pool) for _ in range(3)]
    async with bus.jobs(pool, 3) as deliveries:
        for job in jobs:
            bus.dispatch(job)
        await soon(deliveries)
        await outage(bus, proxy)
        again = [await soon(deliveries) for _ in jobs]
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await anext(deliveries)
    assert [delivery.job for delivery in again] == jobs
    assert all(delivery.redelivered for delivery in again)


async def test_jobs_dispatched_while_the_broker_is_away_arrive_after(
    bus: RabbitBus, peer: RabbitBus, proxy: FaultProxy, pool: str
) -> None:
    jobs = [Job(uuid4(), pool) for _ in range(50)]
    proxy.cut()
    for job in jobs:
        bus.dispatch(job)
    await until(lambda: not bus.connected)
    assert await bus.backlog(pool) is None
    assert await bus.dead_letters() is None
    proxy.pass_through()
    async with peer.jobs(pool, len(jobs)) as deliveries:
        assert [(await soon(deliveries)).job for _ in jobs] == jobs


async def test_jobs_beyond_the_bound_are_dropped_while_the_broker_is_away(
    bus: RabbitBus, proxy: FaultProxy, pool: str, tally: Tally
) -> None:
    proxy.cut()
    await until(lambda: not bus.connected)
    for _ in range(JOBS + 5):
        bus.dispatch(Job(uuid4(), pool))
    assert tally.counts["bus_dropped_total jobs"] == 5


async def test_mail_of_an_outage_is_not_sent_after_it(
    bus: RabbitBus, peer: RabbitBus, proxy: FaultProxy, tally: Tally
) -> None:
    fresh = StopAsked(uuid4())
    async with peer.inbox("wk-1", bulletins=False) as inbox:
        proxy.cut()
        await until(lambda: not bus.connected)
        for _ in range(3):
            bus.send("wk-1", StopAsked(uuid4()))
        proxy.pass_through()
        await until(lambda: bus.connected)
        bus.send("wk-1", fresh)
        assert await mail(inbox) == fresh
    assert tally.counts["bus_dropped_total inbox"] == 3


async def test_no_job_is_lost_by_connections_that_break_while_it_is_published(
    bus: RabbitBus, peer: RabbitBus, proxy: FaultProxy, pool: str
) -> None:
    jobs = [Job(uuid4(), pool) for _ in range(600)]
    chance = random.Random(7)  # noqa: S311 - the same moments in each run
    for index, job in enumerate(jobs):
        bus.dispatch(job)
        if index % 100 == 50:
            await asyncio.sleep(chance.uniform(0, 0.02))
            proxy.reset()
            await until(lambda: not bus.connected)
            await until(lambda: bus.connected)
    await until(lambda: bus.connected)
    assert await arrived(peer, pool, len(jobs)) == {job.run for job in jobs}


async def arrived(bus: RabbitBus, pool: str, count: int) -> set[UUID]:
    """The runs of a pool, until there are so many different ones."""
    runs: set[UUID] = set()
    async with bus.jobs(pool, 100) as deliveries, asyncio.timeout(20):
        while len(runs) < count:
            delivery = await anext(deliveries)
            runs.add(delivery.job.run)
            await delivery.ack()
    return runs


async def test_a_black_hole_is_noticed_and_left(bus: RabbitBus, peer: RabbitBus, proxy: FaultProxy, pool: str) -> None:
    async with bus.jobs(pool, 2) as deliveries:
        proxy.black_hole()
        job = Job(uuid4(), pool)
        bus.dispatch(job)
        await until(lambda: not bus.connected, seconds=9)
        proxy.reset()
        assert (await soon(deliveries)).job == job


async def test_what_is_raised_within_a_bus_leaves_it_as_it_is(broker: Broker) -> None:
    with pytest.raises(ZeroDivisionError):
        async with broker.bus():
            raise ZeroDivisionError


async def test_leaving_a_bus_sends_what_it_still_has(broker: Broker, peer: RabbitBus, pool: str) -> None:
    async with peer.inbox("gw-1", bulletins=False) as inbox:
        async with broker.bus() as leaving:
            for _ in range(300):
                leaving.dispatch(Job(uuid4(), pool))
                leaving.send("gw-1", StopAsked(uuid4()))
        for _ in range(300):
            await mail(inbox)
    await backlog_is(peer, pool, 300)


async def test_leaving_a_bus_does_not_wait_for_a_broker_that_is_silent(broker: Broker, proxy: FaultProxy) -> None:
    async with asyncio.timeout(12):
        async with broker.bus(port=proxy.port) as leaving, leaving.inbox("gw-1", bulletins=False):
            proxy.black_hole()
            leaving.dispatch(Job(uuid4(), "silent"))


# ── what was declared is gone ──


async def test_a_deleted_queue_is_declared_again_and_consumed_on(bus: RabbitBus, broker: Broker, pool: str) -> None:
    async with bus.jobs(pool, 1) as deliveries:
        bus.dispatch(Job(uuid4(), pool))
        await (await soon(deliveries)).ack()
        async with broker.channel() as channel:
            await channel.queue_delete(topology.jobs_queue(pool))
        job = Job(uuid4(), pool)
        bus.dispatch(job)
        assert (await soon(deliveries)).job == job


async def test_a_job_for_a_queue_that_is_gone_is_published_into_a_new_one(
    bus: RabbitBus, peer: RabbitBus, broker: Broker, pool: str
) -> None:
    bus.dispatch(Job(uuid4(), pool))
    await backlog_is(peer, pool, 1)
    async with broker.channel() as channel:
        await channel.queue_delete(topology.jobs_queue(pool))
    jobs = [Job(uuid4(), pool) for _ in range(10)]
    for job in jobs:
        bus.dispatch(job)
    assert await arrived(peer, pool, len(jobs)) == {job.run for job in jobs}


async def test_processes_that_declare_a_queue_in_the_same_instant_lose_nothing(broker: Broker, pool: str) -> None:
    """As all of them do on a wiped broker."""
    async with AsyncExitStack() as processes:
        buses = [await processes.enter_async_context(broker.bus()) for _ in range(4)]
        for number in range(12):
            fresh = f"{pool}-{number}"
            async with AsyncExitStack() as consuming:
                taking = [await consuming.enter_async_context(bus.jobs(fresh, 1)) for bus in buses]
                for bus in buses:
                    bus.dispatch(Job(uuid4(), fresh))
                # With a slot each, each gets one.
                for delivery in [await soon(deliveries) for deliveries in taking]:
                    await delivery.ack()


async def test_a_deleted_exchange_is_declared_again(bus: RabbitBus, broker: Broker) -> None:
    async with broker.channel() as channel:
        await channel.exchange_delete(topology.INBOX)
    bus.send("gw-1", StopAsked(uuid4()))
    async with bus.inbox("gw-1", bulletins=False) as inbox:
        await answered(inbox, bus, "gw-1")


async def test_a_wiped_broker_comes_back_wholly(pool: str) -> None:
    async with (
        own_vhost() as broker,
        broker.bus() as bus,
        broker.bus() as peer,
        bus.jobs(pool, 2) as deliveries,
        bus.inbox("gw-1", bulletins=True) as inbox,
    ):
        peer.dispatch(Job(uuid4(), pool))
        held = await soon(deliveries)
        await broker.remove()
        await until(lambda: not bus.connected and not peer.connected)
        during = Job(uuid4(), pool)
        peer.dispatch(during)
        await broker.make()
        # It is back: from now on everything goes on within five seconds.
        async with asyncio.timeout(5):
            assert (await anext(deliveries)).job == during
            await answered(inbox, peer, "gw-1")
        await held.ack()


# ── how it is said ──


async def test_the_broker_shows_as_connected_while_both_connections_stand_and_confirms_are_timed(
    bus: RabbitBus, proxy: FaultProxy, pool: str, tally: Tally
) -> None:
    await until(lambda: tally.gauges["bus_connected"] == 1)
    bus.dispatch(Job(uuid4(), pool))
    await until(lambda: tally.times["bus_confirm_seconds"] == 1)
    proxy.cut()
    await until(lambda: tally.gauges["bus_connected"] == 0)
    proxy.pass_through()
    await until(lambda: tally.gauges["bus_connected"] == 1)
    assert bus.connected


async def test_a_bus_opens_without_a_broker_and_says_once_that_it_is_away_and_once_that_it_is_back(
    broker: Broker, proxy: FaultProxy, pool: str
) -> None:
    proxy.cut()
    with capture_logs() as lines:
        async with open_rabbitmq(broker.url(port=proxy.port), Tally()) as bus:
            job = Job(uuid4(), pool)
            bus.dispatch(job)
            bus.send("gw-1", StopAsked(uuid4()))
            async with bus.inbox("gw-1", bulletins=True) as inbox, bus.jobs(pool, 1) as deliveries:
                assert await bus.backlog(pool) is None
                await until(lambda: bool(lines))
                proxy.pass_through()
                assert (await soon(deliveries)).job == job
                await answered(inbox, bus, "gw-1")
    away, back = lines
    assert (away["event"], back["event"]) == ("broker.away", "broker.back")
    assert f"RabbitMQ at 127.0.0.1:{proxy.port} cannot be reached" in away["error"]
    assert "@" not in away["error"]
    assert "keeps trying" in away["way"]


async def test_connections_are_listed_under_the_name_of_the_process(broker: Broker, bus: RabbitBus) -> None:
    assert bus.connected
    listed = await rabbitmqctl("list_connections", "client_properties", "vhost")
    rows = [row for row in listed.splitlines() if row.endswith(broker.vhost)]
    assert any("test publishing" in row for row in rows)
    assert any("test consuming" in row for row in rows)
