"""What this gateway knows of runs, and who watches: one copy of each reply, any number of readers.

The relay (core.relay) decides; the hub carries out: it reads mail, asks workers and the store, and touches the
watchers of what changed. Once a second it asks the store about every watched run of which it heard nothing for
two seconds, which makes everything on the bus a mere accelerator (L6).
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import Final, Protocol
from uuid import UUID

import structlog

from prosa.app.spans import Spans
from prosa.core import events
from prosa.core.cursor import Cursor, told
from prosa.core.errors import Unavailable
from prosa.core.events import (
    Added,
    Bulletin,
    BulletinNotice,
    ChatTouched,
    Frame,
    Listen,
    Over,
    SignInRevoked,
    Taken,
    Unlisten,
)
from prosa.core.protocol import ServerMessage
from prosa.core.relay import NOTHING, Action, AskWorker, Outcome, Relay, Row, heard, placed, read, settled, taken
from prosa.core.run import RunState
from prosa.gateway.news import Member, Members, News
from prosa.gateway.traffic import Traffic
from prosa.ports import Bus, Chats, Clock, Metrics, Reads, SignIns

log = structlog.get_logger()

SILENCE_SECONDS: Final = 2.0
ANSWER_SECONDS: Final = 0.2
"""How long a reader waits for the worker's own text before it gets what was saved."""
ROUND_SECONDS: Final = 1.0
BULLETIN_SECONDS: Final = 0.025
REVOCATION_SECONDS: Final = 10.0
KEEP_ALIVE_SECONDS: Final = 15.0
STORE_SECONDS: Final = 5.0


class Watcher(Protocol):
    """Someone who follows runs."""

    def touch(self, run: UUID) -> None:
        """The run's relay changed. Must not wait."""
        ...


class _Watched:
    """A run that somebody here watches."""

    __slots__ = ("asked", "began", "heard", "owed", "relay", "watchers")

    def __init__(self, run: UUID, heard: float) -> None:
        self.relay = Relay(run)
        self.watchers: set[Watcher] = set()
        self.heard = heard
        self.began: float | None = None
        """When an event of the run was heard for the first time."""
        self.owed = False
        """The run was known without its end: whoever watched it waited for that."""
        self.asked: int | None = None
        """The claim under which a worker was asked and has not answered yet."""


