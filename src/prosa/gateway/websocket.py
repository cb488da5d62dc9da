"""The protocol ``prosa.v1`` over a socket: the only file that awaits one."""

import asyncio
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass
from typing import Final, assert_never
from uuid import UUID

import structlog
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect
from structlog.contextvars import bind_contextvars

from prosa.app.access import Access
from prosa.app.intake import Intake
from prosa.core import protocol
from prosa.core.account import SignIn
from prosa.core.errors import BadFrame, BadRequest, InternalFailure, NotSignedIn, ProsaError, StoreUnavailable
from prosa.core.protocol import (
    SUBPROTOCOL,
    ClientMessage,
    Hello,
    Refusal,
    Regenerate,
    Send,
    Stop,
    Unwatch,
    UserView,
    Watch,
)
from prosa.core.work import Receipt
from prosa.gateway.credentials import origin_allowed, secret_of
from prosa.gateway.hub import Hub
from prosa.gateway.patience import Patience, patient
from prosa.gateway.session import (
    FORBIDDEN_ORIGIN,
    NAMED_RUNS,
    NO_OBJECT,
    NOT_SIGNED_IN,
    OVERLOADED,
    Session,
)
from prosa.ports import Clock, Metrics, Reads, Tokens

log = structlog.get_logger()

SEND_SECONDS: Final = 30.0
"""How long one frame may wait for its reader; then the socket closes with 1013."""
REQUEST_SECONDS: Final = 30.0


@dataclass(frozen=True, kw_only=True)
class Door:
    """What every socket needs."""

    access: Access
    intake: Intake
    hub: Hub
    reads: Reads
    tokens: Tokens
    clock: Clock
    metrics: Metrics
    origins: Collection[str]
    models: tuple[str, ...]
    sockets_a_user: int | None
    """None: as many as they like."""
    send_seconds: float = SEND_SECONDS


def route(door: Door) -> WebSocketRoute:
    """The route of ``/api/ws``."""

    async def endpoint(websocket: WebSocket) -> None:
        try:
            sign_in = await _admit(websocket, door)
        except WebSocketDisconnect:
            return  # who asked to be let in did not wait for the answer
        if sign_in is not None:
            await Connection(websocket, door, sign_in).serve()

    return WebSocketRoute("/api/ws", endpoint)


async def _admit(websocket: WebSocket, door: Door) -> SignIn | None:
    """Accept the handshake, then close with a code that a browser can read where it must not stay open.

    Raises WebSocketDisconnect where nobody is there any more.
    """
    offered = websocket.scope.get("subprotocols", [])
    await websocket.accept(subprotocol=SUBPROTOCOL if SUBPROTOCOL in offered else None)
    headers = websocket.headers
    if not origin_allowed(headers.get("origin"), headers.get("host"), door.origins):
        await websocket.close(FORBIDDEN_ORIGIN, "This page may not connect here.")
        return None
    try:
        secret, _ = secret_of(headers, websocket.cookies)
        sign_in = await door.access.who(secret)
    except NotSignedIn:
        await websocket.close(NOT_SIGNED_IN, "Not signed in.")
    except ProsaError as error:
        await websocket.close(OVERLOADED, error.code)
    else:
        if not _crowded(door, sign_in):
            return sign_in
        await websocket.close(OVERLOADED, "Too many connections of this account.")
    return None


def _crowded(door: Door, sign_in: SignIn) -> bool:
    """One user must not take the open files of all others."""
    return door.sockets_a_user is not None and len(door.hub.members.of(sign_in.user.id)) >= door.sockets_a_user


