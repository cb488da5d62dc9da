"""Claim, checkpoint, finish, release, stop: one outcome, fenced writes, nothing lost (L2–L5, L9)."""

import asyncio
from itertools import count
from uuid import UUID, uuid4

import pytest

from prosa.adapters.sql.store import open_store
from prosa.core.chat import Role, Turn
from prosa.core.errors import NotFound
from prosa.core.policy import Limits
from prosa.core.run import Claimant, End, Failure, Finish, RunState
from prosa.core.work import Committed, Held, Save, Saved
from tests.contract.scene import DONE, MODEL, Scene
from tests.contract.sql import SILENCE, raw

# ── claim ──


async def test_a_claim_takes_a_queued_run_with_its_prompt_and_its_time(scene: Scene) -> None:
    receipt = await scene.send(text="What is a fence?")
    claimant = scene.claimant(receipt.row.run)
    held = await scene.claim(claimant)
    assert held is not None
    row = held.row
    assert (row.state, row.attempt, row.claim, row.worker) == (RunState.RUNNING, 1, claimant.claim, claimant.worker)
    assert held.turns == (Turn(Role.USER, "What is a fence?"),)
    assert 0 < held.seconds_left <= scene.limits.run_seconds
    assert not held.stop_requested
    assert held.lost_by is None


async def test_of_many_who_claim_a_run_at_once_one_gets_it(scene: Scene) -> None:
    run = (await scene.send()).row.run
    workers = [f"wk-{number}" for number in range(10)]
    for worker in workers:
        await scene.alive(worker)
    held: list[Held | None] = []

    async def take(worker: str) -> None:
        held.append(await scene.claim(scene.claimant(run, worker)))

    async with asyncio.TaskGroup() as tasks:
        for worker in workers:
            tasks.create_task(take(worker))
    assert len([one for one in held if one is not None]) == 1


async def test_a_claim_whose_answer_was_lost_is_answered_again_without_a_new_attempt(scene: Scene) -> None:
    claimant = await scene.hold((await scene.send()).row.run)
    held = await scene.claim(claimant)
    assert held is not None
    assert held.row.attempt == 1


@pytest.mark.parametrize("lease", [3.0, 0.0])
async def test_a_worker_never_takes_over_a_run_that_it_holds(scene: Scene, lease: float) -> None:
    claimant = await scene.hold((await scene.send()).row.run)
    assert await scene.claim(scene.claimant(claimant.run, claimant.worker), lease=lease) is None


async def test_a_run_is_taken_over_only_from_a_worker_whose_heartbeat_is_over(scene: Scene) -> None:
    claimant = await scene.hold((await scene.send()).row.run)
    await scene.alive(claimant.worker)
    assert await scene.claim(scene.claimant(claimant.run, "wk-2")) is None
    await raw(scene.url, SILENCE)
    held = await scene.claim(scene.claimant(claimant.run, "wk-2"))
    assert held is not None
    assert (held.row.attempt, held.row.worker) == (2, "wk-2")
    assert held.lost_by == claimant.worker


async def test_a_lease_of_zero_takes_a_run_from_a_worker_that_seems_alive(scene: Scene) -> None:
    claimant = await scene.hold((await scene.send()).row.run)
    await scene.alive(claimant.worker)
    assert await scene.claim(scene.claimant(claimant.run, "wk-2"), lease=0) is not None


async def test_two_workers_that_take_over_the_same_runs_at_once_do_not_hinder_each_other(scene: Scene) -> None:
    people = [await scene.person() for _ in range(30)]
    orphans = [(await scene.send(user=user)).row.run for user in people]
    for run in orphans:
        await scene.hold(run)
    await scene.alive("wk-2")
    await scene.alive("wk-3")
    held: list[Held | None] = []

    async def take(store: Scene, run: UUID, worker: str) -> None:
        held.append(await store.claim(store.claimant(run, worker)))

    async with open_store(scene.url) as store, asyncio.TaskGroup() as tasks:
        other = Scene(store, scene.url, claims=count(1 << 61))
        for one, opposite in zip(orphans, reversed(orphans), strict=True):
            tasks.create_task(take(scene, one, "wk-2"))
            tasks.create_task(take(other, opposite, "wk-3"))
    assert len([one for one in held if one is not None]) == len(orphans)


