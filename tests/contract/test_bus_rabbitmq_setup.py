"""What an operator is told of a broker, and what becomes of the letters that nobody could deliver."""

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator, Sequence
from uuid import uuid4

import pytest

from prosa.adapters.rabbitmq_bus import check, open_dead_letters, topology
from prosa.core.errors import BadConfig, BrokerMismatch, BrokerRefused, BusUnavailable, NotFound
from prosa.core.events import Job, encode
from tests.contract.broker import Broker, Tally, backlog_is, eventually, own_vhost, rabbitmqctl

RUBBISH = b"\xff\x00 no job"


# ── what the operator is told ──


async def test_a_broker_that_is_well_is_said_in_one_sentence(broker: Broker, pool: str) -> None:
    said = await check(broker.url(), [pool])
    assert said.startswith("RabbitMQ ")
    assert f"{broker.host}:{broker.port}" in said
    assert broker.vhost in said
    assert "\n" not in said


@pytest.fixture
def deaf_port() -> Iterator[int]:
    """A port that is ours, on which nobody listens."""
    with socket.socket() as own:
        own.bind(("127.0.0.1", 0))
        yield own.getsockname()[1]


async def test_a_broker_that_is_not_there_is_unavailable(broker: Broker, deaf_port: int) -> None:
    with pytest.raises(BusUnavailable, match=f"at 127.0.0.1:{deaf_port} cannot be reached .*Start it, or correct"):
        await check(broker.url(port=deaf_port))
    with pytest.raises(BusUnavailable, match="cannot be reached"):
        async with open_dead_letters(broker.url(port=deaf_port)):
            pass