class Connection:
    """A socket's reader and writer around its session."""

    __slots__ = ("_door", "_session", "_socket", "_wakened")

    def __init__(self, socket: WebSocket, door: Door, sign_in: SignIn) -> None:
        self._socket = socket
        self._door = door
        self._wakened = asyncio.Event()
        self._session = Session(sign_in, self._wakened.set)

    async def serve(self) -> None:
        user = self._session.sign_in.user
        bind_contextvars(user=str(user.id))
        self._door.hub.members.join(self._session)
        self._session.push(Hello(UserView(user.id, user.username, user.role), self._door.hub.name, self._door.models))
        try:
            async with asyncio.TaskGroup() as group:
                writer = group.create_task(self._write())
                await self._read()
                writer.cancel()
        finally:
            self._door.hub.leave(self._session, self._session.runs)

    # ── writing ──────────────────────────────────────────────────────────────────────────────────────────────

    async def _write(self) -> None:
        """Send whatever the session has, as fast as its reader reads; between frames everything merges."""
        try:
            try:
                async with patient(self._door.send_seconds) as patience:
                    await self._send_until_closing(patience)
            except TimeoutError:
                self._door.metrics.count("socket_closes_total", code=str(OVERLOADED))
                self._session.close(OVERLOADED)
            await self._close(self._session.closing or OVERLOADED)
        except (WebSocketDisconnect, RuntimeError, OSError):
            # The peer is gone; the reader learns it too and ends the connection.
            return
        finally:
            self._door.hub.traffic.ends(self)

    async def _send_until_closing(self, patience: Patience) -> None:
        traffic = self._door.hub.traffic
        while self._session.closing is None:
            await self._wakened.wait()
            self._wakened.clear()
            messages, over = self._session.pull(self._door.hub.relay)
            traffic.merged(self._session.merges())
            for run in over:
                self._door.hub.unwatch(run, self._session)
            for message in messages:
                frame = protocol.encode(message)
                patience.begins()
                traffic.begins(self, frame)
                self._session.sending = True
                await self._socket.send_text(frame)
                self._session.sending = False
                traffic.ends(self)
                patience.ends()

    async def _close(self, code: int) -> None:
        try:
            async with asyncio.timeout(SEND_SECONDS):
                await self._socket.close(code)
        except TimeoutError:
            log.info("socket.stalled", code=code)

    # ── reading ──────────────────────────────────────────────────────────────────────────────────────────────

    async def _read(self) -> None:
        """One request after the other: a client that floods waits for its own answers."""
        while True:
            event = await self._socket.receive()
            if event["type"] == "websocket.disconnect":
                return
            if self._session.closing is not None:
                continue
            if self._session.sign_in.expires_at <= self._door.clock.now():
                self._session.sign_out()
                continue
            await self._request(event.get("text"))

    async def _request(self, frame: str | None) -> None:
        try:
            if frame is None:
                raise BadFrame("The frame is binary. Send JSON text frames.")
            self._door.hub.traffic.came(frame)
            message = protocol.decode(frame)
        except ProsaError as error:
            self._refuse(error, protocol.request_id(frame or ""))
            if isinstance(error, BadFrame):
                self._session.close(NO_OBJECT)
            return
        await self._carry_out(message)

    async def _carry_out(self, message: ClientMessage) -> None:
        request = message.id if isinstance(message, Send | Regenerate) else None
        try:
            async with asyncio.timeout(REQUEST_SECONDS):
                await self._handle(message)
        except ProsaError as error:
            self._refuse(error, request)
        except TimeoutError:
            self._refuse(StoreUnavailable("The store did not answer in time. Send the same message again."), request)
        except Exception:
            log.exception("request.broke", kind=type(message).__name__, **_ids(message))
            self._refuse(InternalFailure("Something in Prosa broke. Send it again."), request)

    async def _handle(self, message: ClientMessage) -> None:
        match message:
            case Send():
                await self._accept(message, self._door.intake.send)
            case Regenerate():
                await self._accept(message, self._door.intake.regenerate)
            case Watch():
                await self._watch(message)
            case Unwatch():
                self._unwatch(message.chat)
            case Stop():
                await self._door.intake.stop(self._session.user, message.run)
            case _:
                assert_never(message)

    async def _accept(self, message: Send | Regenerate, accept: Callable[..., Awaitable[Receipt]]) -> None:
        """Register as watcher, commit, acknowledge: no first word can come between."""
        hub, session, run = self._door.hub, self._session, self._door.tokens.uuid()
        hub.watch(run, session, look=False)
        session.asked(run)
        try:
            receipt = await accept(session.user, message, run=run, origin=hub.name)
        except BaseException:
            hub.unwatch(run, session)
            raise
        if receipt.row.run != run:
            hub.unwatch(run, session)
            hub.watch(receipt.row.run, session, look=False)
            session.asked(receipt.row.run)
        session.accepted(message.id, receipt)
        hub.learn(receipt.row)
        await self._watch_new(receipt)

    async def _watch_new(self, receipt: Receipt) -> None:
        """A send watches its chat: also what other devices have running there. The message is accepted whatever
        becomes of this."""
        chat = receipt.row.chat
        if self._session.watches(chat):
            return
        try:
            self._session.watch(chat)
            others = [] if receipt.created else await self._door.reads.unfinished(self._session.user, chat)
        except ProsaError as error:
            log.info("chat.not_watched", chat=str(chat), code=error.code)
            return
        for run in others:
            if not self._session.follows(run):
                self._door.hub.watch(run, self._session)
                self._session.begin(run, whole=True)

    async def _watch(self, message: Watch) -> None:
        if len(message.runs) > NAMED_RUNS:
            raise BadRequest(f"A watch names {NAMED_RUNS} runs at most. Name only those that are not over.")
        self._session.watch(message.chat)
        try:
            unfinished = await self._door.reads.unfinished(self._session.user, message.chat)
        except ProsaError:
            self._session.unwatch(message.chat, ())
            raise
        named = [row for row in await self._door.reads.rows(message.runs)] if message.runs else []
        mine = [row for row in named if row.user == self._session.user and row.run not in unfinished]
        runs = [*(row.run for row in mine), *unfinished]
        for run in runs:
            self._door.hub.watch(run, self._session)
        for row in mine:
            self._door.hub.learn(row)
        self._session.watching(message.chat, runs)

    def _unwatch(self, chat: UUID) -> None:
        hub, session = self._door.hub, self._session
        runs = [run for run in session.runs if (known := hub.relay(run)) and known.row and known.row.chat == chat]
        session.unwatch(chat, runs)
        for run in runs:
            hub.unwatch(run, session)

    def _refuse(self, error: ProsaError, request: UUID | None) -> None:
        self._door.metrics.count("refused_total", code=error.code)
        self._session.push(Refusal.of(error, request))


def _ids(message: ClientMessage) -> dict[str, str]:
    """What a message names, for the log."""
    named = {name: getattr(message, name, None) for name in ("chat", "run", "reply")}
    return {name: str(found) for name, found in named.items() if found is not None}
