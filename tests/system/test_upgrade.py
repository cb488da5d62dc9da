"""Two releases side by side over one database: the one before this and this one, and the way from one to the other."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
from uuid_utils.compat import uuid7

from prosa.adapters.clock import SystemClock
from prosa.adapters.sql.migrate import head, migrate
from prosa.load import report
from prosa.load.accounts import people
from prosa.load.crowd import Cast, Crowd
from prosa.load.plan import Plan
from tests.conftest import Measured
from tests.system.client import Client
from tests.system.cluster import House, Nodes, house, through
from tests.system.harness import Person
from tests.system.previous import SCHEMA, previous

GATEWAYS = ("gateway-1", "gateway-2")
WORKERS = ("worker-1", "worker-2")
VERSION = "SELECT version_num FROM alembic_version"
LONG = "[[n=80 r=20]]"

Overrides = dict[str, dict[str, str]]


class Site:
    """A cluster of the release before; ``renew`` gives its processes this one."""

    def __init__(self, house: House, overrides: Overrides) -> None:
        self.house = house
        self._overrides = overrides

    async def schema(self) -> str:
        ((version,),) = await self.house.ask(VERSION)
        return str(version)

    async def migrate(self) -> None:
        await migrate(self.house.nodes.postgres.url(self.house.database))

    async def renew(self, *names: str) -> None:
        """One after the other, as a rolling upgrade."""
        for name in names:
            del self._overrides[name]
            await self.house.cluster.restart(name)

    async def is_new(self, name: str) -> bool:
        """The administrators' addresses came with this release."""
        async with aiohttp.ClientSession() as http, http.get(f"{self.house.at(name)}/api/admin/overview") as answer:
            return answer.status == 401


@pytest.fixture(scope="module")
def before(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return previous(tmp_path_factory.mktemp("previous"))


@pytest.fixture
async def site(nodes: Nodes, before: Path) -> AsyncIterator[Site]:
    await nodes.heal()
    overrides = {name: {"PYTHONPATH": str(before)} for name in (*GATEWAYS, *WORKERS, "migrate")}
    async with house(nodes, gateways=2, workers=2, proxied=False, overrides=overrides, user_limit="50") as built:
        made = Site(built, overrides)
        assert await made.schema() == SCHEMA < head()
        assert not await made.is_new("gateway-1")
        yield made


async def test_a_gateway_of_one_release_and_a_worker_of_the_other_serve_the_same_people(site: Site) -> None:
    await site.migrate()
    assert await site.schema() == head()
    await site.renew("gateway-2", "worker-1")
    assert [await site.is_new(name) for name in GATEWAYS] == [False, True]
    ana = await Person.sign_up(site.house.base)
    await through_both(site.house, ana)
    await stop_across(site.house, ana)
    for frozen, heir in (WORKERS, reversed(WORKERS)):
        await take_over(site.house, ana, frozen, heir)


async def through_both(house: House, ana: Person) -> None:
    """Answers of both workers, seen through both gateways at once, whoever was asked."""
    async with talking(house, ana, 8, "[[n=40 r=20]]") as clients:
        names = {await answering(house, client) for client in clients}
        others = [
            Client(through(ana, house.at(another)), client.text, accepted=client.accepted)
            for client, another in zip(clients, reversed(GATEWAYS * 4), strict=True)
        ]
        async with asyncio.TaskGroup() as group:
            for other in others:
                group.create_task(other.live())
    assert names == set(WORKERS)
    for client, other in zip(clients, others, strict=True):
        await house.settled(client, other)
        for one in (client, other):
            assert one.kinds().count("delta") > 10, "the text came from the database, and not live"


async def stop_across(house: House, ana: Person) -> None:
    """Whichever release the worker is of: stop works through either gateway."""
    async with talking(house, ana, 8, LONG) as clients:
        for client in clients:
            await client.shows(10)
            await client.stop()
    for client in clients:
        await house.settled(client, finish="stopped")


async def take_over(house: House, ana: Person, frozen: str, heir: str) -> None:
    """The other release's worker goes on with what a frozen one had begun."""
    async with talking(house, ana, 6, LONG) as clients:
        orphans = [client for client in clients if await answering(house, client) == frozen]
        assert orphans, f"{frozen} got none of {len(clients)} answers"
        for orphan in orphans:
            await orphan.shows(60)
        house.cluster.freeze(frozen)
        for orphan in orphans:
            await orphan.reaches(2)
            assert await answering(house, orphan) == heir
        house.cluster.thaw(frozen)
    for client in clients:
        await house.settled(client, attempt=2 if client in orphans else 1, crashes=int(client in orphans))
    await house.until_idle(frozen)


async def answering(house: House, client: Client) -> str:
    """The worker that has the question, or had it last."""
    return house.process_of(await house.until_run(client.run, lambda row: row.worker))


@asynccontextmanager
async def talking(house: House, ana: Person, count: int, how: str) -> AsyncIterator[list[Client]]:
    """So many questions at once, by turns through either gateway; left when all have their end."""
    doors = [through(ana, house.at(name)) for name in GATEWAYS * (count // 2)]
    clients = [Client(door, f"question {number} {how}") for number, door in enumerate(doors)]
    async with asyncio.TaskGroup() as group:
        for client in clients:
            group.create_task(client.live())
        for client in clients:
            await client.until(lambda one: one.accepted)
        yield clients


@pytest.mark.timeout(180)
async def test_an_upgrade_of_everything_under_load_loses_and_spoils_nothing(site: Site, measured: Measured) -> None:
    """First the schema, then the workers, then the gateways; people ask and read all the while."""
    plan = Plan(users=12, messages=14, words=20, rate=20, spread_seconds=1.0)
    accounts = await people([site.house.base], plan.users, None, uuid7)
    cast = Cast((site.house.base,), tuple(account.token for account in accounts))
    crowd = Crowd(plan, cast, uuid7, SystemClock().monotonic)
    async with crowd.connected():
        crowd.start(SystemClock().monotonic())
        await asyncio.sleep(plan.spread_seconds)
        await site.migrate()
        await site.renew(*WORKERS, *GATEWAYS)
        began = SystemClock().monotonic()
        async with asyncio.timeout(90):
            await crowd.finished()
        measured("of load after the last process was renewed, s", SystemClock().monotonic() - began)
    harvest = await crowd.harvest()
    found = report.verdict(harvest.answers, harvest.tally, harvest.unread_chats)
    assert (found.asked, found.accepted, found.answered) == (plan.users * 14,) * 3
    assert (found.lost, found.duplicated, found.corrupted, found.reordered, found.unread_chats) == (0, 0, 0, 0, 0)
    lived = report.disturbance(harvest.answers, harvest.tally)
    assert (lived.failures, lived.refusals, lived.taken_back) == ({}, {}, 0)
    assert all([await site.is_new(name) for name in GATEWAYS])
    assert [code for _, code in site.house.ends()] == [0] * 4
