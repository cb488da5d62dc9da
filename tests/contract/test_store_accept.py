"""Accept: durable, idempotent, in order, bounded, private (L1, L5, L9, L10, L11)."""

import asyncio
from itertools import pairwise
from uuid import UUID, uuid4

import pytest

from prosa.adapters.sql.accept import Wish, accept
from prosa.adapters.sql.opening import open_database
from prosa.adapters.sql.store import open_store
from prosa.core.chat import Role
from prosa.core.errors import IdConflict, NotEnded, NotFound, TooManyWaiting
from prosa.core.policy import Limits
from prosa.core.run import RunState
from prosa.core.work import Ask, Receipt
from tests.contract.scene import MODEL, Scene
from tests.contract.sql import raw

# As they stand in the design: people create test users so.
ADD_USER = "INSERT INTO users (id, username) VALUES ('…', 'test_user');"
ADD_CHAT = "INSERT INTO chat_sessions (id, user_id, status) VALUES ('…', '…', 'ACTIVE');"


async def test_an_accepted_message_is_there_for_another_process(scene: Scene) -> None:
    receipt = await scene.send(text="Olá, 🌍!")
    async with open_store(scene.url) as other:
        row = await other.reads.own(scene.user, receipt.row.run)
        history = await other.chats.history(scene.user, row.chat, None, 10)
    assert row == receipt.row
    assert (row.state, row.attempt, row.text, row.model) == (RunState.QUEUED, 0, "", MODEL)
    assert [(message.role, message.text) for message in history.messages] == [
        (Role.USER, "Olá, 🌍!"),
        (Role.ASSISTANT, ""),
    ]
    assert history.runs == (row.run,)


async def test_an_unknown_chat_is_created_with_the_beginning_of_the_text_as_its_title(scene: Scene) -> None:
    receipt = await scene.send(text="  What is\n\na fence?  " + "x" * 100)
    assert receipt.created
    [(_, chat)] = await scene.store.chats.known([(scene.user, receipt.row.chat)])
    assert chat.title == ("What is a fence? " + "x" * 100)[:60]
    assert not (await scene.send(chat.id)).created


async def test_rows_that_people_insert_by_hand_can_be_used(scene: Scene) -> None:
    user, chat = uuid4(), uuid4()
    await raw(scene.url, ADD_USER.replace("…", str(user)))
    await raw(scene.url, ADD_CHAT.replace("…", str(chat), 1).replace("…", str(user)))
    receipt = await scene.send(chat, user=user)
    assert not receipt.created
    assert [item.id for item in (await scene.store.chats.page(user, None, 5)).items] == [chat]
    found = await scene.store.users.find("TEST_USER")
    assert found is not None
    assert (found.user.id, found.user.role, found.password) == (user, "member", None)
    assert type(receipt.row.run) is type(found.user.id) is UUID


async def test_the_same_request_again_is_answered_alike_and_charged_once(scene: Scene) -> None:
    ask = scene.ask()
    first = await scene.accept(ask)
    again = await scene.accept(_fresh(ask))
    assert (again.repeated, again.row, again.message) == (True, first.row, first.message)
    await scene.answer(first.row.run, "Well.")
    last = await scene.accept(_fresh(ask))
    assert (last.row.state, last.row.text, last.position) == (RunState.DONE, "Well.", 0)


async def test_a_repeated_request_is_answered_before_any_limit(scene: Scene) -> None:
    scene.limits = Limits(user_runs=1, user_waiting=0)
    ask = scene.ask()
    await scene.accept(ask)
    with pytest.raises(TooManyWaiting):
        await scene.send()
    assert (await scene.accept(_fresh(ask))).repeated


@pytest.mark.parametrize("other", ["text", "chat", "parent", "model", "kind"])
async def test_a_known_id_with_other_content_is_refused(scene: Scene, other: str) -> None:
    before = await scene.send()
    await scene.answer(before.row.run)
    chat, reply = before.row.chat, before.row.reply
    known = uuid4()
    await scene.accept(scene.ask(chat, "One.", id=known))
    asks = {
        "text": scene.ask(chat, "Two.", id=known),
        "chat": scene.ask(uuid4(), "One.", id=known),
        "parent": scene.ask(chat, "One.", id=known, parent=reply),
        "model": scene.ask(chat, "One.", id=known, model="other"),
        "kind": scene.ask(chat, None, id=known, parent=reply),
    }
    with pytest.raises(IdConflict):
        await scene.accept(asks[other])


