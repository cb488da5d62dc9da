"""Bad input gets a clear error with a stable code, and nothing is lost: over the socket of a real process."""

import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from uuid_utils.compat import uuid7
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Origin, Subprotocol

from prosa.adapters.scripted_engine import expected_reply
from tests.system.harness import PASSWORD, Person, Served, Tab

LIMIT = 32 * 1024


@pytest.fixture
async def person(shared: Served) -> Person:
    return await Person.sign_up(shared.base)


@pytest.fixture
async def tab(person: Person) -> AsyncIterator[Tab]:
    async with person.socket() as opened:
        yield opened


def send(**fields: object) -> str:
    return json.dumps({"type": "send", "id": str(uuid7()), "chat": str(uuid7()), "text": "hi [[n=1]]", **fields})


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        ('{"type":"dance"}', "bad_request"),
        ('{"chat":"x"}', "bad_request"),
        ('{"type":"watch"}', "bad_request"),
        ('{"type":"stop","run":17}', "bad_request"),
        ('{"type":"watch","chat":"no-uuid"}', "bad_id"),
        (send(text=""), "bad_text"),
        (send(text=" \n\t "), "bad_text"),
        (send(text="nul \x00 inside"), "bad_text"),
        (send(text="half \ud800 pair"), "bad_text"),
        (send(text="é" * (LIMIT // 2) + "x"), "text_too_long"),
        (send(model="no-such-model"), "unknown_model"),
        (send(parent=str(uuid4())), "not_found"),
        (json.dumps({"type": "regenerate", "id": str(uuid7()), "reply": str(uuid4())}), "not_found"),
        (json.dumps({"type": "watch", "chat": str(uuid4())}), "not_found"),
        (json.dumps({"type": "stop", "run": str(uuid4())}), "not_found"),
        (json.dumps({"type": "watch", "chat": str(uuid4()), "runs": [str(uuid4())] * 65}), "bad_request"),
    ],
)
async def test_a_bad_frame_is_refused_and_the_socket_goes_on(tab: Tab, frame: str, code: str) -> None:
    await tab.send(frame)
    refused = await tab.until("error")
    assert refused["code"] == code
    assert len(refused["message"]) > 20
    assert "Traceback" not in refused["message"]
    accepted = await tab.ask("still here? [[n=2 r=50]]")
    assert (await tab.answer(accepted["run"])).text == expected_reply("still here? [[n=2 r=50]]")


async def test_a_refused_message_leaves_no_chat_behind(person: Person, tab: Tab) -> None:
    chat = uuid7()
    await tab.send(send(chat=str(chat), text=""))
    assert (await tab.until("error"))["code"] == "bad_text"
    assert (await person.http("GET", f"/api/chats/{chat}"))[0] == 404


async def test_the_largest_text_that_is_allowed_is_accepted_even_with_every_byte_escaped(tab: Tab) -> None:
    text = "[[n=1]]" + "\x01" * (LIMIT - 7)
    accepted = await tab.ask(text)
    assert (await tab.answer(accepted["run"])).text == expected_reply(text)


@pytest.mark.parametrize("frame", ["hello", "[]", "7", "null", '"text"', "[" * 50_000, "{'type':'send'}"])
async def test_what_is_no_json_object_is_answered_and_ends_the_socket(tab: Tab, frame: str) -> None:
    await tab.send(frame)
    assert (await tab.until("error"))["code"] == "bad_frame"
    with pytest.raises(ConnectionClosed) as closed:
        await tab.receive()
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1003


async def test_a_binary_frame_is_none_of_ours(tab: Tab) -> None:
    await tab.connection.send(b"\x00\x01")
    assert (await tab.until("error"))["code"] == "bad_frame"


async def test_a_frame_that_is_too_big_closes_with_1009(tab: Tab) -> None:
    await tab.send("x" * (6 * LIMIT + 8 * 1024 + 1))
    with pytest.raises(ConnectionClosed) as closed:
        await tab.receive()
    assert closed.value.sent is not None or closed.value.rcvd is not None
    assert 1009 in [close.code for close in (closed.value.sent, closed.value.rcvd) if close]


async def test_text_comes_back_exactly_as_it_was_typed(person: Person, tab: Tab) -> None:
    typed = "  línea uno\r\n\tdeux\u2028𝄞 e\u0301 \u200b\ufeff [[n=1]] "
    accepted = await tab.ask(typed)
    await tab.answer(accepted["run"])
    history = await person.history(UUID(accepted["chat"]))
    assert history["messages"][0]["text"] == typed


@pytest.mark.parametrize("token", ["", "rubbish", "x" * 5000])
async def test_who_is_not_signed_in_is_told_so_by_the_close_code(shared: Served, token: str) -> None:
    assert await _close_code(shared, [f"bearer.{token}"] if token else []) == 4401


async def test_a_foreign_origin_is_forbidden_even_with_a_good_token(shared: Served, person: Person) -> None:
    assert await _close_code(shared, [f"bearer.{person.token}"], Origin("https://evil.example")) == 4403


async def test_the_own_origin_is_welcome(shared: Served, person: Person) -> None:
    protocols = [Subprotocol("prosa.v1"), Subprotocol(f"bearer.{person.token}")]
    async with connect(_url(shared), subprotocols=protocols, origin=Origin(shared.base)) as connection:
        assert json.loads(await connection.recv())["type"] == "hello"
        assert connection.subprotocol == "prosa.v1"


async def test_signing_out_closes_the_open_sockets_of_that_sign_in_and_no_other(shared: Served) -> None:
    person = await Person.sign_up(shared.base)
    login = await person.http("POST", "/api/auth/token", {"username": person.username, "password": PASSWORD})
    other = Person(shared.base, person.username, login[1]["access_token"])
    async with person.socket() as closing, other.socket() as staying:
        assert (await person.http("POST", "/api/auth/logout"))[0] < 300
        with pytest.raises(ConnectionClosed) as closed:
            await closing.receive(30)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 4401
        await staying.answer((await staying.ask("still me [[n=1]]"))["run"])
    assert (await person.http("GET", "/api/me"))[0] == 401


async def _close_code(served: Served, protocols: list[str], origin: Origin | None = None) -> int:
    offered = [Subprotocol(name) for name in ["prosa.v1", *protocols]]
    async with connect(_url(served), subprotocols=offered, origin=origin) as connection:
        with pytest.raises(ConnectionClosed) as closed:
            await connection.recv()
    assert closed.value.rcvd is not None
    return closed.value.rcvd.code


def _url(served: Served) -> str:
    return served.base.replace("http", "ws", 1) + "/api/ws"


async def test_one_account_cannot_take_all_connections(tmp_path: Path) -> None:
    """L9: the hundred-and-first socket of an account is turned away; another account's is welcome."""
    served = Served(tmp_path / "data", {"PROSA_RATE_LIMITS": "on"})
    await served.start()
    try:
        greedy, other = await Person.sign_up(served.base), await Person.sign_up(served.base)
        async with AsyncExitStack() as stack:
            for _ in range(100):
                await stack.enter_async_context(greedy.socket())
            assert await _close_code(served, [f"bearer.{greedy.token}"]) == 1013
            async with other.socket() as tab:
                await tab.answer((await tab.ask("room for me? [[n=1]]"))["run"])
    finally:
        served.kill()


async def test_a_socket_that_watches_too_many_chats_still_gets_its_messages_accepted(shared: Served) -> None:
    """L1: what is stored is acknowledged, whatever becomes of the watching."""
    person = await Person.sign_up(shared.base)
    async with person.socket() as tab:
        for n in range(202):
            accepted = await tab.ask(f"{n} [[n=1 r=1000]]")
            await tab.answer(accepted["run"])
