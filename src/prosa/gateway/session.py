"""One signed-in connection without its socket: what it follows, what it was told, what to send next.

The hub touches it, its reader feeds it, its writer pulls from it. There is no queue of deltas: a run's new text
waits in the hub's one copy behind this session's cursor, so a slow reader costs nothing and wakes to few large
deltas (L8). Only answers and notices stand in a line, and that line is bounded: past the bound the session ends
with ``OVERLOADED``.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Final
from uuid import UUID

from prosa.core.account import SignIn
from prosa.core.cursor import Cursor, told
from prosa.core.errors import BadRequest
from prosa.core.protocol import Accepted, ServerMessage, Watching
from prosa.core.relay import Relay
from prosa.core.work import Receipt

NOT_SIGNED_IN: Final = 4401
FORBIDDEN_ORIGIN: Final = 4403
NO_OBJECT: Final = 1003
GOING_AWAY: Final = 1012
OVERLOADED: Final = 1013

OUTBOX_MESSAGES: Final = 512
WATCHED_CHATS: Final = 200
NAMED_RUNS: Final = 64
REMEMBERED_RUNS: Final = 64


class Session:
    """``wake`` is called when there is something to send or the session must close."""

    __slots__ = (
        "_chats",
        "_cursors",
        "_dirty",
        "_merged",
        "_outbox",
        "_over",
        "_own",
        "_wake",
        "_watching",
        "closing",
        "sending",
        "sign_in",
    )

    def __init__(self, sign_in: SignIn, wake: Callable[[], None]) -> None:
        self.sign_in = sign_in
        self.closing: int | None = None
        self.sending = False
        """A frame waits for its reader."""
        self._merged = 0
        self._wake = wake
        self._cursors: dict[UUID, Cursor] = {}
        self._dirty: dict[UUID, None] = {}
        self._outbox: list[ServerMessage] = []
        self._chats: set[UUID] = set()
        self._own: list[UUID] = []
        self._over: list[UUID] = []
        self._watching: dict[UUID, tuple[UUID, ...]] = {}

    @property
    def user(self) -> UUID:
        return self.sign_in.user.id

    @property
    def session(self) -> UUID:
        return self.sign_in.session

    @property
    def runs(self) -> tuple[UUID, ...]:
        """The runs that are followed."""
        return tuple(self._cursors)

    # ── told by the hub ──────────────────────────────────────────────────────────────────────────────────────

    def touch(self, run: UUID) -> None:
        if self.sending and run in self._dirty:
            self._merged += 1
        self._dirty[run] = None
        self._wake()

    def sent(self, run: UUID) -> bool:
        return run in self._own

    def follows(self, run: UUID) -> bool:
        """Whether the run is followed, or was to its end a moment ago."""
        return run in self._cursors or run in self._over

    def watches(self, chat: UUID) -> bool:
        return chat in self._chats

    def push(self, message: ServerMessage) -> None:
        """Stand in line. A line that is full means a reader that does not read: the session ends."""
        if len(self._outbox) >= OUTBOX_MESSAGES:
            self.close(OVERLOADED)
            return
        self._outbox.append(message)
        self._wake()

    def sign_out(self) -> None:
        self.close(NOT_SIGNED_IN)

    def dismiss(self) -> None:
        self.close(GOING_AWAY)

    def close(self, code: int) -> None:
        """End the connection with this code; the first one stays."""
        if self.closing is None:
            self.closing = code
        self._wake()

    # ── told by the reader ───────────────────────────────────────────────────────────────────────────────────

    def asked(self, run: UUID) -> None:
        """A run is being accepted for this socket: its own messages are not repeated to it."""
        self._own.append(run)
        del self._own[:-REMEMBERED_RUNS]

    def accepted(self, request: UUID, receipt: Receipt) -> None:
        """Acknowledge, then follow the run; a repeated request starts again with the whole text."""
        row = receipt.row
        self.push(Accepted(request, row.chat, row.run, row.reply, row.state, row.ordinal, receipt.position))
        self.begin(row.run, whole=receipt.repeated)

    def begin(self, run: UUID, *, whole: bool) -> None:
        """Follow a run from its start, or (``whole``) from a snapshot."""
        self._cursors[run] = Cursor(run, whole=whole)
        self.touch(run)

    def watch(self, chat: UUID) -> None:
        """Follow the runs that begin in a chat. Raises BadRequest past the bound."""
        if chat not in self._chats and len(self._chats) >= WATCHED_CHATS:
            raise BadRequest(f"This connection watches {WATCHED_CHATS} chats already. Send unwatch for some first.")
        self._chats.add(chat)

    def watching(self, chat: UUID, runs: Sequence[UUID]) -> None:
        """Answer a watch: a snapshot of each run, then the list of those that are not over.

        A chat that is asked about again before the answer gets one answer to both.
        """
        for run in runs:
            self.begin(run, whole=True)
        self._watching[chat] = tuple(runs)
        self._wake()

    def unwatch(self, chat: UUID, runs: Iterable[UUID]) -> None:
        """Let go of a chat and of those of its runs that are followed."""
        self._chats.discard(chat)
        self._watching.pop(chat, None)
        for run in runs:
            self._cursors.pop(run, None)
        self._wake()

    # ── asked by the writer ──────────────────────────────────────────────────────────────────────────────────

    def pull(self, relay: Callable[[UUID], Relay | None]) -> tuple[list[ServerMessage], list[UUID]]:
        """What to send now, in order, and the runs that need no watching any more."""
        messages, self._outbox = self._outbox, []
        dirty, self._dirty = self._dirty, {}
        over: list[UUID] = []
        for run in dirty:
            if self._advance(run, relay(run), messages):
                over.append(run)
        for chat, runs in list(self._watching.items()):
            self._watched(chat, runs, relay, messages)
        return messages, over

    def merges(self) -> int:
        """How many changes became part of a later one because a frame waited for its reader, since this was asked."""
        merged, self._merged = self._merged, 0
        return merged

    def _advance(self, run: UUID, known: Relay | None, messages: list[ServerMessage]) -> bool:
        cursor = self._cursors.get(run)
        if cursor is None or known is None:
            return False
        if known.row is not None and known.row.user != self.user:
            # A run that was named by somebody else's client: as if it did not exist (L11).
            del self._cursors[run]
            return True
        cursor, news = told(cursor, known)
        messages += news
        if cursor.over:
            del self._cursors[run]
            self._over.append(run)
            del self._over[:-REMEMBERED_RUNS]
            return True
        self._cursors[run] = cursor
        return False

    def _watched(
        self,
        chat: UUID,
        runs: tuple[UUID, ...],
        relay: Callable[[UUID], Relay | None],
        messages: list[ServerMessage],
    ) -> None:
        """Append the last answer to a watch once every run it names was told or let go."""
        held = [run for run in runs if run in self._cursors]
        if any(self._cursors[run].whole for run in held):
            return
        del self._watching[chat]
        messages.append(Watching(chat, tuple(run for run in held if relay(run) is not None)))