async def test_a_message_cannot_take_the_id_of_another_in_its_chat(scene: Scene) -> None:
    receipt = await scene.send()
    with pytest.raises(IdConflict):
        await scene.accept(scene.ask(receipt.row.chat, id=receipt.row.reply))


async def test_two_users_may_use_the_same_message_id_and_learn_nothing(scene: Scene) -> None:
    other = await scene.person()
    known = uuid4()
    assert not (await scene.accept(scene.ask(id=known))).repeated
    assert not (await scene.accept(scene.ask(id=known, user=other, text="Mine."))).repeated


async def test_a_foreign_or_deleted_chat_is_not_found(scene: Scene) -> None:
    receipt = await scene.send()
    with pytest.raises(NotFound):
        await scene.send(receipt.row.chat, user=await scene.person())
    await scene.store.chats.delete(scene.user, receipt.row.chat)
    with pytest.raises(NotFound):
        await scene.send(receipt.row.chat)


async def test_an_unknown_user_is_not_found_and_nothing_is_stored(scene: Scene) -> None:
    ask = scene.ask(user=uuid4())
    with pytest.raises(NotFound):
        await scene.accept(ask)
    assert list(await scene.store.reads.rows([ask.run])) == []


async def test_a_parent_must_be_a_reply_of_the_chat(scene: Scene) -> None:
    mine, elsewhere = await scene.send(), await scene.send()
    for parent in (elsewhere.row.reply, mine.message, uuid4()):
        with pytest.raises(NotFound):
            await scene.send(mine.row.chat, parent=parent)
    with pytest.raises(NotFound):
        await scene.send(uuid4(), parent=mine.row.reply)


async def test_messages_of_a_chat_wait_for_each_other_in_order(scene: Scene) -> None:
    receipts = [await scene.send()]
    receipts += [await scene.send(receipts[0].row.chat) for _ in range(3)]
    assert [receipt.row.ordinal for receipt in receipts] == [1, 2, 3, 4]
    assert [receipt.row.state for receipt in receipts] == [RunState.QUEUED, *[RunState.WAITING] * 3]
    assert [receipt.position for receipt in receipts] == [1, 2, 3, 4]
    for this, following in pairwise(receipts):
        committed = await scene.answer(this.row.run)
        assert [job.run for job in committed.promoted] == [following.row.run]


async def test_who_is_accepted_is_told_the_place_in_line_that_a_question_for_it_would_tell(scene: Scene) -> None:
    receipts = [await scene.send(), await scene.send(user=await scene.person())]
    wishes = [Wish(scene.ask(user=await scene.person()), scene.limits) for _ in range(3)]
    async with open_database(scene.url) as database:
        together = await database.write(lambda tx: accept(tx, wishes))
    receipts += [one for one in together if isinstance(one, Receipt)]
    receipts += [await scene.send(receipts[0].row.chat) for _ in range(2)]
    places = {one.run: one.position for one in await scene.store.reads.places([one.row.run for one in receipts])}
    assert sorted(places.values()) == [1, 2, 3, 4, 5, 6, 7]
    assert {one.row.run: one.position for one in receipts} == places


async def test_a_user_has_n_runs_at_once_and_fifty_that_wait(scene: Scene) -> None:
    receipts = [await scene.send() for _ in range(54)]
    states = [receipt.row.state for receipt in receipts]
    assert states == [RunState.QUEUED] * 4 + [RunState.WAITING] * 50
    with pytest.raises(TooManyWaiting):
        await scene.send()


async def test_two_hundred_at_once_by_one_user_keep_the_limits(scene: Scene) -> None:
    scene.limits = Limits(user_runs=3, user_waiting=100)
    outcomes = await _all_at_once(scene, [scene.ask() for _ in range(200)])
    states = [outcome.row.state for outcome in outcomes if outcome is not None]
    assert states.count(RunState.QUEUED) == 3
    assert states.count(RunState.WAITING) == 100
    assert outcomes.count(None) == 97