async def test_a_takeover_goes_on_from_saved_text_only_where_the_model_can(scene: Scene) -> None:
    claimant = await scene.hold((await scene.send()).row.run)
    await scene.save(claimant, "It is ")
    second = await scene.claim(scene.claimant(claimant.run, "wk-2"), lease=0, continues=(MODEL,))
    assert second is not None
    assert second.row.text == "It is "
    third = await scene.claim(scene.claimant(claimant.run, "wk-3"), lease=0, continues=())
    assert third is not None
    assert third.row.text == await scene.text(claimant.run) == ""


async def test_a_run_on_which_three_workers_in_a_row_died_fails_and_lets_the_next_go(scene: Scene) -> None:
    first = await scene.send()
    second = await scene.send(first.row.chat)
    await scene.hold(first.row.run)
    for worker in ("wk-2", "wk-3"):
        await scene.hold(first.row.run, worker, lease=0)
    ended = await scene.attempt(scene.claimant(first.row.run, "wk-4"), lease=0)
    row = await scene.store.reads.own(scene.user, first.row.run)
    # Told once, to the claim that ended it, so that each end is counted once.
    assert ended == row
    assert await scene.attempt(scene.claimant(first.row.run, "wk-5"), lease=0) is None
    assert row.end is not None
    assert row.end.failure is not None
    assert (row.state, row.attempt, row.end.failure.code) == (RunState.FAILED, 4, "worker_lost")
    # Nobody was told of the promotion: the next sweep dispatches it at once.
    assert await scene.state(second.row.run) is RunState.QUEUED
    jobs = await scene.store.sweeps.undispatched("pool", 0, scene.limits)
    assert [job.run for job in jobs] == [second.row.run]


async def test_saved_text_forgives_crashes_in_a_row_but_not_ten_in_all(scene: Scene) -> None:
    claimant = await scene.hold((await scene.send()).row.run)
    for number in range(9):
        assert await scene.save(claimant, "x", number)
        claimant = await scene.hold(claimant.run, f"wk-a{number}", lease=0)
    assert await scene.claim(scene.claimant(claimant.run, "wk-b"), lease=0) is None
    assert (await scene.state(claimant.run), await scene.text(claimant.run)) == (RunState.FAILED, "x" * 9)


@pytest.mark.parametrize("end", ["waiting", "done", "unknown"])
async def test_there_is_nothing_to_claim_of_a_run_that_waits_or_is_over_or_unknown(scene: Scene, end: str) -> None:
    first = await scene.send()
    waiting = await scene.send(first.row.chat)
    runs = {"waiting": waiting.row.run, "done": first.row.run, "unknown": uuid4()}
    if end == "done":
        await scene.answer(first.row.run)
    assert await scene.claim(scene.claimant(runs[end]), lease=0) is None


# ── the prompt ──


async def test_the_prompt_is_the_branch_to_the_question_without_what_ended_empty(scene: Scene) -> None:
    one = await scene.send(text="One?")
    await scene.answer(one.row.run, "1")
    two = await scene.send(one.row.chat, "Two?")
    await scene.store.runs.stop(scene.user, two.row.run, scene.limits)
    three = await scene.send(one.row.chat, "Three?")
    await scene.answer(three.row.run, "3")
    edited = await scene.send(one.row.chat, "Four?", parent=one.row.reply)
    assert await _prompt(scene, edited.row.run) == ["One?", "1", "Four?"]
    await _let_go(scene, edited.row.run)
    last = await scene.send(one.row.chat, "Five?", parent=three.row.reply)
    assert await _prompt(scene, last.row.run) == ["One?", "1", "Three?", "3", "Five?"]


async def test_a_new_question_follows_the_newest_reply(scene: Scene) -> None:
    one = await scene.send(text="One?")
    await scene.answer(one.row.run, "1")
    again = await scene.accept(scene.ask(None, None, parent=one.row.reply))
    await scene.answer(again.row.run, "uno")
    two = await scene.send(one.row.chat, "Two?")
    assert await _prompt(scene, two.row.run) == ["One?", "uno", "Two?"]


