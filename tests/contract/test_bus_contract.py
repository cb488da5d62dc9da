"""The laws of the bus, for every adapter. What an adapter may lose is written in ``ports.Bus``; nothing else.

A broker takes its time: what a law says is there "then" is asked for until it is, with a deadline.
"""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, suppress
from uuid import uuid4

import pytest

from prosa.adapters import memory_bus
from prosa.adapters.rabbitmq_bus import RabbitBus
from prosa.core import events
from prosa.core.events import Bulletin, Gone, Job, Mail, Over, StopAsked
from prosa.ports import Broker, Bus, Delivery
from tests.contract.broker import Tally, backlog_is, eventually, until

NOTHING_SECONDS = 0.2
"""How long nothing must come before it counts as nothing."""


async def soon(deliveries: AsyncIterator[Delivery]) -> Delivery:
    async with asyncio.timeout(5):
        return await anext(deliveries)


async def mail(inbox: AsyncIterator[Mail]) -> Mail:
    async with asyncio.timeout(5):
        return await anext(inbox)


async def nothing(iterator: AsyncIterator[Delivery] | AsyncIterator[Mail], seconds: float = NOTHING_SECONDS) -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(seconds):
            await anext(iterator)


def job(pool: str) -> Job:
    return Job(uuid4(), pool, "gw-1")


def over() -> Over:
    return Over(uuid4(), uuid4(), uuid4())


# ── jobs ──


async def test_a_job_dispatched_before_anybody_consumes_is_delivered_in_order(bus: Bus, peer: Bus, pool: str) -> None:
    jobs = [job(pool) for _ in range(200)]
    for one in jobs:
        peer.dispatch(one)
    async with bus.jobs(pool, len(jobs)) as deliveries:
        taken = [await soon(deliveries) for _ in jobs]
    assert [delivery.job for delivery in taken] == jobs
    assert not any(delivery.redelivered for delivery in taken)


async def test_a_consumer_holds_at_most_its_slots(bus: Bus, pool: str) -> None:
    for _ in range(3):
        bus.dispatch(job(pool))
    async with bus.jobs(pool, 2) as deliveries:
        first, _second = await soon(deliveries), await soon(deliveries)
        await nothing(deliveries)
        await backlog_is(bus, pool, 1)
        await first.ack()
        await soon(deliveries)


async def test_two_consumers_share_what_there_is(bus: Bus, peer: Bus, pool: str) -> None:
    async with bus.jobs(pool, 2) as ones, peer.jobs(pool, 2) as others:
        jobs = [job(pool) for _ in range(4)]
        for one in jobs:
            bus.dispatch(one)
        taken = [await soon(deliveries) for deliveries in (ones, others, ones, others)]
    assert {delivery.job.run for delivery in taken} == {one.run for one in jobs}


async def test_what_a_consumer_did_not_settle_is_delivered_again_first_and_marked(bus: Bus, pool: str) -> None:
    held, acked, later = job(pool), job(pool), job(pool)
    bus.dispatch(held)
    bus.dispatch(acked)
    async with bus.jobs(pool, 5) as deliveries:
        await soon(deliveries)
        await (await soon(deliveries)).ack()
    await backlog_is(bus, pool, 1)
    bus.dispatch(later)
    await backlog_is(bus, pool, 2)
    async with bus.jobs(pool, 5) as deliveries:
        again, fresh = await soon(deliveries), await soon(deliveries)
    assert (again.job, again.redelivered) == (held, True)
    assert (fresh.job, fresh.redelivered) == (later, False)


async def test_a_consumer_that_leaves_gives_back_at_once_what_it_holds(bus: Bus, peer: Bus, pool: str) -> None:
    bus.dispatch(job(pool))
    async with AsyncExitStack() as holding:
        deliveries = await holding.enter_async_context(bus.jobs(pool, 1))
        held = await soon(deliveries)
        async with peer.jobs(pool, 1) as others:
            await nothing(others)
            await holding.aclose()
            again = await soon(others)
    assert (again.job, again.redelivered) == (held.job, True)


