"""What gateways read: rows, places, chats and their history; nothing of others (L5, L6, L11)."""

from datetime import UTC, timedelta
from uuid import UUID, uuid4

import pytest

from prosa.core.chat import Role
from prosa.core.errors import BadRequest, NotFound
from prosa.core.policy import Limits
from prosa.core.run import RunState
from tests.contract.scene import LEASE, MODEL, Scene
from tests.contract.sql import LONG_QUEUED, SILENCE, raw


async def test_rows_are_those_that_exist_with_the_text_saved_so_far(scene: Scene) -> None:
    first, second = await scene.send(), await scene.send()
    claimant = await scene.hold(first.row.run)
    await scene.save(claimant, "It is")
    rows = {row.run: row for row in await scene.store.reads.rows([first.row.run, second.row.run, uuid4()])}
    assert set(rows) == {first.row.run, second.row.run}
    row = rows[first.row.run]
    assert (row.state, row.text, row.claim, row.worker) == (RunState.RUNNING, "It is", claimant.claim, "wk-1")
    assert rows[second.row.run] == second.row
    assert list(await scene.store.reads.rows([])) == []


async def test_ones_own_run_is_found_and_others_are_not(scene: Scene) -> None:
    receipt = await scene.send()
    assert await scene.store.reads.own(scene.user, receipt.row.run) == receipt.row
    for user, run in ((await scene.person(), receipt.row.run), (scene.user, uuid4())):
        with pytest.raises(NotFound):
            await scene.store.reads.own(user, run)


async def test_unfinished_runs_of_a_chat_come_in_order(scene: Scene) -> None:
    first = await scene.send()
    second, third = await scene.send(first.row.chat), await scene.send(first.row.chat)
    await scene.answer(first.row.run)
    assert list(await scene.store.reads.unfinished(scene.user, first.row.chat)) == [second.row.run, third.row.run]
    with pytest.raises(NotFound):
        await scene.store.reads.unfinished(await scene.person(), first.row.chat)


async def test_counts_are_of_runs_without_an_end(scene: Scene) -> None:
    scene.limits = Limits(user_runs=2)
    runs = [(await scene.send()).row.run for _ in range(4)]
    await scene.hold(runs[0])
    counts = await scene.store.reads.counts()
    assert counts == {RunState.WAITING: 2, RunState.QUEUED: 1, RunState.RUNNING: 1}


async def test_the_census_tells_states_ages_and_workers(scene: Scene) -> None:
    empty = await scene.store.reads.census(LEASE)
    assert set(empty.runs.values()) | set(empty.oldest_seconds.values()) | set(empty.workers.values()) == {0}
    scene.limits = Limits(user_runs=2)
    runs = [(await scene.send()).row.run for _ in range(4)]
    await scene.hold(runs[0])
    for name, draining in (("wk-1", False), ("wk-2", False), ("wk-3", True), ("wk-lost", False), ("wk-left", True)):
        await scene.store.sweeps.heartbeat(name, slots=1, draining=draining)
    before = (await scene.store.operations.standing([])).now.astimezone(UTC) - timedelta(minutes=1)
    minute = f"UPDATE workers SET alive_at = '{before:%Y-%m-%dT%H:%M:%S}.000Z'"  # noqa: S608 — names of this test
    await raw(scene.url, f"{minute} WHERE name IN ('wk-lost', 'wk-left')")
    await raw(scene.url, LONG_QUEUED)
    census = await scene.store.reads.census(LEASE)
    assert census.runs == {RunState.WAITING: 2, RunState.QUEUED: 1, RunState.RUNNING: 1}
    # A worker that was told to end and has ended is missed by nobody.
    assert census.workers == {"alive": 2, "draining": 1, "silent": 1}
    # Nor is one for ever that vanished.
    await raw(scene.url, f"{SILENCE} WHERE name = 'wk-lost'")
    assert (await scene.store.reads.census(LEASE)).workers == {"alive": 2, "draining": 1, "silent": 0}
    oldest = census.oldest_seconds
    assert oldest[RunState.QUEUED] > 20 * 365 * 86_400
    assert 0 <= oldest[RunState.RUNNING] <= oldest[RunState.WAITING] < 60


async def test_a_claim_tells_how_long_its_run_was_queued(scene: Scene) -> None:
    run = (await scene.send()).row.run
    await raw(scene.url, LONG_QUEUED)
    held = await scene.claim(scene.claimant(run))
    assert held is not None
    assert held.queued_seconds > 20 * 365 * 86_400


async def test_places_count_the_pool_and_then_ones_own_that_wait(scene: Scene) -> None:
    scene.limits = Limits(user_runs=1)
    other = await scene.person()
    running, theirs = await scene.send(), await scene.send(user=other)
    mine = await scene.send(text="Behind mine.")
    last = await scene.send()
    await scene.hold(running.row.run)
    runs = [running.row.run, theirs.row.run, mine.row.run, last.row.run]
    places = {place.run: place.position for place in await scene.store.reads.places(runs)}
    assert places == {theirs.row.run: 1, mine.row.run: 2, last.row.run: 3}
    assert list(await scene.store.reads.places([])) == []


async def test_a_place_tells_how_long_once_answers_were_timed(scene: Scene) -> None:
    first = await scene.send()
    assert (await scene.store.reads.places([first.row.run]))[0].eta is None
    await scene.answer(first.row.run)
    second = await scene.send()
    await scene.alive("wk-1")
    eta = (await scene.store.reads.places([second.row.run]))[0].eta
    assert eta is not None
    assert 0 <= eta < 5


