"""The classic socket of a real process, with users and chats that were made by hand in SQL."""

import asyncio
import json
import os
import re
import sqlite3
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from uuid import uuid4

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosedError, InvalidStatus
from websockets.typing import Origin

from prosa.adapters.scripted_engine import expected_reply
from prosa.gateway.classic import POLICY
from prosa.gateway.session import FORBIDDEN_ORIGIN, GOING_AWAY, OVERLOADED
from tests.system.harness import Served

SETTINGS = {"PROSA_CLASSIC_SOCKET": "true", "PROSA_DEFAULT_MODEL": "scripted"}
RECEIVED = {"sender": "SYSTEM", "content": "Mensagem recebida e em processamento..."}

# As they stand in the design: people create test users so.
ADD_USER = "INSERT INTO users (id, username) VALUES ('…', 'test_user');"
ADD_CHAT = "INSERT INTO chat_sessions (id, user_id, status) VALUES ('…', '…', 'ACTIVE');"

PAGE = (Path(__file__).parents[2] / "docs" / "classic.md").read_text("utf-8")


@pytest.fixture
async def classic(tmp_path: Path) -> AsyncIterator[Served]:
    """A process of this test's own with the classic socket."""
    own = Served(tmp_path / "data", SETTINGS)
    await own.start()
    try:
        yield own
    finally:
        own.kill()


def made_by_hand(served: Served) -> str:
    """A chat of a new user, inserted while the process runs."""
    user, chat = str(uuid4()), str(uuid4())
    with closing(sqlite3.connect(served.folder / "prosa.db")) as database, database:
        database.execute(ADD_USER.replace("…", user).replace("test_user", f"test_user_{user[:8]}"))
        database.execute(ADD_CHAT.replace("…", chat, 1).replace("…", user))
    return chat


def address(served: Served, query: str) -> str:
    return f"{served.base.replace('http', 'ws', 1)}/ws_chat{query}"


@asynccontextmanager
async def opened(served: Served, chat: str) -> AsyncIterator[ClientConnection]:
    """What `wscat -c "ws://…/ws_chat?id=$ID"` does."""
    async with connect(address(served, f"?id={chat}")) as socket:
        yield socket


async def told(socket: ClientConnection, seconds: float = 20) -> dict[str, str]:
    async with asyncio.timeout(seconds):
        frame: dict[str, str] = json.loads(await socket.recv())
    return frame


async def ask(socket: ClientConnection, text: str) -> None:
    await socket.send(text)
    assert await told(socket) == RECEIVED


def bot(text: str) -> dict[str, str]:
    """The whole reply to this message."""
    return {"sender": "BOT", "content": expected_reply(text)}


async def test_a_chat_made_by_hand_answers_plain_text(classic: Served) -> None:
    async with opened(classic, made_by_hand(classic)) as socket:
        for text in ("Olá! [[n=5 r=50]]", "E agora? [[n=3 r=50]]"):
            await ask(socket, text)
            assert await told(socket) == bot(text)


def test_the_page_shows_what_these_tests_do() -> None:
    assert f"```sql\n{ADD_USER}\n{ADD_CHAT}\n```" in PAGE
    assert f"< {json.dumps(RECEIVED, separators=(',', ':'))}" in PAGE
    codes = (POLICY, GOING_AWAY, OVERLOADED, FORBIDDEN_ORIGIN, 1009)
    assert re.findall(r"^\| (\d+) \|", PAGE, re.MULTILINE) == [str(code) for code in sorted(codes)]


async def test_users_and_chats_inserted_while_nothing_runs_work_at_the_next_start(classic: Served) -> None:
    assert classic.stop() == 0
    chat = made_by_hand(classic)
    await classic.start()
    async with opened(classic, chat) as socket:
        await ask(socket, "Olá! [[n=2 r=50]]")
        assert await told(socket) == bot("Olá! [[n=2 r=50]]")


async def test_several_messages_at_once_are_answered_in_their_order(classic: Served) -> None:
    texts = [f"number {n} [[n=4 r=50]]" for n in range(5)]
    async with opened(classic, made_by_hand(classic)) as socket:
        for text in texts:
            await socket.send(text)
        frames = [await told(socket) for _ in range(2 * len(texts))]
    assert [frame for frame in frames if frame != RECEIVED] == [bot(text) for text in texts]
    assert frames[0] == RECEIVED


async def test_a_reply_that_ends_while_nobody_is_there_comes_at_the_next_connect_and_only_then(
    classic: Served,
) -> None:
    chat, text = made_by_hand(classic), "while I am away [[n=5 r=20]]"
    async with opened(classic, chat) as socket:
        await ask(socket, text)
    await ended(classic, 1)
    async with opened(classic, chat) as socket:
        assert await told(socket) == bot(text)
    await marked(classic, 1)
    async with opened(classic, chat) as socket:
        await ask(socket, "next [[n=1 r=50]]")
        assert await told(socket) == bot("next [[n=1 r=50]]")


async def test_killed_in_mid_answer_the_whole_reply_comes_after_the_start(classic: Served) -> None:
    """Also what was acknowledged in the moment of the power cut."""
    chat, long, short = made_by_hand(classic), "long [[n=30 r=20]]", "at the last moment [[n=2 r=50]]"
    async with opened(classic, chat) as socket:
        await ask(socket, long)
        await until(classic, "SELECT count(*) FROM runs WHERE saved <> ''", 1)
        await ask(socket, short)
        classic.kill()
        with pytest.raises(ConnectionClosedError):
            await told(socket)
    await classic.start()
    async with opened(classic, chat) as socket:
        assert [await told(socket) for _ in range(2)] == [bot(long), bot(short)]


