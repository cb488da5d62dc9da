"""The terminal's connection against a server that breaks it: the answer comes whole, and once."""

import asyncio
import io
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime
from typing import Literal
from uuid import UUID

import msgspec
import pytest
from aiohttp import web

from prosa.core import protocol
from prosa.core.errors import NotSignedIn, Refused, Unavailable
from prosa.core.protocol import Accepted, ClientMessage, Delta, Done, MessageView, Send, Snapshot, Stop, Watch
from prosa.core.run import Finish, RunState, Usage
from prosa.terminal.chat import Conversation, recall
from prosa.terminal.client import Past, Server, follow, sign_in
from prosa.terminal.screen import Screen
from prosa.terminal.transcript import Over, Turn

CHAT, RUN, REPLY, QUESTION = (UUID(int=number) for number in range(1, 5))
TURN = Turn(CHAT, Send(QUESTION, CHAT, "hello"))
ACCEPTED = Accepted(QUESTION, CHAT, RUN, REPLY, RunState.QUEUED, 1, 1)
TEXT = "One step at a time."


class Talk:
    """One connection, as the server's side of a test sees it."""

    def __init__(self, socket: web.WebSocketResponse, heard: list[ClientMessage]) -> None:
        self.socket = socket
        self._heard = heard

    async def hear(self) -> ClientMessage:
        message = protocol.decode(await self.socket.receive_str())
        self._heard.append(message)
        return message

    async def say(self, *messages: protocol.ServerMessage) -> None:
        for message in messages:
            await self.socket.send_str(protocol.encode(message))

    async def text(self, start: int, end: int) -> None:
        await self.say(Delta(run=RUN, attempt=1, start=start + 1, seq=end, text=TEXT[start:end]))

    async def snapshot(self, end: int) -> None:
        await self.say(Snapshot(RUN, CHAT, 1, end, RunState.RUNNING, TEXT[:end]))

    async def done(self, seq: int = len(TEXT), finish: Finish = Finish.STOP) -> None:
        await self.say(Done(RUN, CHAT, REPLY, 1, seq, finish, Usage()))


Part = Callable[[Talk], Awaitable[None]]