async def test_what_is_no_broker_is_unavailable(broker: Broker) -> None:
    async def slam(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    async with await asyncio.start_server(slam, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(BusUnavailable, match=f"at 127.0.0.1:{port} is away"):
            await check(broker.url(port=port))


async def test_wrong_credentials_are_refused_and_the_password_is_not_shown(broker: Broker) -> None:
    with pytest.raises(BrokerRefused, match="refused the user 'guest' or the password") as refused:
        await check(broker.url(user="guest:a-wrong-one"))
    assert "a-wrong-one" not in refused.value.message


async def test_a_missing_virtual_host_is_named_with_the_commands_that_make_it(broker: Broker) -> None:
    with pytest.raises(BrokerRefused, match="rabbitmqctl add_vhost nowhere; rabbitmqctl set_permissions -p nowhere"):
        await check(broker.url(vhost="nowhere"))


async def test_a_user_without_permission_is_told_which_command_gives_it() -> None:
    async with own_vhost() as broker:
        await rabbitmqctl("set_permissions", "-p", broker.vhost, broker.user, "^$", "^$", "^$")
        with pytest.raises(BrokerRefused, match=f"may not declare .* rabbitmqctl set_permissions -p {broker.vhost}"):
            await check(broker.url())


async def test_a_queue_declared_otherwise_is_named_with_the_command_that_deletes_it(broker: Broker, pool: str) -> None:
    queue = topology.jobs_queue(pool)
    async with broker.channel() as channel:
        await channel.queue_declare(queue, durable=True)
    with pytest.raises(
        BrokerMismatch, match=f"The queue '{queue}' .* rabbitmqctl delete_queue -p {broker.vhost} {queue}"
    ):
        await check(broker.url(), [pool])


async def test_an_exchange_declared_otherwise_is_named() -> None:
    async with own_vhost() as broker:
        async with broker.channel() as channel:
            await channel.exchange_declare(topology.BULLETIN, exchange_type="topic", durable=True)
        with pytest.raises(BrokerMismatch, match=f"The exchange '{topology.BULLETIN}' .* delete it"):
            await check(broker.url())


@pytest.mark.parametrize("url", ["http://127.0.0.1/", "127.0.0.1:5672", "amqp:///", "amqp://a:b@127.0.0.1:port/"])
async def test_what_is_no_url_of_a_broker_is_a_wrong_setting(url: str) -> None:
    with pytest.raises(BadConfig, match="amqp://user:password@host:port/vhost"):
        await check(url)


# ── dead letters ──


@pytest.fixture
async def post() -> AsyncIterator[Broker]:
    """A broker whose dead letters are this test's alone."""
    async with own_vhost() as broker:
        yield broker


async def die(broker: Broker, jobs: Sequence[Job], pool: str) -> None:
    """Jobs that are rejected in this order, and then a body that is no job."""
    async with broker.bus(metrics=Tally()) as bus:
        for job in jobs:
            bus.dispatch(job)
        async with bus.jobs(pool, 1) as deliveries, asyncio.timeout(10):
            for _ in jobs:
                await (await anext(deliveries)).reject()
            await broker.put(pool, RUBBISH)
            await dead_are(broker, len(jobs) + 1)


async def dead_are(broker: Broker, count: int) -> None:
    async with broker.dead_letters() as dead:

        async def asked() -> int:
            return len(await dead.list())

        await eventually(asked, count)


async def test_dead_letters_are_listed_shown_retried_and_dropped(post: Broker, pool: str) -> None:
    jobs = [Job(uuid4(), pool, "gw-1") for _ in range(3)]
    await die(post, jobs, pool)
    async with post.dead_letters() as dead:
        letters = await dead.list()
        assert [letter.run for letter in letters] == [*(job.run for job in jobs), None]
        assert {letter.reason for letter in letters} == {"rejected"}
        assert {letter.queue for letter in letters} == {topology.jobs_queue(pool)}
        assert all(letter.died for letter in letters)
        assert [letter.pool for letter in letters] == [pool, pool, pool, None]
        assert (letters[0].body, letters[3].body) == (encode(jobs[0]), RUBBISH)
        assert letters[3].text == RUBBISH.hex(" ")
        # Looking takes nothing away, changes no order and no id, however often one looks.
        for _ in range(topology.DELIVERY_LIMIT + 5):
            assert await dead.list() == letters
        assert await dead.list(limit=2) == letters[:2]
        assert await dead.show(letters[2].id) == letters[2]

        assert (await dead.drop(letters[0].id)).done == 1
        assert await dead.list() == letters[1:]
        assert (await dead.retry(letters[2].id)).done == 1
        assert await dead.list() == [letters[1], letters[3]]
        await delivered(post, pool, jobs[2])

        handled = await dead.retry()
        assert (handled.done, handled.left) == (1, 1)
        assert await dead.list() == [letters[3]]
        await delivered(post, pool, jobs[1])
        assert (await dead.drop()).done == 1
        assert await dead.list() == []


async def delivered(broker: Broker, pool: str, job: Job) -> None:
    async with broker.bus() as bus:
        async with bus.jobs(pool, 5) as deliveries, asyncio.timeout(5):
            delivery = await anext(deliveries)
            assert delivery.job == job
            await delivery.ack()
        await backlog_is(bus, pool, 0)


async def test_an_unknown_letter_is_not_found(post: Broker) -> None:
    async with post.dead_letters() as dead:
        for ask in (dead.show, dead.retry, dead.drop):
            with pytest.raises(NotFound, match="no dead letter 0123"):
                await ask("0123")


async def test_an_unreadable_body_costs_its_consumer_no_slot(broker: Broker, pool: str) -> None:
    tally = Tally()
    async with broker.bus(metrics=tally) as bus, bus.jobs(pool, 1) as deliveries, asyncio.timeout(10):
        await backlog_is(bus, pool, 0)
        job = Job(uuid4(), pool)
        bus.dispatch(job)
        await (await anext(deliveries)).ack()
        for _ in range(3):
            await broker.put(pool, RUBBISH)
        bus.dispatch(job)
        assert (await anext(deliveries)).job == job
    assert tally.counts["bus_unreadable_total"] == 3


async def test_a_job_that_kills_its_workers_becomes_a_letter_that_says_so(post: Broker, pool: str) -> None:
    job = Job(uuid4(), pool)
    async with post.bus() as bus:
        bus.dispatch(job)
        for _ in range(topology.DELIVERY_LIMIT + 1):
            async with bus.jobs(pool, 1) as deliveries, asyncio.timeout(5):
                await anext(deliveries)
    await dead_are(post, 1)
    async with post.dead_letters() as dead:
        [letter] = await dead.list()
    assert (letter.run, letter.pool, letter.reason) == (job.run, pool, "delivery_limit")
