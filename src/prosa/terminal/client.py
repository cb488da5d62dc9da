"""The terminal's connection: one socket for each answer, opened again until the answer is whole."""

import asyncio
import random
import signal
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from http import HTTPStatus
from typing import Final, assert_never
from uuid import UUID

import aiohttp
import msgspec

from prosa.core import protocol
from prosa.core.errors import NotSignedIn, ProsaError, Refused, Unavailable
from prosa.terminal.screen import Screen, plain
from prosa.terminal.transcript import Again, Effect, Note, Over, Print, Tell, Turn, decode, heard, interrupted, opening

CONNECT_SECONDS: Final = 10.0
HEARTBEAT_SECONDS: Final = 20.0
PAUSE_SECONDS: Final = (0.2, 5.0)
"""Between two connections: at first, and at most."""
PATIENCE_SECONDS: Final = 300.0
"""How long a lost server is asked again before the terminal gives up."""
AGAIN_SECONDS: Final = 0.5
NOT_SIGNED_IN_CODE: Final = 4401
PAST_MESSAGES: Final = 100
FRAME_BYTES: Final = 32 * 1024 * 1024
NOT_SIGNED_IN: Final = "You are not signed in: the token is unknown or expired. Sign in again, or set PROSA_TOKEN."


class Server(msgspec.Struct, frozen=True):
    """A gateway's address, as ``http://127.0.0.1:8000``, and the token that signs in there."""

    url: str
    token: str

    @property
    def socket(self) -> str:
        return "ws" + self.url.removeprefix("http") + "/api/ws"


class _Problem(msgspec.Struct):
    detail: str = ""
    code: str = ""


class _Token(msgspec.Struct):
    access_token: str


async def sign_in(url: str, username: str, password: str) -> str:
    """A token for this program. Raises Refused where the server says no, Unavailable where nobody answers."""
    body = {"username": username, "password": password}
    timeout = aiohttp.ClientTimeout(total=30)
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout) as http,
            http.post(f"{url}/api/auth/token", json=body) as response,
        ):
            answer = await response.read()
    except (aiohttp.ClientError, OSError) as error:
        raise _away(url) from error
    if response.status == 200:
        return msgspec.json.decode(answer, type=_Token).access_token
    raise _problem(answer, response.status)


class Past(msgspec.Struct, frozen=True):
    """A chat with its newest messages, oldest first, and the runs that have not ended."""

    title: str
    messages: tuple[protocol.MessageView, ...]
    runs: tuple[UUID, ...]


async def past(server: Server, chat: UUID) -> Past:
    """What was said in a chat. Raises Refused where there is none, NotSignedIn, and Unavailable."""
    headers = {"Authorization": f"Bearer {server.token}"}
    timeout = aiohttp.ClientTimeout(total=30)
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout, headers=headers) as http,
            http.get(f"{server.url}/api/chats/{chat}?limit={PAST_MESSAGES}") as response,
        ):
            answer = await response.read()
    except (aiohttp.ClientError, OSError) as error:
        raise _away(server.url) from error
    match response.status:
        case 200:
            return msgspec.json.decode(answer, type=Past)
        case 401 | 403:
            raise NotSignedIn(NOT_SIGNED_IN)
        case 404:
            raise Refused(f"There is no chat {chat} of yours. Correct --chat, or leave it out to begin a new one.")
        case _:
            raise _problem(answer, response.status)


async def follow(
    server: Server, turn: Turn, screen: Screen, pause_seconds: tuple[float, float] = PAUSE_SECONDS
) -> Over:
    """Show the turn's answer to its end, through lost connections; Ctrl-C stops it, twice leaves (CancelledError).

    Raises NotSignedIn, and Unavailable where the server cannot be reached, or not again for ``PATIENCE_SECONDS``.
    """
    following = _Following(server, turn, screen, pause_seconds)
    with _interrupts(following):
        over = await following.through()
    screen.end()
    return over