async def test_an_ack_after_its_consumer_left_changes_nothing(bus: Bus, pool: str) -> None:
    bus.dispatch(job(pool))
    async with bus.jobs(pool, 1) as deliveries:
        delivery = await soon(deliveries)
    await delivery.ack()
    async with bus.jobs(pool, 1) as deliveries:
        again = await soon(deliveries)
        assert (again.job, again.redelivered) == (delivery.job, True)
        await delivery.ack()
        await delivery.reject()
    await backlog_is(bus, pool, 1)


async def test_an_ack_twice_frees_one_slot_only(bus: Bus, pool: str) -> None:
    for _ in range(3):
        bus.dispatch(job(pool))
    async with bus.jobs(pool, 1) as deliveries:
        first = await soon(deliveries)
        await first.ack()
        await first.ack()
        await first.reject()
        await soon(deliveries)
        await nothing(deliveries)


async def test_a_consumer_that_stops_leaves_to_others_what_it_did_not_begin(bus: Bus, peer: Bus, pool: str) -> None:
    jobs = [job(pool) for _ in range(5)]
    async with bus.jobs(pool, 3) as deliveries:
        for one in jobs:
            peer.dispatch(one)
        begun = await soon(deliveries)
        await backlog_is(peer, pool, 2 if isinstance(bus, RabbitBus) else 4)
        await deliveries.stop()
        async with peer.jobs(pool, 5) as others:
            taken = [await soon(others) for _ in jobs[1:]]
            for delivery in (begun, *taken):
                await delivery.ack()
            await nothing(deliveries)
    assert {delivery.job.run for delivery in (begun, *taken)} == {one.run for one in jobs}
    assert await bus.backlog(pool) == 0


async def test_an_acked_job_never_comes_again(bus: Bus, pool: str) -> None:
    bus.dispatch(job(pool))
    async with bus.jobs(pool, 1) as deliveries:
        await (await soon(deliveries)).ack()
    async with bus.jobs(pool, 1) as deliveries:
        await nothing(deliveries)
    assert await bus.backlog(pool) == 0


async def test_what_was_rejected_is_there_to_be_counted(bus: Broker, pool: str) -> None:
    wanted: int | None = (await bus.dead_letters() or 0) + 2
    async with bus.jobs(pool, 1) as deliveries:
        for _ in range(2):
            bus.dispatch(job(pool))
            await (await soon(deliveries)).reject()
    await eventually(bus.dead_letters, wanted)


async def test_a_rejected_job_never_comes_again_and_is_counted_among_the_dead(
    bus: Bus, pool: str, tally: Tally
) -> None:
    bus.dispatch(job(pool))
    async with bus.jobs(pool, 1) as deliveries:
        delivery = await soon(deliveries)
        await delivery.reject()
        await delivery.reject()
        await nothing(deliveries)
    assert tally.counts["dead_letters_total rejected"] == 1
    async with bus.jobs(pool, 1) as deliveries:
        await nothing(deliveries)
    assert await bus.backlog(pool) == 0


async def test_a_job_that_no_consumer_survives_is_given_up(bus: Bus, pool: str) -> None:
    bus.dispatch(job(pool))
    died = 0
    with suppress(TimeoutError):
        while died < 2 * memory_bus.DELIVERY_LIMIT:
            async with bus.jobs(pool, 1) as deliveries, asyncio.timeout(1):
                await anext(deliveries)
                died += 1
    # A broker counts how often it came back, and gives up when that is over the limit.
    assert died in (memory_bus.DELIVERY_LIMIT, memory_bus.DELIVERY_LIMIT + 1)
    assert await bus.backlog(pool) == 0


async def test_a_consumer_that_waits_when_it_is_cancelled_takes_no_job_with_it(bus: Bus, pool: str) -> None:
    async with bus.jobs(pool, 1) as deliveries:
        await nothing(deliveries, 0.02)
        bus.dispatch(job(pool))
        await soon(deliveries)


async def test_pools_do_not_mix(bus: Bus, pool: str) -> None:
    bus.dispatch(Job(uuid4(), f"{pool}-other", None))
    await backlog_is(bus, f"{pool}-other", 1)
    assert await bus.backlog(pool) == 0
    async with bus.jobs(pool, 1) as deliveries:
        await nothing(deliveries)


