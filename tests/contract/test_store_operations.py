"""What administrators see and do, on both databases."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from itertools import product
from types import MappingProxyType
from uuid import UUID, uuid4

import msgspec
import pytest
from sqlalchemy import Connection, insert
from uuid_utils.compat import uuid7

from prosa.adapters.sql.listing import SCAN
from prosa.adapters.sql.opening import open_database
from prosa.adapters.sql.tables import chats, messages, runs
from prosa.core.errors import BadRequest, NotFound, NoWorker
from prosa.core.operations import Duty, Listed, Process, Wanted, percentile
from prosa.core.policy import Limits
from prosa.core.run import End, Failure, Finish, RunState
from tests.contract.scene import LEASE, POOL, Scene
from tests.contract.sql import SILENCE, raw

FAILED = End(RunState.FAILED, failure=Failure.of(NoWorker("No worker took the message in time.")))
BEGAN = datetime(2026, 1, 1, 12, tzinfo=UTC)
GATEWAY = Process("gw-1", "here", "1.2.3", BEGAN)


async def listed(scene: Scene, limit: int = 3, wanted: Mapping[str, object] = MappingProxyType({})) -> list[Listed]:
    """All pages."""
    found: list[Listed] = []
    cursor = None
    while True:
        page = await scene.store.operations.listing(msgspec.convert(wanted, Wanted), cursor, limit)
        assert len(page.items) <= limit
        found += page.items
        cursor = page.next
        if cursor is None:
            return found


@pytest.fixture
async def busy(scene: Scene) -> Scene:
    """Two people with runs in every state, in several chats."""
    bea = await scene.person("Bea")
    of_users = [(user, uuid4()) for user in (scene.user, bea) for _ in range(2)]
    for (user, chat), model in product(of_users, ("echo", "other")):
        for end in (None, FAILED, End(RunState.STOPPED, Finish.STOPPED)):
            run = (await scene.send(chat, user=user, model=model)).row.run
            held = await scene.hold(run, f"wk-{model}")
            await (scene.finish(held) if end is None else scene.finish(held, end=end))
    for chat in (uuid4(), uuid4()):
        waits = [(await scene.send(chat)).row.run for _ in range(2)]
        await scene.hold(waits[0], "wk-now")
    await scene.send(uuid4())
    return scene


async def test_every_filter_finds_what_fits_newest_first_and_each_run_once(busy: Scene) -> None:
    everything = await listed(busy, 100)
    assert len(everything) == 29
    assert everything == sorted(everything, key=lambda run: run.id, reverse=True)
    chat, run = everything[-1].chat, everything[7]
    states = {state: [one for one in everything if one.state is state] for state in RunState}
    assert all(states.values())
    for state in (None, *RunState):
        for more in (
            {},
            {"user": "bea"},
            {"user": str(busy.user)},
            {"chat": str(chat)},
            {"code": "no_worker"},
            {"model": "other"},
            {"worker": "wk-echo"},
            {"worker": "wk-now"},
            {"user": "BEA", "model": "echo"},
            {"user": "ana", "code": "no_worker"},
            {"run": str(run.id)},
        ):
            wanted = {**more, **({"state": state} if state else {})}
            expected = [one for one in everything if fits(one, wanted)]
            assert await listed(busy, 3, wanted) == expected, wanted
            assert await listed(busy, 1, wanted) == expected, wanted


def fits(run: Listed, wanted: Mapping[str, object]) -> bool:
    said = {
        "state": run.state,
        "chat": str(run.chat),
        "code": run.code,
        "model": run.model,
        "worker": run.worker,
        "run": str(run.id),
    }
    users = (str(run.user), run.username.lower())
    return all(str(value).lower() in users if key == "user" else said[key] == value for key, value in wanted.items())


async def test_what_nobody_has_is_an_empty_list(busy: Scene) -> None:
    for wanted in ({"user": "nobody"}, {"user": str(uuid4())}, {"chat": str(uuid4())}, {"code": "x"}, {"model": "x"}):
        assert await listed(busy, 3, wanted) == []
    with pytest.raises(BadRequest):
        await busy.store.operations.listing(Wanted(), "rubbish", 3)


async def test_a_page_looks_at_a_bounded_number_of_runs_and_the_next_goes_on(scene: Scene) -> None:
    """The one run that is wanted is the oldest."""
    oldest = (await scene.send()).row.run
    await scene.finish(await scene.hold(oldest, "wk-rare"))
    await fill(scene, SCAN + 20)
    for wanted in (Wanted(worker="wk-rare"), Wanted(user="ana", worker="wk-rare")):
        page = await scene.store.operations.listing(wanted, None, 5)
        assert (page.items, page.next is None) == ((), False)
        page = await scene.store.operations.listing(wanted, page.next, 5)
        assert ([run.id for run in page.items], page.next) == ([oldest], None)


async def fill(scene: Scene, count: int) -> None:
    """So many answered runs in one chat."""
    chat, now = uuid4(), datetime(2026, 1, 1, tzinfo=UTC)
    pairs = [(uuid7(), uuid7(), ordinal) for ordinal in range(1, count + 1)]

    def work(tx: Connection) -> None:
        tx.execute(insert(chats).values(id=chat, user_id=scene.user))
        said = [{"chat_id": chat, "id": id, "role": "assistant", "ordinal": ordinal} for _, id, ordinal in pairs]
        tx.execute(insert(messages), said)
        same = {"user_id": scene.user, "chat_id": chat, "kind": "send", "pool": POOL, "model": "echo", "state": "done"}
        done = [
            {**same, "id": run, "request_id": reply, "message_id": reply, "reply_id": reply, "ordinal": ordinal}
            for run, reply, ordinal in pairs
        ]
        tx.execute(insert(runs).values(ended_at=now, worker="wk-1"), done)

    async with open_database(scene.url) as database:
        await database.write(work)


async def test_a_detail_tells_everything_but_the_words(scene: Scene) -> None:
    run = (await scene.send(text="A secret question?")).row.run
    held = await scene.hold(run)
    await scene.save(held, "A secret answer", spoke=0.1)
    await scene.store.runs.stop(scene.user, run, scene.limits)
    detail = await scene.store.operations.detail(run)
    assert (detail.listed.id, detail.listed.username, detail.listed.state) == (run, "ana", RunState.RUNNING)
    assert (detail.stop_requested, detail.dispatches, detail.life.saved_characters) == (True, 1, 15)
    await scene.finish(held, "A secret answer", FAILED)
    detail = await scene.store.operations.detail(run)
    assert (detail.listed.code, detail.error_message) == ("no_worker", "No worker took the message in time.")
    assert (detail.life.outcome, detail.life.saved_characters) == ("no_worker", None)
    assert "secret" not in str(detail)
    with pytest.raises(NotFound):
        await scene.store.operations.detail(uuid4())


async def test_the_standing_counts_what_waits_runs_and_ends(busy: Scene) -> None:
    standing = await busy.store.operations.standing(["pool", "idle"])
    assert standing.counts == {RunState.WAITING: 2, RunState.QUEUED: 1, RunState.RUNNING: 2}
    idle, pool = standing.lines
    assert (idle.pool, idle.queued, idle.running, idle.oldest_seconds) == ("idle", 0, 0, None)
    assert (pool.pool, pool.queued, pool.running) == (POOL, 1, 2)
    assert pool.oldest_seconds is not None
    assert 0 <= pool.oldest_seconds < 30
    rates = standing.rates
    assert rates.accepted_per_second == round(29 / 60, 3)
    assert rates.answered_per_second == round(8 / 60, 3)
    assert rates.failed_per_second == round(8 / 60, 3)
    assert rates.run_p50_seconds is not None
    assert rates.first_token_p50_seconds is None
    await raw(busy.url, "UPDATE runs SET ended_at = '2026-01-01T00:00:00.000Z' WHERE ended_at IS NOT NULL")
    rates = (await busy.store.operations.standing(["pool"])).rates
    assert (rates.answered_per_second, rates.failed_per_second, rates.run_p95_seconds) == (0, 0, None)


async def test_who_came_into_the_queue_behind_the_look_has_waited_for_no_time(busy: Scene) -> None:
    await raw(busy.url, "UPDATE runs SET queued_at = '2101-01-01T00:00:00.000Z' WHERE state = 'queued'")
    (line,) = (await busy.store.operations.standing([POOL])).lines
    assert line.oldest_seconds == 0


async def test_the_time_to_the_first_text_counts_from_the_queue(scene: Scene) -> None:
    run = (await scene.send()).row.run
    await scene.finish(await scene.hold(run), spoke=-2.0)
    rates = (await scene.store.operations.standing([POOL])).rates
    assert rates.first_token_p50_seconds is not None
    assert 2 <= rates.first_token_p50_seconds < 4


async def test_processes_are_told_as_they_last_said(scene: Scene) -> None:
    operations = scene.store.operations
    await operations.announce(GATEWAY, sockets=1, watched=0, draining=False)
    await operations.announce(GATEWAY, sockets=7, watched=3, draining=True)
    duty = Duty(Process("wk-1", "there", "1.2.3", BEGAN), {"main": 3, "side": 1}, 2)
    await scene.store.sweeps.heartbeat("wk-1", slots=4, draining=False, duty=duty)
    await scene.store.sweeps.heartbeat("wk-old", slots=2, draining=True)
    standing = await operations.standing([])
    (gateway,) = standing.gateways
    assert (gateway.name, gateway.host, gateway.version, gateway.started_at) == ("gw-1", "here", "1.2.3", BEGAN)
    assert (gateway.sockets, gateway.watched, gateway.draining, gateway.alive) == (7, 3, True, True)
    new, old = standing.workers
    assert (new.host, new.started_at, dict(new.pools), new.slots_used) == ("there", BEGAN, {"main": 3, "side": 1}, 2)
    assert (old.host, old.started_at, dict(old.pools), old.draining) == ("", None, {}, True)
    assert [line.pool for line in standing.lines] == ["main", "side"]
    await raw(scene.url, SILENCE)
    await raw(scene.url, "UPDATE gateways SET alive_at = '2001-01-01T00:00:00.000Z'")
    await scene.store.sweeps.prune(3600)
    standing = await operations.standing([])
    assert (standing.gateways, standing.workers) == ((), ())


async def test_who_vanished_is_shown_for_ten_minutes_and_who_drained_no_longer_than_it_lived(scene: Scene) -> None:
    for name, draining in (("lost", False), ("left", True)):
        await scene.store.sweeps.heartbeat(f"wk-{name}", slots=4, draining=draining)
        gateway = msgspec.structs.replace(GATEWAY, name=f"gw-{name}")
        await scene.store.operations.announce(gateway, sockets=0, watched=0, draining=draining)

    async def shown(silent_seconds: float) -> list[tuple[str, bool]]:
        now = (await scene.store.operations.standing([])).now
        at = f"{now.astimezone(UTC) - timedelta(seconds=silent_seconds):%Y-%m-%dT%H:%M:%S}.000Z"
        for table in ("workers", "gateways"):
            await raw(scene.url, f"UPDATE {table} SET alive_at = '{at}'")  # noqa: S608 — names of this test
        standing = await scene.store.operations.standing([])
        workers = [(worker.name, worker.alive) for worker in standing.workers]
        return sorted([*workers, *((gateway.name, gateway.alive) for gateway in standing.gateways)])

    assert await shown(3) == [("gw-left", True), ("gw-lost", True), ("wk-left", True), ("wk-lost", True)]
    assert await shown(60) == [("gw-lost", False), ("wk-lost", False)]
    assert await shown(700) == []


OLDER_BEAT = """INSERT INTO workers (name, alive_at, slots, draining) VALUES ('wk-old', {now}, 2, false)
    ON CONFLICT (name) DO UPDATE SET alive_at = {now}, slots = 2, draining = false"""
"""As a worker writes it that knows nothing of revision 0003."""
NOW = {"postgresql": "clock_timestamp()", "sqlite": "strftime('%Y-%m-%dT%H:%M:%fZ', 'now')"}


async def test_a_worker_of_the_version_before_keeps_working_beside_a_new_one(scene: Scene, backend: str) -> None:
    """A rolling upgrade: each sees the other alive, takes over from it when it is not, and minds no wish to drain."""
    older, duty = OLDER_BEAT.format(now=NOW[backend]), Duty(Process("wk-1", "there", "2.0.0", BEGAN), {POOL: 2}, 1)

    async def beat() -> bool:
        return await scene.store.sweeps.heartbeat("wk-1", slots=2, draining=False, duty=duty)

    async def orphans(worker: str) -> list[UUID]:
        return [job.run for job in await scene.store.sweeps.orphans(worker, LEASE, 9)]

    scene.limits = Limits(user_runs=9)
    of_old, of_new = (await scene.send()).row.run, (await scene.send()).row.run
    await raw(scene.url, older)
    await beat()
    await scene.hold(of_old, "wk-old")
    await scene.hold(of_new, "wk-1")
    assert (await orphans("wk-1"), await orphans("wk-old")) == ([], [])
    await scene.store.operations.drain("wk-old")
    await raw(scene.url, older)
    assert not await beat()
    new, old = (await scene.store.operations.standing([])).workers
    assert (old.version, old.slots_used, dict(old.pools), old.alive, old.drain_wanted) == ("", 0, {}, True, True)
    assert (new.version, new.slots_used, dict(new.pools), new.alive, new.drain_wanted) == (
        "2.0.0",
        1,
        {POOL: 2},
        True,
        False,
    )
    await raw(scene.url, SILENCE)
    await beat()
    assert (await orphans("wk-1"), await orphans("wk-old")) == ([of_old], [])
    await raw(scene.url, SILENCE)
    await raw(scene.url, older)
    assert (await orphans("wk-1"), await orphans("wk-old")) == ([], [of_new])
    await scene.hold(of_new, "wk-old")
    assert (await scene.store.operations.detail(of_new)).listed.worker == "wk-old"


async def test_who_is_alone_forgets_all_others_at_its_start(scene: Scene) -> None:
    await scene.store.sweeps.heartbeat("wk-dead", slots=4, draining=False)
    await scene.store.operations.announce(GATEWAY, sockets=0, watched=0, draining=False)
    await raw(scene.url, "UPDATE gateways SET alive_at = '2001-01-01T00:00:00.000Z'")
    await scene.store.operations.announce(
        msgspec.structs.replace(GATEWAY, name="gw-own"), sockets=0, watched=0, draining=False
    )
    await scene.store.sweeps.heartbeat("wk-own", slots=4, draining=False, alone=True)
    standing = await scene.store.operations.standing([])
    assert [worker.name for worker in standing.workers] == ["wk-own"]
    assert [gateway.name for gateway in standing.gateways] == ["gw-own"]


async def test_a_worker_learns_at_its_next_heartbeat_that_it_should_drain(scene: Scene) -> None:
    async def beat(worker: str) -> bool:
        return await scene.store.sweeps.heartbeat(worker, slots=4, draining=False)

    assert [await beat("wk-1"), await beat("wk-2")] == [False, False]
    await scene.store.operations.drain("wk-1")
    assert [await beat("wk-1"), await beat("wk-2"), await beat("wk-1")] == [True, False, True]
    with pytest.raises(NotFound):
        await scene.store.operations.drain("wk-3")
    await raw(scene.url, SILENCE)
    with pytest.raises(NotFound, match="It may have left"):
        await scene.store.operations.drain("wk-2")
    assert not await beat("wk-2")


def test_a_percentile_is_one_of_the_values() -> None:
    assert percentile([], 0.5) is None
    assert [percentile([3.0, 1.0, 2.0], share) for share in (0, 0.5, 0.95)] == [1, 2, 3]
    assert percentile([float(UUID(int=number).int) for number in range(100)], 0.95) == 95


async def test_a_silent_gateway_is_one_of_a_quarter_of_a_minute_and_a_worker_one_of_five_seconds(scene: Scene) -> None:
    await scene.alive("wk-1")
    (worker,) = (await scene.store.operations.standing([])).workers
    assert [msgspec.structs.replace(worker, alive_seconds=age).alive for age in (4.9, 5.1)] == [True, False]
    await scene.store.operations.announce(GATEWAY, sockets=0, watched=0, draining=False)
    (gateway,) = (await scene.store.operations.standing([])).gateways
    assert [msgspec.structs.replace(gateway, alive_seconds=age).alive for age in (14.0, 16.0)] == [True, False]
    assert timedelta(seconds=gateway.alive_seconds) < timedelta(seconds=10)
