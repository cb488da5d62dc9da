"""The classic socket: one text frame is one message, and one JSON frame answers with the whole reply.

The id of a chat alone opens it, so it is off by default. A chat's replies are told in their order to every
connection: each has one cursor, the ordinal of the last reply that it was told, and follows one run at most, the
next. What was told to nobody yet is told to who connects next.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Collection
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, TypeVar
from uuid import UUID

import structlog
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect
from structlog.contextvars import bind_contextvars

from prosa.app.intake import Intake
from prosa.core import classic
from prosa.core.classic import Opened, Saying
from prosa.core.errors import BadFrame, InternalFailure, NotFound, ProsaError, StoreUnavailable
from prosa.core.protocol import ServerMessage
from prosa.gateway.credentials import origin_allowed
from prosa.gateway.hub import Hub
from prosa.gateway.session import FORBIDDEN_ORIGIN, GOING_AWAY, OVERLOADED
from prosa.ports import Classic, Clock, Metrics

log = structlog.get_logger()
T = TypeVar("T")

PATH: Final = "/ws_chat"
POLICY: Final = 1008
"""The close code for an id that opens nothing: missing, malformed, unknown, deleted, its user disabled."""
SEND_SECONDS: Final = 30.0
"""How long one frame may wait for its reader; then the socket closes with 1013."""
REQUEST_SECONDS: Final = 30.0
STORE_SECONDS: Final = 5.0
AGAIN_SECONDS: Final = 1.0
"""The pause before the store is asked again after it was away."""
_OWN_RUNS: Final = 64


@dataclass(frozen=True, kw_only=True)
class ClassicDoor:
    """What every classic socket needs."""

    intake: Intake
    hub: Hub
    owed: Classic
    clock: Clock
    metrics: Metrics
    origins: Collection[str]
    sockets_a_user: int | None
    """Together with those of ``/api/ws``. None: as many as they like."""
    send_seconds: float = SEND_SECONDS


def route(door: ClassicDoor) -> WebSocketRoute:
    """The route of ``/ws_chat?id=<chat>``."""

    async def endpoint(websocket: WebSocket) -> None:
        # Accepted first: a client reads the code of a close, not why a handshake was refused.
        await websocket.accept()
        try:
            chat, opened = await _admit(websocket, door)
        except _Turned as turned:
            # Who left already needs no reason.
            with suppress(WebSocketDisconnect, RuntimeError, OSError):
                await websocket.close(turned.code, turned.reason)
        else:
            bind_contextvars(chat=str(chat), user=str(opened.user))
            await Connection(websocket, door, chat, opened).serve()

    return WebSocketRoute(PATH, endpoint)


class _Turned(Exception):
    """Who comes is turned away."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


async def _admit(websocket: WebSocket, door: ClassicDoor) -> tuple[UUID, Opened]:
    """The chat that the id opens. Raises _Turned."""
    headers = websocket.headers
    if not origin_allowed(headers.get("origin"), headers.get("host"), door.origins):
        raise _Turned(FORBIDDEN_ORIGIN, "Esta página não pode se conectar aqui.")
    chat = _chat(websocket.query_params.get("id", ""))
    if chat is None:
        raise _Turned(POLICY, "Informe o id de uma conversa: /ws_chat?id=<UUID>.")
    try:
        opened = await _in_time(door.owed.enter(chat))
    except NotFound:
        raise _Turned(POLICY, "Este id não abre nenhuma conversa.") from None
    except ProsaError as error:
        raise _Turned(OVERLOADED, error.code) from error
    if door.sockets_a_user is not None and len(door.hub.members.of(opened.user)) >= door.sockets_a_user:
        raise _Turned(OVERLOADED, "Conexões demais desta conta.")
    return chat, opened


def _chat(given: str) -> UUID | None:
    """Ids are dashed: other forms that Python would read name nothing here."""
    try:
        chat = UUID(given)
    except ValueError:
        return None
    return chat if str(chat) == given.lower() else None


async def _in_time(answer: Awaitable[T]) -> T:
    """What the store answers. Raises StoreUnavailable also where it does not."""
    try:
        async with asyncio.timeout(STORE_SECONDS):
            return await answer
    except TimeoutError:
        raise StoreUnavailable("The store did not answer in time.") from None


