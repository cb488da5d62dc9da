"""The open sockets of each user, and what they are told of the user's other tabs and devices."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from typing import Final, Protocol
from uuid import UUID

import structlog

from prosa.core.errors import NotFound, Unavailable
from prosa.core.events import Added, ChatTouched
from prosa.core.protocol import ChatChanged, ChatView, MessageAdded, MessageView, ServerMessage
from prosa.ports import Chats, Clock, Metrics

log = structlog.get_logger()

WAITING_NOTICES: Final = 1000
STORE_SECONDS: Final = 5.0
GATHER_SECONDS: Final = 0.05
"""Nobody waits for what another device did, and many notices together are read at the price of one."""


class Member(Protocol):
    """A socket of a signed-in user."""

    def touch(self, run: UUID) -> None:
        """What is known of the run changed. Must not wait."""
        ...

    @property
    def user(self) -> UUID: ...

    @property
    def session(self) -> UUID: ...

    def sent(self, run: UUID) -> bool:
        """Whether this socket asked for the run itself."""
        ...

    def watches(self, chat: UUID) -> bool: ...

    def follows(self, run: UUID) -> bool: ...

    def begin(self, run: UUID, *, whole: bool) -> None:
        """Follow a run: from its start, or (``whole``) from a snapshot."""
        ...

    def push(self, message: ServerMessage) -> None: ...

    def sign_out(self) -> None: ...

    def dismiss(self) -> None:
        """The gateway goes away: the client connects again, to another."""
        ...


class Members:
    """Who is connected to this gateway."""

    def __init__(self) -> None:
        self._users: dict[UUID, set[Member]] = {}

    def __len__(self) -> int:
        return sum(len(members) for members in self._users.values())

    def join(self, member: Member) -> None:
        self._users.setdefault(member.user, set()).add(member)

    def leave(self, member: Member) -> None:
        members = self._users.get(member.user, set())
        members.discard(member)
        if not members:
            self._users.pop(member.user, None)

    def of(self, user: UUID) -> tuple[Member, ...]:
        return tuple(self._users.get(user, ()))

    def all(self) -> tuple[Member, ...]:
        return tuple(member for members in self._users.values() for member in members)

    def sessions(self) -> set[UUID]:
        return {member.session for member in self.all()}


class News:
    """Tells a user's sockets what others of theirs did. Each notice is read from the store once for all of them, and
    the chats of all notices that wait in one statement."""

    def __init__(self, members: Members, chats: Chats, clock: Clock, metrics: Metrics) -> None:
        self._members = members
        self._chats = chats
        self._clock = clock
        self._metrics = metrics
        self._notices: asyncio.Queue[Added | ChatTouched] = asyncio.Queue(maxsize=WAITING_NOTICES)

    def tell(self, notice: Added | ChatTouched) -> None:
        """Stand in line; nothing is read where nobody is here who does not know it already."""
        members = self._members.of(notice.user)
        if not members or (isinstance(notice, Added) and all(member.sent(notice.run) for member in members)):
            return
        try:
            self._notices.put_nowait(notice)
        except asyncio.QueueFull:
            # Such a socket sees the change when it reads the history next.
            self._metrics.count("bus_dropped_total", channel="notices")

    async def run(self) -> None:
        """Serve until cancelled."""
        while True:
            notices = [await self._notices.get()]
            await self._clock.sleep(GATHER_SECONDS)
            while not self._notices.empty():
                notices.append(self._notices.get_nowait())
            await self._tell(notices)

    async def _tell(self, notices: Sequence[Added | ChatTouched]) -> None:
        """In their order, but the changes of chats first: who shows a message knows its chat."""
        try:
            async with asyncio.timeout(STORE_SECONDS):
                await self._changed([notice for notice in notices if isinstance(notice, ChatTouched)])
                for added in (notice for notice in notices if isinstance(notice, Added)):
                    await self._added(added)
        except (Unavailable, TimeoutError) as error:
            log.warning("store.away", error=str(error))

    async def _changed(self, notices: Sequence[ChatTouched]) -> None:
        wanted = {(notice.user, notice.chat) for notice in notices if notice.change != "deleted"}
        known = {(user, chat.id): chat for user, chat in await self._chats.known(sorted(wanted))}
        for notice in notices:
            if notice.change == "deleted":
                now = self._clock.now()
                self._push(notice.user, ChatChanged(ChatView(notice.chat, "", "DELETED", now, now), "deleted"))
            elif chat := known.get((notice.user, notice.chat)):
                view = ChatView.of(chat)
                self._push(notice.user, ChatChanged(view, "created" if notice.change == "created" else "updated"))

    async def _added(self, notice: Added) -> None:
        for message in (notice.message, notice.reply):
            if message is None:
                continue
            with suppress(NotFound):
                view = MessageView.of(await self._chats.message(notice.user, notice.chat, message))
                self._push(notice.user, MessageAdded(view), besides=notice.run)

    def _push(self, user: UUID, message: ServerMessage, *, besides: UUID | None = None) -> None:
        for member in self._members.of(user):
            if besides is None or not member.sent(besides):
                member.push(message)