class Hub:
    """One per gateway process. ``run`` is its task; everything else is called from the same event loop."""

    def __init__(  # noqa: PLR0913 — a hub's parts, by keyword only
        self,
        *,
        name: str,
        bus: Bus,
        reads: Reads,
        chats: Chats,
        sign_ins: SignIns,
        clock: Clock,
        metrics: Metrics,
        spans: Spans,
        revoked: Callable[[UUID, UUID | None], None],
    ) -> None:
        self.name = name
        self._bus = bus
        self._reads = reads
        self._sign_ins = sign_ins
        self._clock = clock
        self._metrics = metrics
        self._spans = spans
        self._forget = revoked
        self._watched: dict[UUID, _Watched] = {}
        self.members = Members()
        self.traffic = Traffic(clock, metrics)
        self._notices: list[BulletinNotice] = []
        self._news = News(self.members, chats, clock, metrics)
        self._unheard: dict[UUID, float] = {}
        self._wanted: set[UUID] = set()
        self._want = asyncio.Event()

    # ── who is here ──────────────────────────────────────────────────────────────────────────────────────────

    @property
    def sockets(self) -> int:
        return len(self.members)

    @property
    def watched(self) -> int:
        """Runs with readers here."""
        return len(self._watched)

    def leave(self, member: Member, runs: Iterable[UUID]) -> None:
        """A socket closed that followed these runs."""
        for run in runs:
            self.unwatch(run, member)
        self.members.leave(member)

    async def dismiss(self, seconds: float) -> None:
        """Close every socket as going away, spread over a window so that not all come back at once."""
        members = self.members.all()
        for member in members:
            member.dismiss()
            await self._clock.sleep(seconds / len(members))

    def announce(self, notice: BulletinNotice) -> None:
        """Collect a notice for this process's next bulletin."""
        self._notices.append(notice)

    # ── runs ─────────────────────────────────────────────────────────────────────────────────────────────────

    def relay(self, run: UUID) -> Relay | None:
        watched = self._watched.get(run)
        return watched.relay if watched else None

    def watch(self, run: UUID, watcher: Watcher, *, look: bool = True) -> None:
        """Register a watcher, then read the row, then listen: in this order, so that nothing falls between.

        ``look`` False: the run is being accepted, and ``learn`` will bring its row.
        """
        watched = self._watched.get(run)
        if watched is None:
            watched = self._watched[run] = _Watched(run, self._clock.monotonic())
        watched.watchers.add(watcher)
        if look and watched.relay.row is None:
            self._ask(run)

    def unwatch(self, run: UUID, watcher: Watcher) -> None:
        watched = self._watched.get(run)
        if watched is None:
            return
        watched.watchers.discard(watcher)
        if watched.watchers:
            return
        del self._watched[run]
        if watched.owed and watched.relay.end is not None:
            self._spans.delivered(watched.relay, watched.began)
        if watched.relay.worker is not None:
            self._bus.send(watched.relay.worker, Unlisten(self.name, run))

    def learn(self, row: Row) -> None:
        """A row that was read anyway: by accept, or by a reader's own check."""
        watched = self._watched.get(row.run)
        if watched is not None:
            watched.owed |= row.end is None
            self._apply(watched, read(watched.relay, row))

    @asynccontextmanager
    async def follow(self, cursor: Cursor) -> AsyncIterator[AsyncIterator[list[ServerMessage]]]:
        """What brings a reader from the cursor to the run's end, in batches; an empty one after 15 s of silence."""
        follower = _Follower()
        self.watch(cursor.run, follower)
        try:
            yield self._batches(follower, cursor)
        finally:
            self.unwatch(cursor.run, follower)

    async def _batches(self, follower: "_Follower", cursor: Cursor) -> AsyncIterator[list[ServerMessage]]:
        while not cursor.over:
            known = self.relay(cursor.run)
            messages: list[ServerMessage] = []
            if known is not None:
                cursor, messages = told(cursor, known)
            if messages:
                yield messages
            elif not await follower.touched(KEEP_ALIVE_SECONDS):
                yield []

    # ── tasks ────────────────────────────────────────────────────────────────────────────────────────────────

    async def run(self) -> None:
        """Serve until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._mail())
            group.create_task(self._reading())
            group.create_task(self._news.run())
            group.create_task(self._every(BULLETIN_SECONDS, self._bulletin))
            group.create_task(self._every(BULLETIN_SECONDS, self._settling))
            group.create_task(self._every(ROUND_SECONDS, self._round))
            group.create_task(self._every(REVOCATION_SECONDS, self._revocations))

    async def _every(self, seconds: float, action: Callable[[], Awaitable[None]]) -> None:
        while True:
            await self._clock.sleep(seconds)
            try:
                await action()
            except (Unavailable, TimeoutError) as error:
                log.warning("store.away", error=str(error))

    async def _bulletin(self) -> None:
        if self._notices:
            notices, self._notices = self._notices, []
            self._bus.announce(notices)

    async def _settling(self) -> None:
        """Let those wait no longer who watch a run whose worker does not answer."""
        now = self._clock.monotonic()
        for run in [run for run, due in self._unheard.items() if due <= now]:
            del self._unheard[run]
            if watched := self._watched.get(run):
                self._apply(watched, (settled(watched.relay), NOTHING))

    async def _mail(self) -> None:
        async with self._bus.inbox(self.name, bulletins=True) as inbox:
            async for mail in inbox:
                match mail:
                    case Frame():
                        self._frame(mail)
                    case Bulletin():
                        self._notified(mail)
                    case _:
                        log.warning("gateway.strange_mail", kind=type(mail).__name__)

    def _frame(self, frame: Frame) -> None:
        run_events, skipped = events.run_events(frame)
        if skipped:
            self._metrics.count("bus_unreadable_total", skipped)
        for event in run_events:
            watched = self._watched.get(event.run)
            if watched is None:
                self._bus.send(frame.worker, Unlisten(self.name, event.run))
                continue
            watched.heard = self._clock.monotonic()
            if watched.began is None:
                watched.began = watched.heard
            watched.asked = None
            self._apply(watched, heard(watched.relay, frame.worker, event))

    def _apply(self, watched: _Watched, outcome: Outcome) -> None:
        before, (watched.relay, actions) = watched.relay, outcome
        for action in actions:
            self._act(watched, action)
        if watched.relay is not before:
            for watcher in tuple(watched.watchers):
                watcher.touch(watched.relay.run)

    def _act(self, watched: _Watched, action: Action) -> None:
        if not isinstance(action, AskWorker):
            self._ask(action.run)
        elif watched.asked != action.claim:
            # One question a claim at a time: until it is answered, every delta that does not fit would ask again.
            watched.asked = action.claim
            self._unheard[action.run] = self._clock.monotonic() + ANSWER_SECONDS
            self._bus.send(action.worker, Listen(self.name, action.run, action.claim, action.seq))

    def _ask(self, run: UUID) -> None:
        self._wanted.add(run)
        self._want.set()

    async def _reading(self) -> None:
        """Read wanted rows, all in one statement."""
        while True:
            await self._want.wait()
            self._want.clear()
            wanted, self._wanted = self._wanted, set()
            try:
                await self._read([run for run in wanted if run in self._watched])
            except (Unavailable, TimeoutError) as error:
                log.warning("store.away", error=str(error))
                self._wanted |= wanted
                await self._clock.sleep(ROUND_SECONDS)
                self._want.set()

    async def _read(self, runs: Sequence[UUID]) -> None:
        if not runs:
            return
        async with asyncio.timeout(STORE_SECONDS):
            rows = await self._reads.rows(runs)
        for row in rows:
            self.learn(row)

    async def _round(self) -> None:
        """Once a second: ask about the silent, and estimate for the waiting."""
        self._metrics.gauge("sockets", self.sockets)
        self._metrics.gauge("watched_runs", len(self._watched))
        self.traffic.show()
        now = self._clock.monotonic()
        waiting: list[UUID] = []
        for run, watched in self._watched.items():
            known = watched.relay
            if known.end is None and now - watched.heard >= SILENCE_SECONDS:
                watched.asked = None
                self._ask(run)
            if known.row is not None and known.state in (RunState.WAITING, RunState.QUEUED):
                waiting.append(run)
        if waiting:
            async with asyncio.timeout(STORE_SECONDS):
                places = await self._reads.places(waiting)
            for place in places:
                if watching := self._watched.get(place.run):
                    self._apply(watching, (placed(watching.relay, place), NOTHING))

    # ── bulletins ────────────────────────────────────────────────────────────────────────────────────────────

    def _notified(self, bulletin: Bulletin) -> None:
        notices, skipped = events.notices(bulletin)
        if skipped:
            self._metrics.count("bus_unreadable_total", skipped)
        for notice in notices:
            self._notice(notice)

    def _notice(self, notice: BulletinNotice) -> None:
        match notice:
            case Taken():
                if watched := self._watched.get(notice.run):
                    self._apply(watched, taken(watched.relay, notice))
            case Over():
                watched = self._watched.get(notice.run)
                if watched is not None and watched.relay.end is None:
                    self._ask(notice.run)
            case Added():
                self._added(notice)
            case ChatTouched():
                self._news.tell(notice)
            case SignInRevoked():
                self._revoked(notice)

    def _added(self, notice: Added) -> None:
        """A run began: whoever watches its chat follows it, and the user's other sockets are told."""
        for member in self.members.of(notice.user):
            if member.watches(notice.chat) and not member.sent(notice.run) and not member.follows(notice.run):
                self.watch(notice.run, member)
                member.begin(notice.run, whole=False)
        self._news.tell(notice)

    def _revoked(self, notice: SignInRevoked) -> None:
        self._forget(notice.user, notice.session)
        for member in self.members.of(notice.user):
            if notice.session in (None, member.session):
                member.sign_out()

    async def _revocations(self) -> None:
        """Close the sockets of sign-ins that ended, also where the bulletin was lost, or that expired."""
        sessions = self.members.sessions()
        if not sessions:
            return
        async with asyncio.timeout(STORE_SECONDS):
            closed = set(await self._sign_ins.closed(sorted(sessions)))
        for member in self.members.all():
            if member.session in closed:
                member.sign_out()


class _Follower:
    """A watcher of one run that waits."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def touch(self, run: UUID) -> None:
        self._event.set()

    async def touched(self, seconds: float) -> bool:
        try:
            async with asyncio.timeout(seconds):
                await self._event.wait()
        except TimeoutError:
            return False
        self._event.clear()
        return True
