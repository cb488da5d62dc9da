"""A run's events as a stream of server-sent events, which resumes by ``Last-Event-ID: attempt.seq``."""

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import AbstractAsyncContextManager
from typing import Final, NamedTuple

import structlog
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from prosa.core.cursor import Cursor
from prosa.core.errors import NotSignedIn, ProsaError
from prosa.core.protocol import Delta, Done, Failed, ServerMessage, Snapshot, Started, encode
from prosa.core.relay import Row
from prosa.gateway.problems import API_HEADERS
from prosa.ports import Clock

HELLO: Final = b"retry: 1000\n\n"
KEEP_ALIVE: Final = b": keep-alive\n\n"
SEND_SECONDS: Final = 30.0
RECHECK_SECONDS: Final = 10.0
READY_SECONDS: Final = 0.5
HEADERS: Final = {**API_HEADERS, "x-accel-buffering": "no"}

_POSITION: Final = re.compile(r"(\d{1,9})\.(\d{1,9})", re.ASCII)
log = structlog.get_logger()


class Position(NamedTuple):
    """What a reader holds: ``seq`` characters of an attempt. The end of a run counts as one more."""

    attempt: int = 0
    seq: int = 0


START: Final = Position()


def position(event_id: str | None) -> Position:
    """The position that an event's id names; the start for one that is none of ours."""
    match = _POSITION.fullmatch(event_id or "")
    return Position(int(match[1]), int(match[2])) if match else START


def believable(at: Position, row: Row) -> Position | None:
    """Where to go on for a reader who claims to be ``at``: the start where that cannot be, None past the end."""
    if row.end is None:
        return at if at.attempt and at.attempt <= row.attempt else START
    past = len(row.text) + 1
    if at.attempt == row.attempt and at.seq >= past:
        return None
    return at if 0 < at.attempt <= row.attempt else START


def cursor(row: Row, at: Position) -> Cursor:
    return Cursor(row.run, attempt=at.attempt, seq=at.seq, started=at.attempt)


def beyond(at: Position, message: ServerMessage) -> ServerMessage | None:
    """The message as news for a reader who is ``at``: only the characters that it misses, None where it has all.

    The text of an attempt only ever grows, so a snapshot of it is a tail for who holds its beginning. A gateway may
    know less than the reader holds (only what was saved, or an earlier attempt): it must not make the text shrink.
    """
    if not isinstance(message, (Started, Delta, Snapshot)) or message.attempt > at.attempt:
        return message
    if isinstance(message, Started) or message.attempt < at.attempt:
        return None
    first = message.start if isinstance(message, Delta) else 1
    if message.seq <= at.seq:
        return None
    if first > at.seq + 1:
        return message
    text = message.text[at.seq + 1 - first :]
    return Delta(run=message.run, attempt=at.attempt, start=at.seq + 1, seq=message.seq, text=text)


def after(at: Position, message: ServerMessage) -> Position:
    """Where a reader is behind the message. Only text and the end move it on, so that no resume skips text."""
    match message:
        case Delta() | Snapshot():
            return Position(message.attempt, message.seq)
        case Done() | Failed():
            return Position(message.attempt, message.seq + 1)
        case _:
            return at


def written(at: Position, messages: Iterable[ServerMessage]) -> tuple[bytes, Position]:
    """The events' bytes, a comment where there are none, and the position behind them."""
    events = []
    for each in messages:
        message = beyond(at, each)
        if message is None:
            continue
        at = after(at, message)
        kind = message.__struct_config__.tag
        events.append(f"id: {at.attempt}.{at.seq}\nevent: {kind}\ndata: {encode(message)}\n\n")
    return "".join(events).encode() or KEEP_ALIVE, at


class EventStream(Response):
    """The answer that streams what ``follow`` yields from ``at`` on.

    It ends with the run, when the reader leaves or takes nothing for ``send_seconds``, when the gateway is no longer
    ``ready``, and when ``recheck`` (the sign-in, asked every ``RECHECK_SECONDS`` or so) raises NotSignedIn.
    """

    media_type = "text/event-stream"

    def __init__(  # noqa: PLR0913 — two of them by keyword only
        self,
        follow: Callable[[], AbstractAsyncContextManager[AsyncIterator[list[ServerMessage]]]],
        at: Position,
        clock: Clock,
        recheck: Callable[[], Awaitable[object]],
        *,
        ready: Callable[[], bool],
        send_seconds: float = SEND_SECONDS,
    ) -> None:
        super().__init__(headers=HEADERS)
        # The length is unknown: what the base class measured is of its empty body.
        del self.headers["content-length"]
        self._follow = follow
        self._at = at
        self._clock = clock
        self._recheck = recheck
        self._checked = clock.monotonic()
        self._ready = ready
        self._send_seconds = send_seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        async with asyncio.TaskGroup() as group:
            stream = group.create_task(self._stream(send))
            hang_up = group.create_task(_hung_up(receive))
            drain = group.create_task(self._drained())
            await asyncio.wait((stream, hang_up, drain), return_when=asyncio.FIRST_COMPLETED)
            listens = not hang_up.done() and (not stream.done() or stream.result())
            for task in (stream, hang_up, drain):
                task.cancel()
        if listens:
            await self._send(send, b"", more=False)

    async def _stream(self, send: Send) -> bool:
        """Whether the reader still listens."""
        try:
            await self._send(send, HELLO)
            await self._relay(send)
        except (TimeoutError, OSError) as error:
            log.info("events.reader_given_up", error=repr(error))
            return False
        except ProsaError as error:
            # The answer has begun: to end it makes the client resume, which then gets the refusal as such.
            log.info("events.broken_off", error=error.message)
        return True

    async def _drained(self) -> None:
        """The gateway goes away: who ends its streams now sends their readers to another one in good time."""
        while self._ready():
            await self._clock.sleep(READY_SECONDS)

    async def _relay(self, send: Send) -> None:
        async with self._follow() as batches:
            async for messages in batches:
                await self._check()
                body, self._at = written(self._at, messages)
                await self._send(send, body)

    async def _check(self) -> None:
        if self._clock.monotonic() - self._checked < RECHECK_SECONDS:
            return
        self._checked = self._clock.monotonic()
        try:
            await self._recheck()
        except NotSignedIn:
            raise
        except ProsaError as error:
            # The store is away: running answers go on, and the next check decides.
            log.info("events.sign_in_unchecked", error=error.message)

    async def _send(self, send: Send, body: bytes, *, more: bool = True) -> None:
        async with asyncio.timeout(self._send_seconds):
            await send({"type": "http.response.body", "body": body, "more_body": more})


async def _hung_up(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