async def test_chats_come_newest_first_in_pages_without_gaps(scene: Scene) -> None:
    chats = [(await scene.send(text=f"Chat {number}")).row.chat for number in range(7)]
    await scene.store.chats.delete(scene.user, chats.pop(3))
    await scene.send(user=await scene.person())
    seen, cursor = [], None
    for _ in range(3):
        page = await scene.store.chats.page(scene.user, cursor, 2)
        seen += [chat.id for chat in page.items]
        cursor = page.next
    assert cursor is None
    assert set(seen) == set(chats)
    assert len(seen) == 6
    whole = await scene.store.chats.page(scene.user, None, 6)
    assert [chat.id for chat in whole.items] == seen
    assert whole.next is None
    times = [chat.updated_at for chat in whole.items]
    assert times == sorted(times, reverse=True)
    assert all(moment.utcoffset() == timedelta(0) for moment in times)


async def test_a_message_and_an_answer_bring_a_chat_to_the_top(scene: Scene) -> None:
    first, second = await scene.send(), await scene.send()
    await scene.answer(first.row.run)
    assert (await scene.store.chats.page(scene.user, None, 1)).items[0].id == first.row.chat
    await scene.send(second.row.chat)
    assert (await scene.store.chats.page(scene.user, None, 1)).items[0].id == second.row.chat


async def test_history_comes_newest_page_first_and_each_page_in_order(scene: Scene) -> None:
    first = await scene.send(text="1?")
    await scene.answer(first.row.run, "1!")
    for number in (2, 3):
        receipt = await scene.send(first.row.chat, f"{number}?")
        await scene.answer(receipt.row.run, f"{number}!")
    pages, cursor = [], None
    for _ in range(2):
        history = await scene.store.chats.history(scene.user, first.row.chat, cursor, 3)
        pages.append([message.text for message in history.messages])
        cursor = history.previous
    assert pages == [["2!", "3?", "3!"], ["1?", "1!", "2?"]]
    assert cursor is None


async def test_history_shows_a_reply_as_it_grows(scene: Scene) -> None:
    receipt = await scene.send(text="Well?")
    claimant = await scene.hold(receipt.row.run)
    await scene.save(claimant, "It is")
    history = await scene.store.chats.history(scene.user, receipt.row.chat, None, 9)
    question, reply = history.messages
    assert (question.role, question.text, question.state, question.run) == (Role.USER, "Well?", RunState.DONE, None)
    assert (reply.role, reply.text, reply.state) == (Role.ASSISTANT, "It is", RunState.RUNNING)
    assert (reply.parent, reply.run, reply.attempt, reply.model) == (question.id, claimant.run, 1, MODEL)
    assert history.runs == (claimant.run,)
    assert await scene.store.chats.message(scene.user, receipt.row.chat, reply.id) == reply
    assert await scene.store.chats.message(scene.user, receipt.row.chat, question.id) == question


@pytest.mark.parametrize("cursor", ["", "zz", "7b7d", "5b5d"])
async def test_a_cursor_that_no_page_gave_out_is_refused(scene: Scene, cursor: str) -> None:
    chat = (await scene.send()).row.chat
    with pytest.raises(BadRequest):
        await scene.store.chats.page(scene.user, cursor, 5)
    with pytest.raises(BadRequest):
        await scene.store.chats.history(scene.user, chat, cursor, 5)


async def test_a_chat_is_renamed_without_moving(scene: Scene) -> None:
    chat = (await scene.send()).row.chat
    [(_, before)] = await scene.store.chats.known([(scene.user, chat)])
    renamed = await scene.store.chats.rename(scene.user, chat, "Fences 🌍")
    assert (renamed.title, renamed.updated_at) == ("Fences 🌍", before.updated_at)
    assert list(await scene.store.chats.known([(scene.user, chat)])) == [(scene.user, renamed)]


async def test_of_many_chats_those_are_known_that_belong_to_the_user_they_are_asked_for(scene: Scene) -> None:
    mine, hidden = (await scene.send()).row.chat, (await scene.send()).row.chat
    stranger = await scene.person()
    await scene.store.chats.delete(scene.user, hidden)
    asked = [(scene.user, mine), (stranger, mine), (scene.user, hidden), (scene.user, uuid4())]
    assert [(user, chat.id) for user, chat in await scene.store.chats.known(asked)] == [(scene.user, mine)]
    assert list(await scene.store.chats.known([])) == []


async def test_a_deleted_chat_is_hidden_with_all_its_messages(scene: Scene) -> None:
    receipt = await scene.send()
    chat, unfinished = await scene.store.chats.delete(scene.user, receipt.row.chat)
    assert (chat.status, list(unfinished)) == ("DELETED", [receipt.row.run])
    assert (await scene.store.chats.page(scene.user, None, 9)).items == ()
    await _nothing_is_found(scene, scene.user, receipt.row.chat, receipt.message)


async def test_a_foreign_chat_is_as_if_it_did_not_exist(scene: Scene) -> None:
    receipt = await scene.send()
    stranger = await scene.person()
    await _nothing_is_found(scene, stranger, receipt.row.chat, receipt.message)
    with pytest.raises(NotFound):
        await scene.store.chats.message(scene.user, receipt.row.chat, uuid4())
    elsewhere = await scene.send()
    with pytest.raises(NotFound):
        await scene.store.chats.message(scene.user, elsewhere.row.chat, receipt.message)


async def _nothing_is_found(scene: Scene, user: UUID, chat: UUID, message: UUID) -> None:
    chats = scene.store.chats
    for attempt in (
        chats.history(user, chat, None, 9),
        chats.message(user, chat, message),
        chats.rename(user, chat, "Mine"),
        chats.delete(user, chat),
    ):
        with pytest.raises(NotFound):
            await attempt
