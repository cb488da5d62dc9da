"""The classic socket: plain text in, whole replies out, each told at least once and in order."""

import asyncio
from typing import cast
from uuid import UUID, uuid4

import pytest

from prosa.app.intake import Intake
from prosa.core import errors
from prosa.core.classic import RECEIVED, SENTENCES, STOPPED, Saying, Sender
from prosa.core.errors import Failed, StoreUnavailable
from prosa.core.run import End, Failure, Finish, RunState
from prosa.gateway.hub import REVOCATION_SECONDS
from prosa.testing import settle
from tests.http.classics import WAIT_SECONDS, Classics, Socket, elsewhere
from tests.http.test_origins import FOREIGN
from tests.http.world import LIMITS, Person, World


@pytest.fixture
def classics(world: World, ana: Person) -> Classics:
    return Classics(world, ana)


@pytest.fixture
async def chat(classics: Classics) -> UUID:
    return await classics.chat()


# ── what it is for ──


async def test_a_message_is_acknowledged_and_answered_with_the_whole_reply(classics: Classics, chat: UUID) -> None:
    async with classics.open(chat) as socket:
        socket.say("Olá!")
        received = await socket.message()
        assert received["text"] == '{"sender":"SYSTEM","content":"Mensagem recebida e em processamento..."}'
        (row,) = await classics.runs(chat)
        await classics.answer(row.run, 'Bem, "obrigado"! 🌍')
        answered = await socket.message()
        assert answered["text"] == '{"sender":"BOT","content":"Bem, \\"obrigado\\"! 🌍"}'
        await classics.eventually(lambda: classics.all_told(chat))
        await socket.silent()


async def test_what_is_acknowledged_is_stored_as_a_message_of_the_chat(classics: Classics, chat: UUID) -> None:
    async with classics.open(chat) as socket:
        await socket.ask("  as typed \n")
    history = (await classics.ana.client.get(f"/api/chats/{chat}")).json()
    assert [message["text"] for message in history["messages"]] == ["from the page", "to the page", "  as typed \n", ""]


async def test_each_frame_is_a_new_message_also_with_the_same_text(classics: Classics, chat: UUID) -> None:
    async with classics.open(chat) as socket:
        for _ in range(2):
            await socket.ask("again")
        assert len(await classics.runs(chat)) == 2


async def test_replies_come_in_the_order_of_the_questions(classics: Classics, chat: UUID) -> None:
    """Also where a later one ended first, as one that is withdrawn from the page while it waits."""
    async with classics.open(chat) as socket:
        for text in ("one", "two", "three"):
            await socket.ask(text)
        one, two, three = await classics.runs(chat)
        stopped = await classics.ana.client.post(f"/api/runs/{two.run}/stop")
        assert stopped.json()["state"] == "stopped"
        await classics.answer(one.run, "1")
        assert await socket.told() == Saying(Sender.BOT, "1")
        assert await socket.told() == STOPPED
        await classics.answer(three.run, "3")
        assert await socket.told() == Saying(Sender.BOT, "3")


async def test_a_question_of_the_page_is_not_answered_here(classics: Classics, chat: UUID) -> None:
    async with classics.open(chat) as socket:
        accepted = await classics.ana.ask("over the page", chat=chat)
        await classics.world.clock.advance(0.1)
        await classics.answer(UUID(accepted["run"]), "on the page")
        await socket.ask("and here")
        (row,) = await classics.runs(chat)
        await classics.answer(row.run, "here")
        assert await socket.told() == Saying(Sender.BOT, "here")


# ── who is away, and who is not alone ──


async def test_a_reply_that_ended_while_nobody_was_there_comes_at_the_next_connect_once(
    classics: Classics, chat: UUID
) -> None:
    async with classics.open(chat) as socket:
        await socket.ask("one")
        await socket.ask("two")
    one, two = await classics.runs(chat)
    await classics.answer(one.run, "1")
    async with classics.open(chat) as socket:
        assert await socket.told() == Saying(Sender.BOT, "1")
        await classics.answer(two.run, "2")
        assert await socket.told() == Saying(Sender.BOT, "2")
        await classics.eventually(lambda: classics.all_told(chat))
    async with classics.open(chat) as socket:
        await socket.ask("three")
        (three,) = await classics.runs(chat)
        await classics.answer(three.run, "3")
        assert await socket.told() == Saying(Sender.BOT, "3")