async def test_killed_after_the_end_what_was_told_to_nobody_comes_after_the_start(classic: Served) -> None:
    chat, text = made_by_hand(classic), "unseen [[n=3 r=50]]"
    async with opened(classic, chat) as socket:
        await ask(socket, text)
    await ended(classic, 1)
    classic.kill()
    await classic.start()
    async with opened(classic, chat) as socket:
        assert await told(socket) == bot(text)


async def test_every_socket_of_the_chat_gets_the_reply(classic: Served) -> None:
    chat, text = made_by_hand(classic), "for both [[n=4 r=50]]"
    async with opened(classic, chat) as first, opened(classic, chat) as second:
        await ask(first, text)
        for socket in (first, second):
            assert await told(socket) == bot(text)


async def test_a_reply_that_fails_is_no_word_of_the_bot(classic: Served) -> None:
    async with opened(classic, made_by_hand(classic)) as socket:
        await ask(socket, "break [[n=9 r=50 fail=3]]")
        frame = await told(socket)
        assert frame["sender"] == "SYSTEM"
        assert frame != RECEIVED
        await ask(socket, "and on [[n=1 r=50]]")
        assert await told(socket) == bot("and on [[n=1 r=50]]")


async def test_what_is_refused_is_said_and_the_socket_goes_on(classic: Served) -> None:
    async with opened(classic, made_by_hand(classic)) as socket:
        for frame in ("", "x" * 40_000, b"binary"):
            await socket.send(frame)
            refused = await told(socket)
            assert refused["sender"] == "SYSTEM"
            assert refused != RECEIVED
        await ask(socket, "still here [[n=1 r=50]]")
        assert await told(socket) == bot("still here [[n=1 r=50]]")


@pytest.mark.parametrize("query", ["", "?id=", "?id=17", "?id=not-a-uuid", f"?id={uuid4()}", f"?other={uuid4()}"])
async def test_without_the_id_of_a_chat_it_closes_with_1008(classic_shared: Served, query: str) -> None:
    async with connect(address(classic_shared, query)) as socket:
        with pytest.raises(ConnectionClosedError) as caught:
            await told(socket)
    assert caught.value.rcvd is not None
    assert caught.value.rcvd.code == POLICY == 1008
    assert caught.value.rcvd.reason


async def test_a_foreign_page_cannot_open_it(classic_shared: Served) -> None:
    where = address(classic_shared, f"?id={made_by_hand(classic_shared)}")
    async with connect(where, origin=Origin("https://evil.test")) as socket:
        with pytest.raises(ConnectionClosedError) as caught:
            await told(socket)
    assert caught.value.rcvd is not None
    assert caught.value.rcvd.code == 4403
    async with connect(where, origin=Origin(classic_shared.base)) as socket:
        await ask(socket, "from our own page [[n=1 r=50]]")


@pytest.fixture(scope="module")
async def classic_shared(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Served]:
    """One that its tests leave as it was."""
    common = Served(tmp_path_factory.mktemp("classic") / "data", SETTINGS)
    await common.start()
    try:
        yield common
    finally:
        common.kill()


async def test_it_is_off_by_default(shared: Served) -> None:
    with pytest.raises(InvalidStatus) as caught:
        async with opened(shared, made_by_hand(shared)):
            pass
    assert caught.value.response.status_code == 403
    assert "classic socket" not in shared.log


async def test_that_it_is_on_is_said_in_the_log_and_by_the_doctor(classic_shared: Served) -> None:
    noted = [json.loads(line) for line in classic_shared.log.splitlines() if "classic socket" in line]
    assert [line["level"] for line in noted] == ["warning"]
    assert "warn" in await doctor_on_classic(classic_shared, "true")
    assert await doctor_on_classic(classic_shared, "false") == ""


async def doctor_on_classic(served: Served, on: str) -> str:
    """The doctor's lines about it."""
    doctor = await asyncio.create_subprocess_exec(
        Path(sys.executable).with_name("prosa"),
        "doctor",
        stdout=asyncio.subprocess.PIPE,
        env={"PATH": os.defpath, "HOME": str(served.folder), **served.settings, "PROSA_CLASSIC_SOCKET": on},
    )
    async with asyncio.timeout(60):
        output, _ = await doctor.communicate()
    return "\n".join(line for line in output.decode().splitlines() if "classic socket" in line)


# ── what the database says meanwhile ──


async def until(served: Served, query: str, count: int) -> None:
    for _ in range(400):
        if _count(served, query) >= count:
            return
        await asyncio.sleep(0.05)
    raise AssertionError(f"{query}: not {count} after 20 s")


async def ended(served: Served, count: int) -> None:
    await until(served, "SELECT count(*) FROM runs WHERE ended_at IS NOT NULL", count)


async def marked(served: Served, count: int) -> None:
    await until(served, "SELECT count(*) FROM classic_replies WHERE told_at IS NOT NULL", count)


def _count(served: Served, query: str) -> int:
    with closing(sqlite3.connect(served.folder / "prosa.db")) as database:
        found: int = database.execute(query).fetchone()[0]
    return found
