"""The laws of the bus, for every adapter. What an adapter may lose is written in ``ports.Bus``; nothing else."""

import asyncio
from collections.abc import AsyncIterator
from uuid import uuid4

import pytest

from prosa.adapters import memory_bus
from prosa.adapters.memory_bus import MemoryBus
from prosa.adapters.metrics import NullMetrics
from prosa.core import events
from prosa.core.events import Bulletin, Gone, Job, Mail, Over, StopAsked
from prosa.ports import Bus, Delivery

POOL = "default"


@pytest.fixture
def bus() -> Bus:
    return MemoryBus(NullMetrics())


async def soon(deliveries: AsyncIterator[Delivery]) -> Delivery:
    async with asyncio.timeout(2):
        return await anext(deliveries)


async def mail(inbox: AsyncIterator[Mail]) -> Mail:
    async with asyncio.timeout(2):
        return await anext(inbox)


def job() -> Job:
    return Job(uuid4(), POOL, "gw-1")


async def test_a_job_dispatched_before_anybody_consumes_is_delivered_in_order(bus: Bus) -> None:
    jobs = [job() for _ in range(3)]
    for one in jobs:
        bus.dispatch(one)
    async with bus.jobs(POOL, 3) as deliveries:
        taken = [await soon(deliveries) for _ in jobs]
    assert [delivery.job for delivery in taken] == jobs
    assert not any(delivery.redelivered for delivery in taken)


async def test_a_consumer_holds_at_most_its_slots(bus: Bus) -> None:
    for _ in range(3):
        bus.dispatch(job())
    async with bus.jobs(POOL, 2) as deliveries:
        first, _second = await soon(deliveries), await soon(deliveries)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await anext(deliveries)
        assert await bus.backlog(POOL) == 1
        await first.ack()
        await soon(deliveries)


async def test_what_a_consumer_did_not_settle_is_delivered_again_first_and_marked(bus: Bus) -> None:
    held, acked, later = job(), job(), job()
    bus.dispatch(held)
    bus.dispatch(acked)
    async with bus.jobs(POOL, 5) as deliveries:
        await soon(deliveries)
        await (await soon(deliveries)).ack()
        bus.dispatch(later)
    async with bus.jobs(POOL, 5) as deliveries:
        again, fresh = await soon(deliveries), await soon(deliveries)
    assert (again.job, again.redelivered) == (held, True)
    assert (fresh.job, fresh.redelivered) == (later, False)


async def test_an_ack_after_its_consumer_left_changes_nothing(bus: Bus) -> None:
    bus.dispatch(job())
    async with bus.jobs(POOL, 1) as deliveries:
        delivery = await soon(deliveries)
    await delivery.ack()
    async with bus.jobs(POOL, 1) as deliveries:
        assert (await soon(deliveries)).redelivered


async def test_an_ack_twice_frees_one_slot_only(bus: Bus) -> None:
    for _ in range(3):
        bus.dispatch(job())
    async with bus.jobs(POOL, 1) as deliveries:
        first = await soon(deliveries)
        await first.ack()
        await first.ack()
        await soon(deliveries)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await anext(deliveries)


async def test_a_rejected_job_never_comes_again(bus: Bus) -> None:
    bus.dispatch(job())
    async with bus.jobs(POOL, 1) as deliveries:
        await (await soon(deliveries)).reject()
    assert await bus.backlog(POOL) == 0


async def test_a_job_that_no_consumer_survives_ends_among_the_dead(bus: Bus) -> None:
    bus.dispatch(job())
    for _ in range(memory_bus.DELIVERY_LIMIT):
        async with bus.jobs(POOL, 1) as deliveries:
            await soon(deliveries)
    assert await bus.backlog(POOL) == 0


async def test_a_consumer_that_waits_when_it_is_cancelled_takes_no_job_with_it(bus: Bus) -> None:
    async with bus.jobs(POOL, 1) as deliveries:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.02):
                await anext(deliveries)
        bus.dispatch(job())
        await soon(deliveries)


async def test_pools_do_not_mix(bus: Bus) -> None:
    bus.dispatch(Job(uuid4(), "other", None))
    assert await bus.backlog(POOL) == 0
    assert await bus.backlog("other") == 1


async def test_mail_arrives_in_order_and_a_bulletin_keeps_its_place(bus: Bus) -> None:
    run, over = uuid4(), Over(uuid4(), uuid4(), uuid4())
    async with bus.inbox("gw-1", bulletins=True) as inbox:
        bus.send("gw-1", events.frame("wk-1", [Gone(run, 1)]))
        bus.announce([over])
        bus.send("gw-1", events.frame("wk-1", [Gone(run, 2)]))
        first, bulletin, last = [await mail(inbox) for _ in range(3)]
    assert isinstance(bulletin, Bulletin)
    assert events.notices(bulletin) == ([over], 0)
    assert first == events.frame("wk-1", [Gone(run, 1)])
    assert last == events.frame("wk-1", [Gone(run, 2)])


async def test_bulletins_reach_every_inbox_that_wants_them_and_no_other(bus: Bus) -> None:
    async with (
        bus.inbox("gw-1", bulletins=True) as one,
        bus.inbox("gw-2", bulletins=True) as two,
        bus.inbox("wk-1", bulletins=False) as worker,
    ):
        bus.announce([Over(uuid4(), uuid4(), uuid4())])
        stop = StopAsked(uuid4())
        bus.send("wk-1", stop)
        assert isinstance(await mail(one), Bulletin)
        assert isinstance(await mail(two), Bulletin)
        assert await mail(worker) == stop


async def test_mail_to_nobody_is_lost_without_a_word(bus: Bus) -> None:
    bus.send("gw-gone", StopAsked(uuid4()))


async def test_a_full_inbox_drops_the_oldest(bus: Bus) -> None:
    stops = [StopAsked(uuid4()) for _ in range(memory_bus.INBOX_MESSAGES + 3)]
    async with bus.inbox("wk-1", bulletins=False) as inbox:
        for stop in stops:
            bus.send("wk-1", stop)
        assert await mail(inbox) == stops[3]