async def test_the_same_request_many_times_at_once_makes_one_run(scene: Scene) -> None:
    ask = scene.ask()
    outcomes = await _all_at_once(scene, [_fresh(ask) for _ in range(20)])
    receipts = [outcome for outcome in outcomes if outcome is not None]
    assert len({receipt.row.run for receipt in receipts}) == 1
    assert [receipt.repeated for receipt in receipts].count(False) == 1


async def test_fifty_people_at_once_are_all_accepted(scene: Scene) -> None:
    people = [await scene.person() for _ in range(50)]
    outcomes = await _all_at_once(scene, [scene.ask(user=person) for person in people])
    assert {outcome.row.user for outcome in outcomes if outcome is not None} == set(people)


async def test_two_people_who_make_up_the_same_chat_at_once_get_one_chat_and_one_refusal(scene: Scene) -> None:
    chat, other = uuid4(), await scene.person()
    found: list[str] = []

    async def begin(user: UUID) -> None:
        try:
            await scene.send(chat, user=user)
        except NotFound:
            found.append("refused")
        else:
            found.append("created")

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(begin(scene.user))
        tasks.create_task(begin(other))
    assert sorted(found) == ["created", "refused"]


async def test_a_regenerated_reply_is_a_sibling_under_the_same_question(scene: Scene) -> None:
    first = await scene.send(text="Tell me.")
    await scene.answer(first.row.run, "One.")
    again = await scene.accept(scene.ask(None, None, parent=first.row.reply))
    assert (again.row.chat, again.row.ordinal, again.message) == (first.row.chat, 2, first.message)
    held = await scene.claim(scene.claimant(again.row.run))
    assert held is not None
    assert [turn.text for turn in held.turns] == ["Tell me."]
    reply = await scene.store.chats.message(scene.user, again.row.chat, again.row.reply)
    assert reply.parent == first.message


async def test_only_an_ended_reply_of_ones_own_is_regenerated(scene: Scene) -> None:
    receipt = await scene.send()
    with pytest.raises(NotEnded):
        await scene.accept(scene.ask(None, None, parent=receipt.row.reply))
    await scene.answer(receipt.row.run)
    with pytest.raises(NotFound):
        await scene.accept(scene.ask(None, None, parent=receipt.row.reply, user=await scene.person()))
    with pytest.raises(NotFound):
        await scene.accept(scene.ask(None, None, parent=receipt.message))


async def test_a_refused_request_leaves_nothing(scene: Scene) -> None:
    scene.limits = Limits(user_runs=0, user_waiting=0)
    ask = scene.ask()
    with pytest.raises(TooManyWaiting):
        await scene.accept(ask)
    counts = "SELECT (SELECT count(*) FROM chat_sessions), (SELECT count(*) FROM messages), (SELECT count(*) FROM runs)"
    assert await raw(scene.url, counts) == [(0, 0, 0)]


async def test_cancelling_an_accept_leaves_all_of_it_or_nothing(scene: Scene) -> None:
    asks = [scene.ask() for _ in range(12)]
    for turn, ask in enumerate(asks):
        async with asyncio.TaskGroup() as tasks:
            task = tasks.create_task(scene.accept(ask))
            for _ in range(turn):
                await asyncio.sleep(0.0005)
            task.cancel()
    await scene.send()  # behind all of them
    chats = (await scene.store.chats.page(scene.user, None, 99)).items
    for ask in asks:
        stored = len(await scene.store.reads.rows([ask.run]))
        created = [item for item in chats if item.id == ask.chat]
        assert len(created) == stored
        for chat in created:
            history = await scene.store.chats.history(scene.user, chat.id, None, 9)
            assert (len(history.messages), len(history.runs)) == (2, 1)


def _fresh(ask: Ask) -> Ask:
    """The same request, as a gateway builds it anew."""
    return Ask(
        **{field: getattr(ask, field) for field in ask.__struct_fields__ if field not in ("run", "reply")},
        run=uuid4(),
        reply=uuid4(),
    )


async def _all_at_once(scene: Scene, asks: list[Ask]) -> list[Receipt | None]:
    """A receipt for each, or None where too many waited."""
    outcomes: list[Receipt | None] = []

    async def one(ask: Ask) -> None:
        try:
            outcomes.append(await scene.accept(ask))
        except TooManyWaiting:
            outcomes.append(None)

    async with asyncio.TaskGroup() as tasks:
        for ask in asks:
            tasks.create_task(one(ask))
    return outcomes