class _Following:
    """One answer over as many connections as it takes."""

    def __init__(self, server: Server, turn: Turn, screen: Screen, pauses: tuple[float, float]) -> None:
        self._server = server
        self._turn = turn
        self._screen = screen
        self._stop = asyncio.Event()
        self._last_heard: float | None = None
        self._pauses = pauses
        self._pause = pauses[0]

    def interrupt(self) -> bool:
        """False the second time."""
        first = not self._stop.is_set()
        self._stop.set()
        return first

    async def through(self) -> Over:
        async with aiohttp.ClientSession() as http:
            while (over := await self._once(http)) is None:
                await self._wait()
            return over

    async def _once(self, http: aiohttp.ClientSession) -> Over | None:
        """One connection: how the answer ended, or None where the connection did first."""
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                socket = await http.ws_connect(
                    self._server.socket,
                    headers={"Authorization": f"Bearer {self._server.token}"},
                    heartbeat=HEARTBEAT_SECONDS,
                    max_msg_size=FRAME_BYTES,
                )
        except aiohttp.WSServerHandshakeError as error:
            if error.status in (401, 403):
                raise NotSignedIn(NOT_SIGNED_IN) from error
            return None
        except (aiohttp.ClientError, OSError):
            return None
        async with socket:
            return await self._talk(socket)

    async def _talk(self, socket: aiohttp.ClientWebSocketResponse) -> Over | None:
        self._pause = self._pauses[0]
        async with asyncio.TaskGroup() as group:
            stopper = group.create_task(self._stop_when_asked(socket))
            over = await self._read(socket)
            stopper.cancel()
        self._last_heard = asyncio.get_running_loop().time()
        if socket.close_code == NOT_SIGNED_IN_CODE:
            raise NotSignedIn(NOT_SIGNED_IN)
        return over

    async def _read(self, socket: aiohttp.ClientWebSocketResponse) -> Over | None:
        await self._say(socket, opening(self._turn))
        async for frame in socket:
            message = decode(frame.data) if frame.type is aiohttp.WSMsgType.TEXT else None
            if message is not None:
                self._turn, effects = heard(self._turn, message)
                over = await self._do(socket, effects)
                if over is not None:
                    return over
        return None

    async def _stop_when_asked(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        await self._stop.wait()
        if not self._turn.stopping:
            self._turn, effects = interrupted(self._turn)
            await self._do(socket, effects)

    async def _do(self, socket: aiohttp.ClientWebSocketResponse, effects: Iterable[Effect]) -> Over | None:
        for effect in effects:
            match effect:
                case Print(text):
                    self._screen.answer(text)
                case Note(text):
                    self._screen.note(text)
                case Tell(message):
                    await self._say(socket, [message])
                case Again():
                    await asyncio.sleep(AGAIN_SECONDS)
                    await self._say(socket, opening(self._turn))
                case Over():
                    return effect
                case _:
                    assert_never(effect)
        return None

    async def _say(self, socket: aiohttp.ClientWebSocketResponse, messages: Iterable[protocol.ClientMessage]) -> None:
        # A connection that is gone is noticed by whoever reads it; the next one says what is due again.
        with suppress(aiohttp.ClientError, ConnectionError):
            for message in messages:
                await socket.send_str(protocol.encode(message))

    async def _wait(self) -> None:
        now = asyncio.get_running_loop().time()
        if self._last_heard is None or now - self._last_heard > PATIENCE_SECONDS:
            raise _away(self._server.url)
        self._screen.note("the connection is lost; trying again")
        await asyncio.sleep(self._pause * random.uniform(0.5, 1.5))  # noqa: S311 — jitter, not a secret
        self._pause = min(self._pause * 2, self._pauses[1])


@contextmanager
def _interrupts(following: _Following) -> Iterator[None]:
    """While an answer runs, Ctrl-C is a wish of its reader and no exception."""
    loop = asyncio.get_running_loop()
    task = asyncio.current_task(loop)

    def interrupt() -> None:
        if not following.interrupt() and task is not None:
            task.cancel()

    with suppress(NotImplementedError):  # no signal handlers on this system: there Ctrl-C leaves at once
        loop.add_signal_handler(signal.SIGINT, interrupt)
    try:
        yield
    finally:
        with suppress(NotImplementedError):
            loop.remove_signal_handler(signal.SIGINT)


def _away(url: str) -> ProsaError:
    return Unavailable(f"There is no answer from {url}. Is `prosa serve` running there? Name another with --url.")


def told(answer: bytes, status: int) -> ProsaError:
    """What a gateway's refusal says: NotSignedIn, Refused, or Unavailable where trying again can help."""
    return NotSignedIn(NOT_SIGNED_IN) if status == HTTPStatus.UNAUTHORIZED else _problem(answer, status)


def _problem(answer: bytes, status: int) -> ProsaError:
    try:
        problem = msgspec.json.decode(answer, type=_Problem)
    except msgspec.MsgspecError:
        problem = _Problem()
    message = plain(problem.detail) or f"The server refused with status {status}."
    return Unavailable(message) if status >= 500 else Refused(message)