async def test_a_failed_reply_with_text_stays_in_the_prompt(scene: Scene) -> None:
    one = await scene.send(text="One?")
    broke = End(RunState.FAILED, failure=Failure("model_broke", "It broke.", retryable=True))
    await scene.finish(await scene.hold(one.row.run), "1 and", broke)
    two = await scene.send(one.row.chat, "Two?")
    assert await _prompt(scene, two.row.run) == ["One?", "1 and", "Two?"]


# ── checkpoint ──


async def test_a_checkpoint_appends_by_characters(scene: Scene) -> None:
    claimant = await scene.hold((await scene.send()).row.run)
    assert await scene.save(claimant, "Olá, 🌍") == [Saved(claimant.run, 6, stop_requested=False)]
    assert await scene.save(claimant, "! é", 6) == [Saved(claimant.run, 9, stop_requested=False)]
    assert await scene.text(claimant.run) == "Olá, 🌍! é"


async def test_text_that_does_not_adjoin_is_not_stored_but_the_length_is_told(scene: Scene) -> None:
    claimant = await scene.hold((await scene.send()).row.run)
    await scene.save(claimant, "abc")
    for at in (0, 2, 4):
        assert await scene.save(claimant, "xyz", at) == [Saved(claimant.run, 3, stop_requested=False)]
    assert await scene.text(claimant.run) == "abc"
    assert await scene.save(claimant, "abcdef", whole=True) == [Saved(claimant.run, 6, stop_requested=False)]
    assert await scene.text(claimant.run) == "abcdef"


async def test_one_checkpoint_saves_many_runs_and_names_those_that_are_lost(scene: Scene) -> None:
    scene.limits = Limits(user_runs=9)
    held = [await scene.hold((await scene.send()).row.run) for _ in range(4)]
    lost, stopped = held[0], held[1]
    await scene.hold(lost.run, "wk-2", lease=0)
    await scene.store.runs.stop(scene.user, stopped.run, scene.limits)
    saves = [Save(claimant.run, claimant.claim, 0, f"text {number}") for number, claimant in enumerate(held)]
    found = await scene.store.runs.checkpoint("wk-1", saves)
    assert {saved.run: saved.stop_requested for saved in found} == {
        stopped.run: True,
        held[2].run: False,
        held[3].run: False,
    }
    assert [await scene.text(claimant.run) for claimant in held] == ["", "text 1", "text 2", "text 3"]


@pytest.mark.parametrize("whole", [False, True])
async def test_another_claim_or_worker_saves_nothing(scene: Scene, whole: bool) -> None:
    claimant = await scene.hold((await scene.send()).row.run)
    for other in (Claimant(claimant.run, claimant.worker, 7), Claimant(claimant.run, "wk-2", claimant.claim)):
        assert await scene.save(other, "no", whole=whole) == []
    assert await scene.text(claimant.run) == ""


async def test_an_empty_checkpoint_is_nothing(scene: Scene) -> None:
    assert list(await scene.store.runs.checkpoint("wk-1", [])) == []


# ── finish ──


async def test_a_finished_run_has_its_whole_text_its_end_and_no_second_one(scene: Scene) -> None:
    claimant = await scene.hold((await scene.send()).row.run)
    await scene.save(claimant, "It is")
    assert await scene.finish(claimant, "It is so.") == Committed(mine=True, end=DONE)
    row = await scene.store.reads.own(scene.user, claimant.run)
    assert (row.state, row.text, row.end) == (RunState.DONE, "It is so.", DONE)
    message = await scene.store.chats.message(scene.user, row.chat, row.reply)
    assert (message.text, message.state, message.end) == ("It is so.", RunState.DONE, DONE)
    assert await raw(scene.url, "SELECT saved FROM runs") == [("",)]


async def test_a_commit_whose_answer_was_lost_is_its_own_and_changes_nothing(scene: Scene) -> None:
    claimant = await scene.hold((await scene.send()).row.run)
    await scene.finish(claimant, "One.")
    assert await scene.finish(claimant, "Two.", End(RunState.STOPPED, Finish.STOPPED)) == Committed(mine=True, end=DONE)
    assert await scene.text(claimant.run) == "One."


async def test_who_lost_the_claim_cannot_finish(scene: Scene) -> None:
    old = await scene.hold((await scene.send()).row.run)
    new = await scene.hold(old.run, "wk-2", lease=0)
    assert await scene.finish(old, "Old.") == Committed(mine=False, end=None)
    assert await scene.finish(new, "New.") == Committed(mine=True, end=DONE)
    assert await scene.finish(old, "Old.") == Committed(mine=False, end=DONE)
    assert await scene.text(old.run) == "New."