# ── mail and bulletins ──


async def test_mail_arrives_in_order_and_a_bulletin_keeps_its_place(bus: Bus, peer: Bus) -> None:
    run, notice = uuid4(), over()
    async with bus.inbox("gw-1", bulletins=True) as inbox:
        for number in range(100):
            peer.send("gw-1", events.frame("wk-1", [Gone(run, number)]))
            peer.announce([notice])
        arrived = [await mail(inbox) for _ in range(200)]
    frames, bulletins = arrived[::2], arrived[1::2]
    assert frames == [events.frame("wk-1", [Gone(run, number)]) for number in range(100)]
    assert all(isinstance(one, Bulletin) and events.notices(one) == ([notice], 0) for one in bulletins)


async def test_bulletins_reach_every_inbox_that_wants_them_and_no_other(bus: Bus, peer: Bus) -> None:
    async with (
        bus.inbox("gw-1", bulletins=True) as one,
        peer.inbox("gw-2", bulletins=True) as two,
        bus.inbox("wk-1", bulletins=False) as worker,
    ):
        bus.announce([over()])
        stop = StopAsked(uuid4())
        bus.send("wk-1", stop)
        assert isinstance(await mail(one), Bulletin)
        assert isinstance(await mail(two), Bulletin)
        assert await mail(worker) == stop


async def test_mail_goes_to_its_address_only(bus: Bus, peer: Bus) -> None:
    async with bus.inbox("wk-1", bulletins=False) as one, peer.inbox("wk-2", bulletins=False) as two:
        stops = [StopAsked(uuid4()), StopAsked(uuid4())]
        bus.send("wk-2", stops[1])
        bus.send("wk-1", stops[0])
        assert [await mail(one), await mail(two)] == stops
        await nothing(one)
        await nothing(two)


async def test_large_mail_arrives_whole(bus: Bus, peer: Bus) -> None:
    text = events.TextWhole(uuid4(), 1, 1, "é" * 500_000)
    async with bus.inbox("gw-1", bulletins=True) as inbox:
        peer.send("gw-1", events.frame("wk-1", [text]))
        arrived = await mail(inbox)
    assert isinstance(arrived, events.Frame)
    assert events.run_events(arrived) == ([text], 0)


async def test_mail_to_nobody_is_lost_without_a_word(bus: Bus) -> None:
    bus.send("gw-gone", StopAsked(uuid4()))
    async with bus.inbox("gw-gone", bulletins=False) as inbox:
        bus.send("gw-1", StopAsked(uuid4()))
        await nothing(inbox)


async def test_a_full_inbox_drops_the_oldest(bus: Bus, peer: Bus, tally: Tally) -> None:
    stops = [StopAsked(uuid4()) for _ in range(memory_bus.INBOX_MESSAGES + 3)]
    async with bus.inbox("wk-1", bulletins=False) as inbox:
        for start in range(0, len(stops), 1000):
            for stop in stops[start : start + 1000]:
                peer.send("wk-1", stop)
            await asyncio.sleep(0)
        await until(lambda: tally.dropped == 3)
        assert [await mail(inbox) for _ in stops[3:]] == stops[3:]


async def test_whoever_asks_for_the_backlog_can_be_cancelled_at_any_instant(bus: Bus, pool: str) -> None:
    """A worker that leaves cancels its sweep; an answer of the broker that comes in that turn must not undo it."""

    async def ask_and_ask() -> None:
        while True:
            await bus.backlog(pool)
            await asyncio.sleep(0)

    chance = random.Random(3)  # noqa: S311 — jitter is no secret
    async with asyncio.TaskGroup() as group:
        askers = []
        for _ in range(300):
            askers.append(group.create_task(ask_and_ask()))
            await asyncio.sleep(chance.uniform(0, 0.006))
            askers[-1].cancel()
        _, deaf = await asyncio.wait(askers, timeout=2)
        for asker in deaf:
            asker.cancel()
    assert not deaf, f"{len(deaf)} of {len(askers)} went on"