async def test_every_connection_of_the_chat_gets_every_reply(classics: Classics, chat: UUID) -> None:
    async with classics.open(chat) as first, classics.open(chat) as second:
        await first.ask("mine")
        await classics.world.clock.advance(0.1)
        (row,) = await classics.runs(chat)
        await classics.answer(row.run, "ours")
        for socket in (first, second):
            assert await socket.told() == Saying(Sender.BOT, "ours")


async def test_an_end_whose_every_bulletin_and_frame_is_lost_is_told_within_seconds(
    classics: Classics, chat: UUID
) -> None:
    async with classics.open(chat) as socket:
        await socket.ask("Olá!")
        (row,) = await classics.runs(chat)
        await classics.eventually(lambda: classics.follows(row.run))
        await classics.answer(row.run, "late", quiet=True)

        async def told() -> bool:
            await classics.world.clock.advance(1)
            return not socket.sent.empty()

        begun = classics.world.clock.monotonic()
        await classics.eventually(told)
        assert await socket.told() == Saying(Sender.BOT, "late")
        assert classics.world.clock.monotonic() - begun < REVOCATION_SECONDS


async def test_a_question_that_another_gateway_took_is_found_though_no_bulletin_tells_of_it(
    classics: Classics, chat: UUID
) -> None:
    async with classics.open(chat) as socket:
        await socket.silent()
        receipt = await elsewhere(classics.world).classic(classics.ana.id, chat, "elsewhere")
        await classics.answer(receipt.row.run, "everywhere", quiet=True)
        await classics.world.clock.advance(REVOCATION_SECONDS)
        assert await socket.told() == Saying(Sender.BOT, "everywhere")


# ── marked after the send, never before ──


async def test_a_reader_that_takes_nothing_is_closed_and_its_reply_is_still_owed(world: World, ana: Person) -> None:
    classics = Classics(world, ana, send_seconds=0.5)
    chat = await classics.chat()
    async with classics.open(chat) as socket:
        await socket.ask("Olá!")
        socket.read.clear()
        (row,) = await classics.runs(chat)
        await classics.answer(row.run, "unread")
        assert await socket.code() == 1013
    assert classics.owed.tells == 0
    async with classics.open(chat) as socket:
        assert await socket.told() == Saying(Sender.BOT, "unread")


async def test_a_reply_that_could_not_be_sent_is_still_owed(classics: Classics, chat: UUID) -> None:
    async with classics.open(chat) as socket:
        await socket.ask("Olá!")
        socket.gone = True
        (row,) = await classics.runs(chat)
        await classics.answer(row.run, "unsent")
        async with asyncio.timeout(WAIT_SECONDS):
            await socket.lost.wait()
    assert classics.owed.tells == 0
    async with classics.open(chat) as socket:
        assert await socket.told() == Saying(Sender.BOT, "unsent")


async def test_who_leaves_with_its_reply_does_not_get_it_again(classics: Classics, chat: UUID) -> None:
    """It left between the send and the mark."""
    classics.owed.held.clear()
    async with classics.open(chat) as socket:
        await socket.ask("Olá!")
        (row,) = await classics.runs(chat)
        await classics.answer(row.run, "bye")
        assert await socket.told() == Saying(Sender.BOT, "bye")
        socket.leave()
        await settle()
        classics.owed.held.set()
    assert await classics.all_told(chat)


async def test_while_the_mark_cannot_be_stored_the_reply_is_sent_once_and_the_next_one_waits(
    classics: Classics, chat: UUID
) -> None:
    async with classics.open(chat) as socket:
        await socket.ask("one")
        await socket.ask("two")
        one, two = await classics.runs(chat)
        classics.owed.away.add("tell")
        await classics.answer(one.run, "1")
        assert await socket.told() == Saying(Sender.BOT, "1")
        await classics.answer(two.run, "2")

        async def tried_again() -> bool:
            await classics.world.clock.advance(1)
            return classics.owed.tells >= 3

        await classics.eventually(tried_again)
        await socket.silent()
        classics.owed.away.clear()
        await classics.world.clock.advance(1)
        assert await socket.told() == Saying(Sender.BOT, "2")


