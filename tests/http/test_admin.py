"""What administrators see and do over HTTP; that nobody else does, and that nobody sees what was said."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx2
import pytest

from prosa.core.operations import Duty, Process, Standing
from prosa.core.run import End, Failure, Finish, RunState, Usage
from tests.http.world import WORKER, Person, World, open_world, problem

DONE = End(RunState.DONE, Finish.STOP, Usage(3, 2))
FAILED = End(RunState.FAILED, failure=Failure("model_broke", "The model broke.", True))
SECRET = "a word that nobody else may read"

Call = Callable[[httpx2.AsyncClient], Any]


def calls(run: str) -> list[Call]:
    """Everything there is."""
    return [
        lambda client: client.get("/api/admin/overview"),
        lambda client: client.get("/api/admin/runs"),
        lambda client: client.get("/api/admin/runs?state=nonsense"),
        lambda client: client.get(f"/api/admin/runs/{run}"),
        lambda client: client.get("/api/admin/runs/nonsense"),
        lambda client: client.post(f"/api/admin/runs/{run}/stop"),
        lambda client: client.post(f"/api/admin/runs/{run}/retry"),
        lambda client: client.post(f"/api/admin/workers/{WORKER}/drain"),
    ]


@pytest.fixture
async def root(world: World) -> Person:
    """The first account: the administrator."""
    return await world.person("root")


async def ended(world: World, person: Person, end: End = DONE, text: str = SECRET) -> str:
    accepted = await person.ask(text)
    await world.finish(await world.claim(accepted["run"]), text, end)
    return str(accepted["run"])


async def listed(person: Person, query: str = "") -> list[str]:
    answer = await person.client.get(f"/api/admin/runs{query}")
    assert answer.status_code == 200, answer.text
    return [run["id"] for run in answer.json()["items"]]


async def test_a_member_is_refused_everything_and_a_stranger_too(world: World, root: Person) -> None:
    member = await world.person("member")
    run = await ended(world, root)
    for call in calls(run):
        problem(await call(member.client), 403, "not_allowed")
        problem(await call(world.client()), 401, "not_signed_in")
    assert (await member.client.get(f"/api/runs/{run}")).status_code == 404


async def test_what_another_site_sends_changes_nothing(world: World, root: Person) -> None:
    run = await ended(world, root)
    for path in (f"runs/{run}/stop", f"runs/{run}/retry", f"workers/{WORKER}/drain"):
        answer = await root.client.post(f"/api/admin/{path}", headers={"origin": "https://elsewhere.example"})
        problem(answer, 403, "forbidden_origin")
    assert await listed(root) == [run]


async def test_the_overview_tells_of_queues_workers_gateways_and_dead_letters(world: World, root: Person) -> None:
    await ended(world, root)
    await root.ask("one that waits for a worker")
    process = Process(WORKER, "node-1", "1.2.3", world.clock.now())
    await world.store.sweeps.heartbeat(WORKER, slots=3, draining=False, duty=Duty(process, {"main": 3}, 2))
    await world.store.operations.announce(
        Process("gw-test", "node-2", "1.2.3", world.clock.now()), sockets=7, watched=4, draining=False
    )
    world.bus.dead.append(b"rubbish")
    found = (await root.client.get("/api/admin/overview")).json()
    assert found["counts"] == {"waiting": 0, "queued": 1, "running": 0}
    (pool,) = found["pools"]
    assert {**pool, "oldest_seconds": None} == {
        "pool": "main",
        "queued": 1,
        "running": 0,
        "slots": 3,
        "slots_used": 0,
        "oldest_seconds": None,
    }
    assert pool["oldest_seconds"] >= 0
    (worker,) = found["workers"]
    told = ("name", "host", "version", "slots", "slots_used", "pools", "alive", "draining", "drain_wanted")
    assert [worker[name] for name in told] == [WORKER, "node-1", "1.2.3", 3, 2, ["main"], True, False, False]
    (gateway,) = found["gateways"]
    assert [gateway[name] for name in ("name", "host", "sockets", "watched", "alive")] == [
        "gw-test",
        "node-2",
        7,
        4,
        True,
    ]
    assert found["rates"]["answered_per_second"] > 0
    assert found["dead_letters"] == 1


async def test_the_store_is_asked_once_a_second_however_many_look(
    world: World, root: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = 0
    operations = world.store.operations
    standing = operations.standing

    async def counted(pools: Any) -> Standing:  # noqa: ANN401 — as the port has it
        nonlocal looks
        looks += 1
        return await standing(pools)

    monkeypatch.setattr(operations, "standing", counted)
    async with asyncio.TaskGroup() as group:
        answers = [group.create_task(root.client.get("/api/admin/overview")) for _ in range(20)]
    assert {answer.result().status_code for answer in answers} == {200}
    assert looks == 1
    await world.clock.advance(1.0)
    await root.client.get("/api/admin/overview")
    assert looks == 2


async def test_a_store_that_does_not_tell_is_not_waited_for(
    world: World, root: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def never(_pools: Any) -> Standing:  # noqa: ANN401 — as the port has it
        await asyncio.Event().wait()
        raise AssertionError

    monkeypatch.setattr("prosa.app.operations.ANSWER_SECONDS", 0.05)
    monkeypatch.setattr(world.store.operations, "standing", never)
    async with asyncio.TaskGroup() as group:
        answers = [group.create_task(root.client.get("/api/admin/overview")) for _ in range(3)]
    for answer in answers:
        assert problem(answer.result(), 503, "store_unavailable")["retryable"]


async def test_runs_are_listed_newest_first_by_filters_and_pages(world: World, root: Person) -> None:
    member = await world.person("member")
    first, second, third = await ended(world, root), await ended(world, member, FAILED), await ended(world, member)
    assert await listed(root) == [third, second, first]
    assert await listed(root, "?state=failed") == [second]
    assert await listed(root, "?code=model_broke") == [second]
    assert await listed(root, "?code=timeout") == []
    assert await listed(root, "?user=MEMBER") == [third, second]
    assert await listed(root, f"?user={root.id}") == [first]
    assert await listed(root, f"?run={second}") == [second]
    assert await listed(root, "?model=other") == []
    assert await listed(root, f"?worker={WORKER}&state=done") == [third, first]
    page = (await root.client.get("/api/admin/runs?limit=2")).json()
    assert [run["id"] for run in page["items"]] == [third, second]
    assert await listed(root, f"?limit=2&cursor={page['next']}") == [first]
    (shown,) = (await root.client.get(f"/api/admin/runs?run={second}")).json()["items"]
    assert shown["user"] == {"id": str(member.id), "username": "member"}
    assert (shown["state"], shown["code"], shown["finish"], shown["worker"]) == ("failed", "model_broke", None, WORKER)


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("state=nonsense", "bad_request"),
        ("chat=nonsense", "bad_id"),
        ("run=nonsense", "bad_id"),
        ("limit=0", "bad_request"),
        ("limit=101", "bad_request"),
        ("cursor=nonsense", "bad_request"),
        (f"model={'x' * 201}", "bad_request"),
        ("user=an%00a", "bad_request"),
        ("model=ec%00ho", "bad_request"),
        ("worker=wk%00", "bad_request"),
        ("code=%00", "bad_request"),
    ],
)
async def test_a_filter_that_cannot_be_is_said(root: Person, query: str, code: str) -> None:
    problem(await root.client.get(f"/api/admin/runs?{query}"), 422, code)


async def test_a_runs_life_is_told_from_accepted_to_ended(world: World, root: Person) -> None:
    run = await ended(world, await world.person("member"), FAILED)
    story = (await root.client.get(f"/api/admin/runs/{run}")).json()
    assert [moment["what"] for moment in story["timeline"]] == ["accepted", "queued", "claimed", "ended"]
    accepted, queued, claimed, end = story["timeline"]
    assert (accepted["detail"], queued["detail"], end["detail"]) == ("scripted", "main", "model_broke")
    assert (claimed["worker"], claimed["attempt"]) == (WORKER, 1)
    detail = story["run"]
    assert detail["error_message"] == "The model broke."
    assert (detail["trace"], detail["stop_requested"]) == (run.replace("-", ""), False)
    problem(await root.client.get(f"/api/admin/runs/{uuid4()}"), 404, "not_found")


async def test_anybodys_run_can_be_stopped_and_one_that_is_over_stays_as_it_is(world: World, root: Person) -> None:
    member = await world.person("member")
    waiting = (await member.ask())["run"]
    assert (await root.client.post(f"/api/admin/runs/{waiting}/stop")).status_code == 204
    assert (await member.client.get(f"/api/runs/{waiting}")).json()["state"] == "stopped"
    over = await ended(world, member)
    assert (await root.client.post(f"/api/admin/runs/{over}/stop")).status_code == 204
    assert (await member.client.get(f"/api/runs/{over}")).json()["state"] == "done"
    problem(await root.client.post(f"/api/admin/runs/{uuid4()}/stop"), 404, "not_found")


async def test_a_failed_run_is_answered_again_for_its_user_by_its_model(world: World, root: Person) -> None:
    member = await world.person("member")
    accepted = await member.ask(model="other")
    problem(await root.client.post(f"/api/admin/runs/{accepted['run']}/retry"), 409, "not_ended")
    await world.finish(await world.claim(accepted["run"]), "", FAILED)
    again = await root.client.post(f"/api/admin/runs/{accepted['run']}/retry")
    assert again.status_code == 202
    run = (await member.client.get(f"/api/runs/{again.json()['run']}")).json()
    assert (run["state"], run["model"], run["chat"]) == ("queued", "other", accepted["chat"])
    history = (await member.client.get(f"/api/chats/{accepted['chat']}")).json()["messages"]
    assert [(message["role"], message["parent"]) for message in history] == [
        ("user", None),
        ("assistant", accepted["id"]),
        ("assistant", accepted["id"]),
    ]
    problem(await root.client.post(f"/api/admin/runs/{uuid4()}/retry"), 404, "not_found")


async def test_a_run_is_answered_again_once_however_often_that_is_asked_for(world: World, root: Person) -> None:
    member = await world.person("member")
    accepted = await member.ask()
    await world.finish(await world.claim(accepted["run"]), "", FAILED)
    path = f"/api/admin/runs/{accepted['run']}/retry"
    async with asyncio.TaskGroup() as group:
        answers = [group.create_task(root.client.post(path)) for _ in range(6)]
    (again,) = {answer.result().json()["run"] for answer in answers}
    assert len(await listed(root)) == 2
    await world.finish(await world.claim(again, 2), "", FAILED)
    third = (await root.client.post(f"/api/admin/runs/{again}/retry")).json()["run"]
    assert third not in (again, accepted["run"])


async def test_a_run_of_a_deleted_chat_is_not_answered_again(world: World, root: Person) -> None:
    member = await world.person("member")
    accepted = await member.ask()
    await world.finish(await world.claim(accepted["run"]), "", FAILED)
    await member.client.delete(f"/api/chats/{accepted['chat']}")
    problem(await root.client.post(f"/api/admin/runs/{accepted['run']}/retry"), 404, "not_found")


async def test_a_worker_is_asked_to_drain_and_hears_of_it(world: World, root: Person) -> None:
    await world.store.sweeps.heartbeat(WORKER, slots=1, draining=False)
    assert (await root.client.post(f"/api/admin/workers/{WORKER}/drain")).status_code == 204
    assert await world.store.sweeps.heartbeat(WORKER, slots=1, draining=False) is True
    (worker,) = (await root.client.get("/api/admin/overview")).json()["workers"]
    assert worker["drain_wanted"]
    problem(await root.client.post("/api/admin/workers/wk-nobody/drain"), 404, "not_found")
    problem(await root.client.post("/api/admin/workers/wk%00/drain"), 422, "bad_request")


async def test_the_one_process_is_not_asked_to_leave(tmp_path: Path) -> None:
    async with open_world(tmp_path, alone=True) as world:
        root = await world.person("root")
        answer = problem(await root.client.post(f"/api/admin/workers/{WORKER}/drain"), 409, "one_process")
        assert "stop that process" in answer["detail"]


async def test_nothing_that_was_said_is_in_any_answer(world: World, root: Person) -> None:
    member = await world.person("member")
    run = await ended(world, member)
    await member.ask(f"{SECRET}, again")
    for call in calls(run):
        answer = await call(root.client)
        assert answer.status_code in (200, 202, 204, 404, 422)
        assert SECRET not in answer.text
    assert SECRET in (await member.client.get(f"/api/runs/{run}")).text