class Connection:
    """One open socket: a reader that accepts messages, and a teller behind one cursor. A member of the hub."""

    __slots__ = (
        "_after",
        "_chat",
        "_closing",
        "_door",
        "_followed",
        "_left",
        "_own",
        "_sending",
        "_sent",
        "_socket",
        "_wakened",
        "user",
    )

    def __init__(self, socket: WebSocket, door: ClassicDoor, chat: UUID, opened: Opened) -> None:
        self.user = opened.user
        self._socket = socket
        self._door = door
        self._chat = chat
        self._after = self._sent = opened.told
        self._followed: UUID | None = None
        self._own: deque[UUID] = deque(maxlen=_OWN_RUNS)
        self._closing: int | None = None
        self._left = False
        # Fair: who stored a message says so before the teller, who waits behind it, tells its reply.
        self._sending = asyncio.Lock()
        self._wakened = asyncio.Event()
        self._wakened.set()

    async def serve(self) -> None:
        hub = self._door.hub
        hub.members.join(self)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._tell())
                await self._read()
                # Not cancelled: who leaves with its reply would get it once more if the mark were lost.
                self._left = True
                self._wakened.set()
        finally:
            hub.leave(self, () if self._followed is None else (self._followed,))

    # ── told by the hub ──────────────────────────────────────────────────────────────────────────────────────

    @property
    def session(self) -> UUID:
        """It has no sign-in: whenever the hub finds so, every ten seconds, the teller looks whether the chat is still
        open, and for what a lost bulletin did not tell."""
        return self._chat

    def touch(self, run: UUID) -> None:
        known = self._door.hub.relay(run)
        if known is not None and known.end is not None:
            self._wakened.set()

    def sent(self, run: UUID) -> bool:
        return run in self._own

    def watches(self, chat: UUID) -> bool:
        return chat == self._chat

    def follows(self, run: UUID) -> bool:
        return run == self._followed

    def begin(self, run: UUID, *, whole: bool) -> None:
        """Something was asked in the chat elsewhere. The teller follows it when it is next, if its reply is owed."""
        self._door.hub.unwatch(run, self)
        self._wakened.set()

    def push(self, message: ServerMessage) -> None:
        """News of the user's other tabs are not told here."""

    def sign_out(self) -> None:
        self._wakened.set()

    def dismiss(self) -> None:
        self._end(GOING_AWAY)

    def _end(self, code: int) -> None:
        """Close with this code as soon as nothing is being sent; the first one stays."""
        if self._closing is None:
            self._closing = code
            self._door.metrics.count("socket_closes_total", code=str(code))
        self._wakened.set()

    # ── telling ──────────────────────────────────────────────────────────────────────────────────────────────

    @property
    def _over(self) -> bool:
        return self._left or self._closing is not None

    async def _tell(self) -> None:
        while not self._over:
            await self._wakened.wait()
            self._wakened.clear()
            await self._catch_up()
        if self._closing is not None and not self._left:
            await self._close(self._closing)

    async def _close(self, code: int) -> None:
        try:
            async with self._sending, asyncio.timeout(self._door.send_seconds):
                await self._socket.close(code)
        except (WebSocketDisconnect, RuntimeError, OSError):
            # Gone, or it does not read: the reader learns it and ends the connection.
            return

    async def _catch_up(self) -> None:
        try:
            await self._tell_owed()
        except NotFound:
            self._end(POLICY)
        except ProsaError as error:
            log.info("classic.store_away", error=error.message)
            await self._door.clock.sleep(AGAIN_SECONDS)
            self._wakened.set()

    async def _tell_owed(self) -> None:
        """Tell what is over, in order, and follow the first that is not. A reply that was sent is marked before the
        next one is: those told are always all up to some ordinal."""
        owed = self._door.owed
        while not self._over:
            row = await _in_time(owed.next(self._chat, self._after))
            if row is None or row.end is None:
                self._follow(None if row is None else row.run)
                return
            if row.ordinal > self._sent:
                if not await self._send(classic.answer(row.text, row.end)):
                    return
                self._sent = row.ordinal
            await _in_time(owed.tell(self._chat, row.ordinal))
            self._after = row.ordinal

    def _follow(self, run: UUID | None) -> None:
        """Be woken at the end of this run, and of no other."""
        if run == self._followed:
            return
        hub, before, self._followed = self._door.hub, self._followed, run
        if before is not None:
            hub.unwatch(before, self)
        if run is not None:
            hub.watch(run, self)
            self.touch(run)  # another connection may have followed it to its end meanwhile

    async def _send(self, saying: Saying) -> bool:
        """False: nobody is there any more, or who is does not read."""
        frame, traffic = classic.encode(saying), self._door.hub.traffic
        try:
            async with self._sending, asyncio.timeout(self._door.send_seconds):
                traffic.begins(self, frame)
                await self._socket.send_text(frame)
        except TimeoutError:
            self._end(OVERLOADED)
            return False
        except (WebSocketDisconnect, RuntimeError, OSError):
            return False
        finally:
            traffic.ends(self)
        return True

    # ── reading ──────────────────────────────────────────────────────────────────────────────────────────────

    async def _read(self) -> None:
        """One message after the other: who does not read their acknowledgements is not read either."""
        while True:
            event = await self._socket.receive()
            if event["type"] == "websocket.disconnect":
                return
            if self._closing is None:
                await self._send(await self._accept(event.get("text")))
                self._wakened.set()

    async def _accept(self, text: str | None) -> Saying:
        """Each frame is a new message, stored when this returns, or why it is not."""
        try:
            if text is None:
                raise BadFrame("The frame is binary. Send text frames.")
            self._door.hub.traffic.came(text)
            async with asyncio.timeout(REQUEST_SECONDS):
                receipt = await self._door.intake.classic(self.user, self._chat, text, origin=self._door.hub.name)
        except ProsaError as error:
            return self._refused(error)
        except TimeoutError:
            return self._refused(StoreUnavailable("The store did not answer in time."))
        except Exception:
            log.exception("request.broke", kind="classic")
            return self._refused(InternalFailure("Something in Prosa broke."))
        self._own.append(receipt.row.run)
        return classic.RECEIVED

    def _refused(self, error: ProsaError) -> Saying:
        self._door.metrics.count("refused_total", code=error.code)
        return classic.sorry(error.code)