async def test_a_message_is_acknowledged_before_it_is_answered(classics: Classics, chat: UUID) -> None:
    """The reply is whole while the acknowledgement is still on its way."""
    async with classics.open(chat) as socket:
        socket.read.clear()
        socket.say("Olá!")
        await classics.eventually(lambda: classics.owes(chat))
        (row,) = await classics.runs(chat)
        await classics.answer(row.run, "quick")
        await settle()
        socket.read.set()
        assert [await socket.told() for _ in range(2)] == [RECEIVED, Saying(Sender.BOT, "quick")]


# ── what is no whole reply ──


async def test_a_failed_reply_is_a_sentence_of_the_system_and_its_partial_text_is_no_answer(
    classics: Classics, chat: UUID
) -> None:
    failure = Failure("model_timeout", "The model fell silent.", retryable=True)
    async with classics.open(chat) as socket:
        await socket.ask("Olá!")
        (row,) = await classics.runs(chat)
        await classics.answer(row.run, "half an ans", End(RunState.FAILED, failure=failure))
        assert await socket.told() == Saying(Sender.SYSTEM, SENTENCES["model_timeout"])
        await classics.eventually(lambda: classics.all_told(chat))


async def test_a_reply_that_was_cut_at_its_limit_is_whole(classics: Classics, chat: UUID) -> None:
    async with classics.open(chat) as socket:
        await socket.ask("Olá!")
        (row,) = await classics.runs(chat)
        await classics.answer(row.run, "as long as may be", End(RunState.DONE, Finish.LENGTH))
        assert await socket.told() == Saying(Sender.BOT, "as long as may be")


def test_every_failure_of_a_run_has_a_sentence_of_its_own() -> None:
    def leaves(kind: type[Failed]) -> list[type[Failed]]:
        below = kind.__subclasses__()
        return [leaf for each in below for leaf in leaves(each)] if below else [kind]

    assert {leaf.code for leaf in leaves(Failed)} - SENTENCES.keys() == set()


# ── what is refused ──


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "bad_text"),
        (" \n\t", "bad_text"),
        ("nul \x00", "bad_text"),
        ("é" * LIMITS.text_bytes, "text_too_long"),
        (b"binary", "bad_frame"),
    ],
)
async def test_what_cannot_be_taken_is_refused_in_portuguese_and_the_socket_goes_on(
    classics: Classics, chat: UUID, text: str | bytes, code: str
) -> None:
    async with classics.open(chat) as socket:
        socket.say_bytes(text) if isinstance(text, bytes) else socket.say(text)
        assert await socket.told() == Saying(Sender.SYSTEM, SENTENCES[code])
        assert await classics.all_told(chat)
        await socket.ask("and this?")


async def test_who_has_too_many_waiting_is_told_so(classics: Classics, chat: UUID) -> None:
    async with classics.open(chat) as socket:
        for n in range(1 + LIMITS.user_waiting):
            await socket.ask(f"message {n}")
        socket.say("one too many")
        assert await socket.told() == Saying(Sender.SYSTEM, SENTENCES["too_many_waiting"])
        assert len(await classics.runs(chat)) == 1 + LIMITS.user_waiting


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (StoreUnavailable("away"), "store_unavailable"),
        (errors.StorageFull("full"), "storage_full"),
        (RuntimeError("a fault of ours"), "internal"),
    ],
)
async def test_what_the_store_cannot_take_is_refused_and_nobody_reads_why_in_english(
    world: World, ana: Person, error: Exception, code: str
) -> None:
    class Broken:
        async def classic(self, user: UUID, chat: UUID, text: str, *, origin: str | None = None) -> None:
            raise error

    classics = Classics(world, ana, intake=cast("Intake", Broken()))
    chat = await classics.chat()
    async with classics.open(chat) as socket:
        socket.say("Olá!")
        assert await socket.told() == Saying(Sender.SYSTEM, SENTENCES[code])


# ── who may open it ──