async def test_of_two_who_finish_at_once_one_wins(scene: Scene) -> None:
    old = await scene.hold((await scene.send()).row.run)
    new = await scene.hold(old.run, "wk-2", lease=0)
    outcomes: list[bool] = []

    async def end(claimant: Claimant) -> None:
        outcomes.append((await scene.finish(claimant, claimant.worker)).mine)

    async with asyncio.TaskGroup() as tasks:
        for claimant in (old, new, old, new):
            tasks.create_task(end(claimant))
    assert sorted(outcomes) == [False, False, True, True]
    assert await scene.text(old.run) == "wk-2"


async def test_an_earlier_claim_of_the_same_worker_can_change_nothing(scene: Scene) -> None:
    old = await scene.hold((await scene.send()).row.run)
    await scene.store.runs.release(old, "It is ")
    new = await scene.hold(old.run, old.worker)
    assert await scene.save(old, "no", 6) == []
    assert not await scene.store.runs.release(old, "no")
    assert await scene.finish(old, "no") == Committed(mine=False, end=None)
    assert (await scene.state(old.run), await scene.text(old.run)) == (RunState.RUNNING, "It is ")
    assert (await scene.finish(new)).mine


async def test_finishing_an_unknown_run_is_not_ones_own(scene: Scene) -> None:
    assert await scene.finish(scene.claimant(uuid4())) == Committed(mine=False, end=None)


async def test_a_failure_is_stored_as_it_was(scene: Scene) -> None:
    claimant = await scene.hold((await scene.send()).row.run)
    end = End(RunState.FAILED, failure=Failure("model_broke", "It broke.", retryable=True))
    assert (await scene.finish(claimant, "Half", end)).end == end
    row = await scene.store.reads.own(scene.user, claimant.run)
    assert (row.end, row.text) == (end, "Half")


async def test_an_end_promotes_the_oldest_whose_chat_is_idle_up_to_n(scene: Scene) -> None:
    scene.limits = Limits(user_runs=2)
    first, second = await scene.send(), await scene.send()
    behind_second = await scene.send(second.row.chat)
    third = await scene.send()
    behind_third = await scene.send(third.row.chat)
    committed = await scene.answer(first.row.run)
    assert [job.run for job in committed.promoted] == [third.row.run]
    assert await scene.state(behind_second.row.run) is RunState.WAITING
    assert await scene.state(behind_third.row.run) is RunState.WAITING


async def test_finishing_works_in_a_deleted_chat(scene: Scene) -> None:
    receipt = await scene.send()
    claimant = await scene.hold(receipt.row.run)
    waiting = await scene.send(receipt.row.chat)
    _, unfinished = await scene.store.chats.delete(scene.user, receipt.row.chat)
    assert list(unfinished) == [receipt.row.run, waiting.row.run]
    assert (await scene.finish(claimant)).mine


# ── release ──


async def test_a_released_run_is_queued_with_all_its_text_and_no_crash(scene: Scene) -> None:
    claimant = await scene.hold((await scene.send()).row.run)
    await scene.save(claimant, "It ")
    assert await scene.store.runs.release(claimant, "It is ")
    row = await scene.store.reads.own(scene.user, claimant.run)
    assert (row.state, row.text, row.claim, row.worker) == (RunState.QUEUED, "It is ", None, None)
    for number in range(4):
        claimant = await scene.hold(claimant.run, f"wk-{number}")
        assert await scene.store.runs.release(claimant, "It is ")
    held = await scene.claim(scene.claimant(claimant.run))
    assert held is not None
    assert (held.row.attempt, held.row.text) == (6, "It is ")


async def test_who_lost_the_claim_cannot_release(scene: Scene) -> None:
    old = await scene.hold((await scene.send()).row.run)
    new = await scene.hold(old.run, "wk-2", lease=0)
    assert not await scene.store.runs.release(old, "Old.")
    await scene.finish(new)
    assert not await scene.store.runs.release(new, "New.")
    assert await scene.state(new.run) is RunState.DONE


# ── stop ──


