"""Upkeep: takeovers, dispatch again, promotion, deadlines; safe to run by many at once (L2, L6, L9)."""

import asyncio
from collections.abc import Sequence
from uuid import UUID, uuid4

from prosa.core.events import Job
from prosa.core.policy import Limits
from prosa.core.relay import Row
from prosa.core.run import RunState
from tests.contract.scene import LEASE, POOL, Scene
from tests.contract.sql import SILENCE, raw


async def test_orphans_are_running_runs_of_others_whose_heartbeat_is_over(scene: Scene) -> None:
    scene.limits = Limits(user_runs=9)
    alive, silent, unknown, queued = [(await scene.send()).row.run for _ in range(4)]
    await scene.hold(alive, "wk-alive")
    await scene.hold(silent, "wk-silent")
    await scene.hold(unknown, "wk-unknown")
    await scene.alive("wk-silent")
    await raw(scene.url, SILENCE)
    await scene.alive("wk-alive")
    assert await _orphans(scene, "wk-me") == [silent, unknown]
    assert await _orphans(scene, "wk-silent") == [unknown]
    assert await _orphans(scene, "wk-me", lease=0) == [alive, silent, unknown]
    assert await _orphans(scene, "wk-alive", lease=0) == [silent, unknown]
    assert await _orphans(scene, "wk-me", lease=0, limit=1) == [alive]
    assert queued not in await _orphans(scene, "wk-me", lease=0)


async def test_a_queued_run_is_dispatched_again_after_a_pause_that_doubles(scene: Scene) -> None:
    run = (await scene.send()).row.run
    assert await _undispatched(scene) == []
    for seconds in (2, 4, 8, 16, 32, 64, 64):
        await _age(scene, seconds - 1)
        assert await _undispatched(scene) == []
        await _age(scene, seconds)
        assert await _undispatched(scene) == [run]
        assert await _undispatched(scene) == []


async def test_only_what_the_queue_cannot_hold_any_more_is_dispatched_again_oldest_first(scene: Scene) -> None:
    scene.limits = Limits(user_runs=9)
    runs = [(await scene.send()).row.run for _ in range(4)]
    await _age(scene, 99)
    assert await _undispatched(scene, ready=4) == []
    assert await _undispatched(scene, ready=2) == runs[:2]
    assert await _undispatched(scene, ready=9) == []
    assert sorted(await _undispatched(scene)) == sorted(runs[2:])
    assert await scene.store.sweeps.undispatched("other", 0, scene.limits) in ([], ())


async def test_many_sweepers_dispatch_a_run_once(scene: Scene) -> None:
    scene.limits = Limits(user_runs=20)
    runs = [(await scene.send()).row.run for _ in range(10)]
    await _age(scene, 99)
    found = await _together(scene, "undispatched")
    assert sorted(job.run for job in found) == sorted(runs)


async def test_waiting_runs_go_when_the_limit_is_raised_one_per_chat_oldest_first(scene: Scene) -> None:
    scene.limits = Limits(user_runs=1)
    first = await scene.send()
    behind = await scene.send(first.row.chat)
    others = [await scene.send() for _ in range(3)]
    assert await _promoted(scene) == []
    scene.limits = Limits(user_runs=3)
    assert await _promoted(scene, limit=1) == [others[0].row.run]
    assert await _promoted(scene) == [others[1].row.run]
    assert await _promoted(scene) == []
    assert await scene.state(behind.row.run) is RunState.WAITING


async def test_many_sweepers_promote_no_more_than_n(scene: Scene) -> None:
    scene.limits = Limits(user_runs=0)
    receipts = [await scene.send(user=user) for user in [await scene.person() for _ in range(5)] for _ in range(3)]
    scene.limits = Limits(user_runs=2)
    found = await _together(scene, "promote")
    assert len({job.run for job in found}) == len(found) == 10
    assert (await scene.store.reads.counts())[RunState.QUEUED] == 10
    assert len(receipts) == 15


async def test_a_run_that_nobody_took_in_time_fails_and_the_next_goes(scene: Scene) -> None:
    first = await scene.send(start_seconds=0.0)
    second = await scene.send(first.row.chat)
    rows = await scene.store.sweeps.expire(scene.limits, 9)
    assert [(row.run, row.state, row.attempt) for row in rows] == [(first.row.run, RunState.FAILED, 0)]
    assert _code(rows[0]) == "no_worker"
    assert await _undispatched(scene) == [second.row.run]


