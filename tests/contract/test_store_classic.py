"""The replies that the classic socket owes: which, in which order, to whom, and until when (ports.Classic)."""

from uuid import UUID, uuid4

import msgspec
import pytest

from prosa.adapters.sql.migrate import current, downgrade, head, migrate
from prosa.adapters.sql.store import open_store
from prosa.core.classic import Opened
from prosa.core.errors import NotFound, TooManyWaiting
from prosa.core.policy import Limits
from prosa.core.relay import Row
from prosa.core.run import RunState
from prosa.core.work import Receipt
from tests.contract.scene import Scene
from tests.contract.sql import raw
from tests.contract.test_store_accept import ADD_CHAT, ADD_USER


@pytest.fixture
async def chat(scene: Scene) -> UUID:
    """A chat of the scene's user, as people make them by hand."""
    return await made_by_hand(scene, scene.user)


async def made_by_hand(scene: Scene, user: UUID) -> UUID:
    chat = uuid4()
    await raw(scene.url, ADD_CHAT.replace("…", str(chat), 1).replace("…", str(user)))
    return chat


async def asked(scene: Scene, chat: UUID, text: str = "How are you?", *, id: UUID | None = None) -> Receipt:
    """A question over the classic socket."""
    return await scene.accept(msgspec.structs.replace(scene.ask(chat, text, id=id), classic=True))


async def owed(scene: Scene, chat: UUID) -> list[Row]:
    """All that a connection is told, from where it enters."""
    after, rows = (await scene.store.classic.enter(chat)).told, []
    while (row := await scene.store.classic.next(chat, after)) is not None:
        rows.append(row)
        after = row.ordinal
    return rows


async def test_only_questions_of_the_classic_socket_are_owed_in_their_order(scene: Scene, chat: UUID) -> None:
    first = await asked(scene, chat)
    await scene.send(chat, "from the page")
    third = await asked(scene, chat)
    await asked(scene, await made_by_hand(scene, scene.user))
    rows = await owed(scene, chat)
    assert [row.run for row in rows] == [first.row.run, third.row.run]
    assert [(row.ordinal, row.state) for row in rows] == [(1, RunState.QUEUED), (3, RunState.WAITING)]


async def test_the_next_one_has_its_end_and_its_whole_text(scene: Scene, chat: UUID) -> None:
    receipt = await asked(scene, chat)
    await scene.answer(receipt.row.run, "Bem, obrigado! 🌍")
    row = await scene.store.classic.next(chat, 0)
    assert row is not None
    assert row == await scene.store.reads.own(scene.user, receipt.row.run)
    assert row.text == "Bem, obrigado! 🌍"
    assert row.end is not None


async def test_what_was_told_is_owed_no_more_also_not_by_another_process(scene: Scene, chat: UUID) -> None:
    for text in ("one", "two", "three"):
        await asked(scene, chat, text)
    assert await scene.store.classic.enter(chat) == Opened(scene.user, 0)
    for ordinal in (1, 2, 2, 1):
        await scene.store.classic.tell(chat, ordinal)
    async with open_store(scene.url) as other:
        assert await other.classic.enter(chat) == Opened(scene.user, 2)
    assert [row.ordinal for row in await owed(scene, chat)] == [3]


async def test_a_reply_is_told_to_each_connection_that_came_before_it(scene: Scene, chat: UUID) -> None:
    """One that is behind finds by its own place what another was told already."""
    receipt = await asked(scene, chat)
    await scene.store.classic.tell(chat, receipt.row.ordinal)
    row = await scene.store.classic.next(chat, 0)
    assert row is not None
    assert row.run == receipt.row.run


async def test_to_tell_what_is_not_owed_changes_nothing(scene: Scene, chat: UUID) -> None:
    other = await made_by_hand(scene, scene.user)
    await asked(scene, other)
    await scene.store.classic.tell(chat, 9)
    await scene.store.classic.tell(uuid4(), 9)
    assert (await scene.store.classic.enter(chat)).told == 0
    assert len(await owed(scene, other)) == 1


async def test_a_message_that_is_refused_or_known_already_owes_nothing_more(scene: Scene, chat: UUID) -> None:
    """It stands or falls with the accept: they are one transaction."""
    request = uuid4()
    assert not (await asked(scene, chat, id=request)).repeated
    assert (await asked(scene, chat, id=request)).repeated
    scene.limits = Limits(user_waiting=0)
    with pytest.raises(TooManyWaiting):
        await asked(scene, chat)
    assert len(await owed(scene, chat)) == 1


async def test_an_unknown_chat_does_not_open(scene: Scene) -> None:
    with pytest.raises(NotFound, match="no chat"):
        await scene.store.classic.enter(uuid4())


@pytest.mark.parametrize("how", ["deleted", "disabled"])
async def test_a_deleted_chat_and_that_of_a_disabled_user_are_closed(scene: Scene, chat: UUID, how: str) -> None:
    await asked(scene, chat)
    if how == "deleted":
        await scene.store.chats.delete(scene.user, chat)
    else:
        await scene.store.users.set_disabled(scene.user, True)
    with pytest.raises(NotFound):
        await scene.store.classic.enter(chat)
    with pytest.raises(NotFound):
        await scene.store.classic.next(chat, 0)


async def test_users_and_chats_that_people_insert_by_hand_open(scene: Scene) -> None:
    user = uuid4()
    await raw(scene.url, ADD_USER.replace("…", str(user)))
    chat = await made_by_hand(scene, user)
    opened = await scene.store.classic.enter(chat)
    assert opened == Opened(user, 0)
    assert type(opened.user) is UUID


async def test_a_database_of_the_version_before_keeps_all_it_has_and_owes_nothing(empty_url: str) -> None:
    await migrate(empty_url, "0001")
    user, chat = str(uuid4()), str(uuid4())
    await raw(empty_url, ADD_USER.replace("…", user))
    await raw(empty_url, ADD_CHAT.replace("…", chat, 1).replace("…", user))
    await migrate(empty_url)
    assert await current(empty_url) == head()
    async with open_store(empty_url) as store:
        assert await store.classic.enter(UUID(chat)) == Opened(UUID(user), 0)
        assert await store.classic.next(UUID(chat), 0) is None
    await downgrade(empty_url, "0001")
    assert await raw(empty_url, "SELECT count(*) FROM chat_sessions") == [(1,)]


async def test_whoever_does_not_use_the_classic_socket_needs_nothing_of_it(empty_url: str) -> None:
    """Its table is not touched by any other message."""
    await migrate(empty_url)
    await raw(empty_url, "DROP TABLE classic_replies")
    async with open_store(empty_url) as store:
        scene = Scene(store, empty_url)
        scene.user = await scene.person("ana")
        receipt = await scene.send()
        assert (await scene.answer(receipt.row.run)).mine
        assert await scene.text(receipt.row.run) == "Fine."