async def test_a_queued_run_is_stopped_at_once_and_cannot_be_claimed(scene: Scene) -> None:
    receipt = await scene.send()
    waiting = await scene.send(receipt.row.chat)
    stopped = await scene.store.runs.stop(scene.user, receipt.row.run, scene.limits)
    row, promoted = stopped.row, stopped.promoted
    assert (row.state, row.end) == (RunState.STOPPED, End(RunState.STOPPED, Finish.STOPPED))
    assert [job.run for job in promoted] == [waiting.row.run]
    assert await scene.claim(scene.claimant(receipt.row.run)) is None
    again = await scene.store.runs.stop(scene.user, receipt.row.run, scene.limits)
    assert (stopped.mine, again.mine, again.row) == (True, False, row)


async def test_a_waiting_run_is_withdrawn_and_its_order_stays(scene: Scene) -> None:
    first = await scene.send()
    second, third = await scene.send(first.row.chat), await scene.send(first.row.chat)
    stopped = await scene.store.runs.stop(scene.user, second.row.run, scene.limits)
    row, promoted = stopped.row, stopped.promoted
    assert (row.state, promoted) == (RunState.STOPPED, ())
    committed = await scene.answer(first.row.run)
    assert [job.run for job in committed.promoted] == [third.row.run]


async def test_a_running_run_is_only_asked_to_stop_and_every_way_tells_its_worker(scene: Scene) -> None:
    claimant = await scene.hold((await scene.send()).row.run)
    stopped = await scene.store.runs.stop(scene.user, claimant.run, scene.limits)
    row, promoted = stopped.row, stopped.promoted
    assert (row.state, row.end, promoted, stopped.mine) == (RunState.RUNNING, None, (), False)
    assert await scene.save(claimant, "It") == [Saved(claimant.run, 2, stop_requested=True)]
    assert await scene.save(claimant, "no", 1) == [Saved(claimant.run, 2, stop_requested=True)]
    held = await scene.claim(scene.claimant(claimant.run, "wk-2"), lease=0)
    assert held is not None
    assert held.stop_requested


async def test_stopping_what_is_over_changes_nothing(scene: Scene) -> None:
    receipt = await scene.send()
    await scene.answer(receipt.row.run, "Done.")
    stopped = await scene.store.runs.stop(scene.user, receipt.row.run, scene.limits)
    row, promoted = stopped.row, stopped.promoted
    assert (row.state, row.end, row.text, promoted) == (RunState.DONE, DONE, "Done.", ())


async def test_a_released_run_is_stopped_with_the_text_that_was_seen(scene: Scene) -> None:
    claimant = await scene.hold((await scene.send()).row.run)
    await scene.store.runs.release(claimant, "It is ")
    row = (await scene.store.runs.stop(scene.user, claimant.run, scene.limits)).row
    assert (row.state, row.text, row.attempt) == (RunState.STOPPED, "It is ", 1)


async def test_nobody_stops_what_is_not_theirs(scene: Scene) -> None:
    receipt = await scene.send()
    for user, run in ((await scene.person(), receipt.row.run), (scene.user, uuid4())):
        with pytest.raises(NotFound):
            await scene.store.runs.stop(user, run, scene.limits)
    assert await scene.state(receipt.row.run) is RunState.QUEUED


async def test_stop_and_claim_at_once_end_stopped_or_asked_never_lost(scene: Scene) -> None:
    scene.limits = Limits(user_runs=99)
    runs = [(await scene.send()).row.run for _ in range(20)]
    held: dict[object, Held | None] = {}

    async def take(claimant: Claimant) -> None:
        held[claimant.run] = await scene.claim(claimant)

    async with asyncio.TaskGroup() as tasks:
        for run in runs:
            tasks.create_task(scene.store.runs.stop(scene.user, run, scene.limits))
            tasks.create_task(take(scene.claimant(run)))
    for run in runs:
        state = await scene.state(run)
        assert (state is RunState.RUNNING) == (held[run] is not None)
        assert state in (RunState.RUNNING, RunState.STOPPED)


async def _let_go(scene: Scene, run: UUID) -> None:
    """End a run that somebody holds."""
    await scene.finish(await scene.hold(run, "wk-9", lease=0), "Never mind.")


async def _prompt(scene: Scene, run: UUID) -> list[str]:
    held = await scene.claim(scene.claimant(run))
    assert held is not None
    return [turn.text for turn in held.turns]