@pytest.mark.parametrize(
    "query",
    ["", "id=", "id=1", "id=nonsense", "chat={chat}", "id={chat}x", "id={plain}", "id=%7B{chat}%7D", f"id={uuid4()}"],
)
async def test_an_id_that_is_missing_malformed_or_unknown_closes_with_1008(
    classics: Classics, chat: UUID, query: str
) -> None:
    async with classics.raw(query.format(chat=chat, plain=chat.hex)) as socket:
        assert (await socket.message())["type"] == "websocket.accept"
        assert await socket.code() == 1008


async def test_letters_of_an_id_may_be_capitals(classics: Classics, chat: UUID) -> None:
    async with classics.raw(f"id={str(chat).upper()}") as socket:
        assert (await socket.message())["type"] == "websocket.accept"
        await socket.ask("Olá!")


@pytest.mark.parametrize("how", ["deleted", "disabled"])
@pytest.mark.parametrize("when", ["before", "while it is open"])
async def test_a_deleted_chat_and_that_of_a_disabled_user_close_with_1008(
    classics: Classics, chat: UUID, how: str, when: str
) -> None:
    async def close_it() -> None:
        if how == "deleted":
            assert (await classics.ana.client.delete(f"/api/chats/{chat}")).status_code == 204
        else:
            await classics.world.store.users.set_disabled(classics.ana.id, True)

    if when == "before":
        await close_it()
    async with classics.raw(f"id={chat}") as socket:
        assert (await socket.message())["type"] == "websocket.accept"
        if when != "before":
            await socket.ask("Olá!")
            await close_it()
            await classics.world.clock.advance(REVOCATION_SECONDS)
        while (message := await socket.message())["type"] != "websocket.close":
            assert '"BOT"' not in message["text"]
        assert message["code"] == 1008


@pytest.mark.parametrize("origin", [each["origin"] for each in FOREIGN if "origin" in each])
async def test_a_foreign_page_opens_nothing(classics: Classics, chat: UUID, origin: str) -> None:
    async with classics.raw(f"id={chat}", origin=origin) as socket:
        assert (await socket.message())["type"] == "websocket.accept"
        assert await socket.code() == 4403


@pytest.mark.parametrize("origin", ["http://prosa.test", "https://prosa.test", "https://chat.example.org"])
async def test_the_own_page_and_one_that_is_allowed_open_it(classics: Classics, chat: UUID, origin: str) -> None:
    async with classics.raw(f"id={chat}", origin=origin) as socket:
        assert (await socket.message())["type"] == "websocket.accept"
        await socket.ask("Olá!")


async def test_a_store_that_is_away_at_the_handshake_closes_with_1013(classics: Classics, chat: UUID) -> None:
    classics.owed.away.add("enter")
    async with classics.raw(f"id={chat}") as socket:
        assert (await socket.message())["type"] == "websocket.accept"
        assert await socket.code() == 1013


async def test_one_user_has_so_many_sockets_and_no_more_until_one_leaves(classics: Classics, chat: UUID) -> None:
    async with classics.open(chat) as first, classics.open(chat) as second:
        async with classics.open(chat) as third:
            for socket in (first, second, third):
                await socket.silent()
            async with classics.open(chat) as fourth:
                assert await fourth.code() == 1013
        async with classics.open(chat) as again:
            await again.ask("Olá!")


async def test_a_gateway_that_goes_away_says_so(classics: Classics, chat: UUID) -> None:
    async with classics.open(chat) as socket:
        await socket.silent()
        for member in classics.world.hub.members.all():
            member.dismiss()
        assert await socket.code() == 1012


async def test_who_left_is_followed_no_more(classics: Classics, chat: UUID) -> None:
    async with classics.open(chat) as socket:
        await socket.ask("Olá!")
        (row,) = await classics.runs(chat)
        await classics.eventually(lambda: classics.follows(row.run))
    assert classics.world.hub.relay(row.run) is None
    assert classics.world.hub.sockets == 0


async def test_where_it_is_off_there_is_no_such_address(world: World, ana: Person) -> None:
    socket, chat = Socket(), (await ana.ask())["chat"]
    scope = {"type": "websocket", "path": "/ws_chat", "query_string": f"id={chat}".encode(), "headers": []}
    await world.app(scope, socket.receive, socket.send)
    assert await socket.code() == 1000
    assert socket.sent.empty()