class FakeGateway:
    """Plays one part a connection, then cuts it."""

    def __init__(self) -> None:
        self.parts: list[Part] = []
        self.heard: list[ClientMessage] = []
        self.url = ""
        self.past = Past("Steps", (), ())

    async def socket(self, request: web.Request) -> web.StreamResponse:
        if request.headers.get("Authorization") != "Bearer right":
            raise web.HTTPUnauthorized
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        await self.parts.pop(0)(Talk(socket, self.heard))
        return socket

    async def chat(self, request: web.Request) -> web.StreamResponse:
        if request.match_info["chat"] != str(CHAT):
            return web.json_response({"detail": "not found", "code": "not_found"}, status=404)
        return web.Response(body=msgspec.json.encode(self.past), content_type="application/json")

    async def token(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        if body == {"username": "ana", "password": "correct horse"}:
            return web.json_response({"access_token": "right", "token_type": "bearer"})
        return web.json_response({"detail": "The password is wrong.", "code": "wrong_password"}, status=401)


@pytest.fixture
async def gateway() -> AsyncIterator[FakeGateway]:
    fake = FakeGateway()
    app = web.Application()
    app.router.add_get("/api/ws", fake.socket)
    app.router.add_post("/api/auth/token", fake.token)
    app.router.add_get("/api/chats/{chat}", fake.chat)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    fake.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield fake
    await runner.cleanup()


class Paper(Screen):
    """A screen that keeps what was written."""

    def __init__(self, watched: bool = False) -> None:
        self.out, self.notes = (Tty(), Tty()) if watched else (io.StringIO(), io.StringIO())
        super().__init__(source=Tty() if watched else io.StringIO(), out=self.out, notes=self.notes)


class Tty(io.StringIO):
    def isatty(self) -> bool:
        return True


async def show(gateway: FakeGateway, *parts: Part) -> tuple[Over, str]:
    gateway.parts = list(parts)
    paper = Paper()
    async with asyncio.timeout(10):
        over = await follow(Server(gateway.url, "right"), TURN, paper, (0.01, 0.02))
    return over, paper.out.getvalue()


async def accept_and_say(talk: Talk, end: int) -> None:
    await talk.hear()
    await talk.say(ACCEPTED)
    await talk.text(0, end)


async def test_an_answer_is_written_as_it_comes(gateway: FakeGateway) -> None:
    async def whole(talk: Talk) -> None:
        await accept_and_say(talk, 8)
        await talk.text(8, len(TEXT))
        await talk.done()

    assert await show(gateway, whole) == (Over(), TEXT + "\n")
    assert gateway.heard == [TURN.question]


async def test_a_connection_lost_in_mid_answer_costs_no_character(gateway: FakeGateway) -> None:
    async def first(talk: Talk) -> None:
        await accept_and_say(talk, 8)

    async def second(talk: Talk) -> None:
        await talk.hear()
        await talk.snapshot(12)
        await talk.text(12, len(TEXT))
        await talk.done()

    assert await show(gateway, first, second) == (Over(), TEXT + "\n")
    assert gateway.heard == [TURN.question, Watch(CHAT, (RUN,))]


async def test_a_connection_lost_before_the_acceptance_sends_the_same_question_again(gateway: FakeGateway) -> None:
    async def deaf(talk: Talk) -> None:
        await talk.hear()

    async def whole(talk: Talk) -> None:
        await accept_and_say(talk, len(TEXT))
        await talk.done()

    assert await show(gateway, deaf, whole) == (Over(), TEXT + "\n")
    assert gateway.heard == [TURN.question, TURN.question]


async def test_a_lost_delta_is_asked_for_again_on_the_same_connection(gateway: FakeGateway) -> None:
    async def gap(talk: Talk) -> None:
        await accept_and_say(talk, 4)
        await talk.text(8, 12)
        assert await talk.hear() == Watch(CHAT, (RUN,))
        await talk.snapshot(len(TEXT))
        await talk.done()

    assert await show(gateway, gap) == (Over(), TEXT + "\n")


async def test_an_interrupt_stops_the_answer_and_a_second_one_leaves(gateway: FakeGateway) -> None:
    async def stopped(talk: Talk) -> None:
        await accept_and_say(talk, 8)
        os.kill(os.getpid(), signal.SIGINT)
        assert await talk.hear() == Stop(RUN)
        await talk.done(8, Finish.STOPPED)

    assert await show(gateway, stopped) == (Over(), TEXT[:8] + "\n")

    async def deaf(talk: Talk) -> None:
        await accept_and_say(talk, 8)
        os.kill(os.getpid(), signal.SIGINT)
        assert await talk.hear() == Stop(RUN)
        os.kill(os.getpid(), signal.SIGINT)
        await talk.socket.receive()

    async with asyncio.TaskGroup() as group:
        gateway.parts = [deaf]
        following = group.create_task(follow(Server(gateway.url, "right"), TURN, Paper()))
    assert following.cancelled()


async def test_a_token_that_is_not_accepted_is_told_and_not_tried_again(gateway: FakeGateway) -> None:
    with pytest.raises(NotSignedIn, match="PROSA_TOKEN"):
        await follow(Server(gateway.url, "wrong"), TURN, Paper())


async def test_a_sign_in_that_is_revoked_in_mid_answer_is_told(gateway: FakeGateway) -> None:
    async def revoked(talk: Talk) -> None:
        await accept_and_say(talk, 8)
        await talk.socket.close(code=4401)

    with pytest.raises(NotSignedIn):
        await show(gateway, revoked)


async def test_a_server_that_is_not_there_is_told_at_once(unused_tcp_port: int) -> None:
    url = f"http://127.0.0.1:{unused_tcp_port}"
    with pytest.raises(Unavailable, match="prosa serve"):
        await follow(Server(url, "right"), TURN, Paper())
    with pytest.raises(Unavailable, match="prosa serve"):
        await sign_in(url, "ana", "correct horse")


async def test_signing_in_gives_a_token_or_says_why_not(gateway: FakeGateway) -> None:
    assert await sign_in(gateway.url, "ana", "correct horse") == "right"
    with pytest.raises(Refused, match=r"^The password is wrong\.$"):
        await sign_in(gateway.url, "ana", "correct")


# ── going on with a chat ──


def _message(number: int, parent: UUID, text: str, state: RunState) -> MessageView:
    role: Literal["user", "assistant"] = "assistant" if number % 2 == 0 else "user"
    run = RUN if role == "assistant" else None
    now = datetime(2026, 1, 1, tzinfo=UTC)
    return MessageView(UUID(int=100 + number), CHAT, parent, role, text, state, number, now, run=run)


def _conversation(gateway: FakeGateway, chat: UUID = CHAT) -> Conversation:
    return Conversation(Server(gateway.url, "right"), chat, None, lambda: QUESTION, known=True)


async def test_who_goes_on_with_a_chat_sees_its_title_and_what_was_said_last(gateway: FakeGateway) -> None:
    said = (_message(1, CHAT, "How?", RunState.DONE), _message(2, UUID(int=101), TEXT, RunState.DONE))
    gateway.past = Past("Steps", said, ())
    watched, piped = Paper(watched=True), Paper()
    await recall(_conversation(gateway), watched)
    await recall(_conversation(gateway), piped)
    assert watched.notes.getvalue() == "[Steps]\n"
    assert watched.out.getvalue() == f"you> How?\n{TEXT}\n"
    assert piped.out.getvalue() == ""


async def test_who_goes_on_with_a_chat_sees_an_unfinished_answer_to_its_end(gateway: FakeGateway) -> None:
    async def rest(talk: Talk) -> None:
        assert await talk.hear() == Watch(CHAT, (RUN,))
        await talk.snapshot(8)
        await talk.text(8, len(TEXT))
        await talk.done()

    gateway.parts = [rest]
    said = (_message(1, CHAT, "How?", RunState.DONE), _message(2, UUID(int=101), TEXT[:4], RunState.RUNNING))
    gateway.past = Past("Steps", said, (RUN,))
    paper = Paper(watched=True)
    await recall(_conversation(gateway), paper)
    assert paper.out.getvalue() == f"you> How?\n{TEXT}\n"


async def test_a_chat_that_is_not_there_is_told(gateway: FakeGateway) -> None:
    with pytest.raises(Refused, match="There is no chat"):
        await recall(_conversation(gateway, UUID(int=9)), Paper())


# ── the screen ──


def test_an_interrupt_of_an_idle_prompt_clears_the_line_and_says_how_to_leave(monkeypatch: pytest.MonkeyPatch) -> None:
    typed: list[str | type[BaseException]] = [KeyboardInterrupt, "hello", EOFError]

    def line(_prompt: str) -> str:
        told = typed.pop(0)
        if isinstance(told, str):
            return told
        raise told

    monkeypatch.setattr("builtins.input", line)
    paper = Paper(watched=True)
    assert list(paper.questions()) == ["hello"]
    assert "[Ctrl-D leaves.]" in paper.notes.getvalue()


def test_a_model_cannot_move_the_cursor_of_a_terminal_but_a_pipe_gets_its_text_as_it_is() -> None:
    words = "red \x1b[31mtext\x07\n\tend"
    tty, pipe = Tty(), io.StringIO()
    Screen(source=io.StringIO(), out=tty, notes=Tty()).answer(words)
    Screen(source=io.StringIO(), out=pipe, notes=Tty()).answer(words)
    assert tty.getvalue() == "red \ufffd[31mtext\ufffd\n\tend"
    assert pipe.getvalue() == words


def test_a_pipe_is_one_question_and_gets_no_notes() -> None:
    notes = io.StringIO()
    screen = Screen(source=io.StringIO("first\nsecond\n"), out=io.StringIO(), notes=notes)
    assert list(screen.questions()) == ["first\nsecond"]
    screen.note("waiting")
    assert notes.getvalue() == ""


def test_an_empty_pipe_asks_nothing() -> None:
    assert list(Screen(source=io.StringIO("\n"), out=io.StringIO(), notes=io.StringIO()).questions()) == []