async def test_the_time_to_start_counts_from_the_queue_not_from_waiting(scene: Scene) -> None:
    first = await scene.send()
    second = await scene.send(first.row.chat, start_seconds=0.0)
    assert list(await scene.store.sweeps.expire(scene.limits, 9)) == []
    await scene.answer(first.row.run)
    assert [row.run for row in await scene.store.sweeps.expire(scene.limits, 9)] == [second.row.run]


async def test_a_run_past_its_end_fails_with_what_was_saved_and_a_higher_attempt(scene: Scene) -> None:
    scene.limits = Limits(run_seconds=0)
    claimant = await scene.hold((await scene.send()).row.run)
    await scene.save(claimant, "It is")
    rows = await scene.store.sweeps.expire(scene.limits, 9)
    assert [(row.run, row.state, row.attempt, row.text) for row in rows] == [
        (claimant.run, RunState.FAILED, 2, "It is")
    ]
    assert _code(rows[0]) == "timeout"
    assert await scene.save(claimant, " so", 5) == []
    committed = await scene.finish(claimant, "It is so.")
    assert (committed.mine, committed.end) == (False, rows[0].end)
    assert await scene.text(claimant.run) == "It is"


async def test_a_takeover_or_release_gives_a_run_no_more_time(scene: Scene) -> None:
    scene.limits = Limits(run_seconds=0)
    claimant = await scene.hold((await scene.send()).row.run)
    scene.limits = Limits()
    claimant = await scene.hold(claimant.run, "wk-2", lease=0)
    await scene.store.runs.release(claimant, "It is")
    rows = await scene.store.sweeps.expire(scene.limits, 9)
    assert [(row.run, row.text, _code(row)) for row in rows] == [(claimant.run, "It is", "timeout")]


async def test_many_sweepers_end_a_run_once(scene: Scene) -> None:
    scene.limits = Limits(user_runs=20)
    runs = [(await scene.send(start_seconds=0.0)).row.run for _ in range(8)]
    rows: list[Row] = []

    async def sweep() -> None:
        rows.extend(await scene.store.sweeps.expire(scene.limits, 20))

    while len(rows) < len(runs):
        async with asyncio.TaskGroup() as tasks:
            for _ in range(4):
                tasks.create_task(sweep())
    assert sorted(row.run for row in rows) == sorted(runs)


async def test_pruning_forgets_silent_workers_and_expired_sign_ins_only(scene: Scene) -> None:
    await scene.alive("wk-old")
    await raw(scene.url, SILENCE)
    await scene.alive("wk-new")
    for digest, seconds in (("old", -5.0), ("new", 60.0)):
        await scene.store.sign_ins.open(uuid4(), scene.user, digest, kind="browser", seconds=seconds)
    await scene.store.sweeps.prune(3600)
    assert await raw(scene.url, "SELECT name FROM workers") == [("wk-new",)]
    assert await raw(scene.url, "SELECT digest FROM sessions") == [("new",)]


async def _orphans(scene: Scene, worker: str, lease: float = LEASE, limit: int = 9) -> list[UUID]:
    return [job.run for job in await scene.store.sweeps.orphans(worker, lease, limit)]


async def _undispatched(scene: Scene, ready: int = 0) -> list[UUID]:
    return [job.run for job in await scene.store.sweeps.undispatched(POOL, ready, scene.limits)]


async def _promoted(scene: Scene, limit: int = 9) -> list[UUID]:
    return [job.run for job in await scene.store.sweeps.promote(scene.limits, limit)]


async def _age(scene: Scene, seconds: int) -> None:
    """Let the last dispatch be so long ago."""
    sqlite = "UPDATE runs SET dispatched_at = strftime('%Y-%m-%dT%H:%M:%fZ', 'now', '-… seconds')"
    postgresql = "UPDATE runs SET dispatched_at = clock_timestamp() - interval '… seconds'"
    statement = sqlite if scene.url.startswith("sqlite") else postgresql
    await raw(scene.url, statement.replace("…", f"{seconds}.1"))


async def _together(scene: Scene, what: str) -> list[Job]:
    """What several sweepers found at once."""
    found: list[Job] = []

    async def sweep() -> None:
        jobs: Sequence[Job]
        if what == "promote":
            jobs = await scene.store.sweeps.promote(scene.limits, 99)
        else:
            jobs = await scene.store.sweeps.undispatched(POOL, 0, scene.limits)
        found.extend(jobs)

    for _ in range(3):
        async with asyncio.TaskGroup() as tasks:
            for _ in range(4):
                tasks.create_task(sweep())
    return found


def _code(row: Row) -> str | None:
    return row.end.failure.code if row.end and row.end.failure else None
