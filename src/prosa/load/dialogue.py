"""What one person says and hears: frames in, frames to send out. Pure: time and ids come in as arguments.

The rules are those of the page: what is not acknowledged is kept and sent again with the same id behind each
`hello`; what is unfinished is watched again; a refusal that may pass is tried again after a pause; silence is
probed, and a connection that does not answer is given up.
"""

from collections import defaultdict
from collections.abc import Callable
from typing import Final
from uuid import UUID

from prosa.core.protocol import (
    Accepted,
    ClientMessage,
    Delta,
    Done,
    Failed,
    Refusal,
    Send,
    ServerMessage,
    Snapshot,
    Started,
    Unwatch,
    Watch,
    Watching,
)
from prosa.load.answer import Asked, Fate
from prosa.load.order import Order
from prosa.load.plan import Plan
from prosa.load.reading import Flaw, Reading
from prosa.load.tally import Tally

QUIET_SECONDS: Final = 5.0
ANSWER_SECONDS: Final = 3.0
AGAIN_SECONDS: Final = 1.0
RETRY_SECONDS: Final = (0.25, 4.0)
NAMED_RUNS: Final = 64
WATCHED_CHATS: Final = 100
"""A connection may watch 200; the oldest are let go before."""

Frames = list[ClientMessage]


class Dialogue:
    """A person's messages. Every method that returns frames wants them sent now, on the connection there is."""

    def __init__(self, plan: Plan, person: int, ids: Callable[[], UUID], tally: Tally) -> None:
        self.person = person
        self.asked: list[Asked] = []
        self.next_at: float | None = None
        """When to call ``due``, where nothing else leads to the next message."""
        self._plan = plan
        self._ids = ids
        self._tally = tally
        self._chats = [ids() for _ in range(plan.chats)]
        self._orders: defaultdict[UUID, Order] = defaultdict(lambda: Order(plan.late_seconds))
        self._requests: dict[UUID, Asked] = {}
        self._runs: dict[UUID, Asked] = {}
        self._pending: dict[UUID, Asked] = {}
        self._open: dict[UUID, Asked] = {}
        self._retries: dict[UUID, float] = {}
        self._watched: dict[UUID, None] = {}
        self._watching: dict[UUID, float] = {}
        self._began: float | None = None
        self._heard_at = 0.0
        self._probed_at: float | None = None
        self._stopped = False

    # ── what the person wants ────────────────────────────────────────────────────────────────────────────────

    def begin(self, now: float, since: float) -> Frames:
        """Ask for the first time; ``since``: when the whole bench began."""
        self._began, self._heard_at = since, now
        return self._ask(now)

    def due(self, now: float) -> Frames:
        """The time of ``next_at`` has come."""
        self.next_at = None
        return self._ask(now)

    def stop(self) -> None:
        """Ask nothing more and wait for nothing: what is unfinished is abandoned."""
        self._stopped, self.next_at = True, None
        self._pending.clear()
        self._open.clear()

    @property
    def over(self) -> bool:
        """Nothing is unanswered, and nothing more will be asked."""
        begun = self._began is not None or self._stopped
        return begun and not self._pending and not self._open and self.next_at is None

    def _ask(self, now: float) -> Frames:
        frames: Frames = []
        while len(self._pending) + len(self._open) < self._plan.ahead and self._wants(now):
            frames += self._new(now)
        return frames

    def _wants(self, now: float) -> bool:
        begun = self._began is not None and not self._stopped
        return begun and self._plan.wants(len(self.asked), now - (self._began or 0.0))

    def _new(self, now: float) -> Frames:
        request, number = self._ids(), len(self.asked)
        text = self._plan.question(str(request))
        chat = self._chats[number % len(self._chats)]
        asked = Asked(self.person, request, chat, text, now, Reading(self._plan.expected(text)))
        self.asked.append(asked)
        self._pending[request] = self._requests[request] = asked
        return [*self._let_go(chat), self._send(asked)]

    def _let_go(self, chat: UUID) -> Frames:
        """A connection watches so many chats at most: the one that was asked in longest ago goes."""
        self._watched.pop(chat, None)
        self._watched[chat] = None
        if len(self._watched) <= WATCHED_CHATS:
            return []
        oldest = next(iter(self._watched))
        del self._watched[oldest]
        return [Unwatch(oldest)]

    def _send(self, asked: Asked) -> Send:
        asked.sends += 1
        return Send(asked.id, asked.chat, asked.text, model=self._plan.model)

    # ── the connection ───────────────────────────────────────────────────────────────────────────────────────

    def connected(self, now: float) -> Frames:
        """Behind `hello`: watch what is unfinished, then send again what is not acknowledged, in its order."""
        self._heard_at, self._probed_at = now, None
        self._watching.clear()
        self._retries.clear()
        for asked in self._runs.values():
            asked.reading.reconnected()
        chats = dict.fromkeys(asked.chat for asked in self._open.values())
        self._watched = {**chats, **dict.fromkeys(asked.chat for asked in self._pending.values())}
        return [*(self._watch(chat, now) for chat in chats), *(self._send(asked) for asked in self._pending.values())]

    def tick(self, now: float, *, online: bool = True) -> Frames:
        """Twice a second: give up what is lost, send again what was refused, probe a silence."""
        for asked in [*self._pending.values(), *self._open.values()]:
            if now > asked.deadline(self._plan):
                self._give_up(asked)
        news = self._ask(now) if self.next_at is None else []
        return [*self._retried(now), *self._probe(now), *news] if online else news

    def dead(self, now: float) -> bool:
        """Whether the connection has not answered a probe, and another must be opened."""
        return self._probed_at is not None and now - self._probed_at > ANSWER_SECONDS

    def _probe(self, now: float) -> Frames:
        unfinished = [*self._pending.values(), *self._open.values()]
        if not unfinished or self._probed_at is not None or now - self._heard_at < QUIET_SECONDS:
            return []
        self._tally.probes += 1
        self._probed_at = now
        # Of a chat that is not there yet the answer is `not_found`, which is an answer.
        return [self._watch(chat, now) for chat in {asked.chat for asked in unfinished}]

    def _retried(self, now: float) -> Frames:
        ripe = [request for request, at in self._retries.items() if at <= now]
        for request in ripe:
            del self._retries[request]
        return [self._send(self._pending[request]) for request in ripe if request in self._pending]

    def _watch(self, chat: UUID, now: float) -> Watch:
        named = [asked for asked in self._open.values() if asked.chat == chat][:NAMED_RUNS]
        for asked in named:
            asked.reading.asked()
        self._watching[chat] = now
        return Watch(chat, tuple(asked.run for asked in named if asked.run is not None))

    def _give_up(self, asked: Asked) -> None:
        if asked.run is None:
            asked.fate = Fate.UNACCEPTED
        else:
            asked.fate = Fate.LOST
            asked.reading.flaw(Flaw.LOST, f"no end {self._plan.lost_after:g} s past the model's own time")
        self._finish(asked)

    def _finish(self, asked: Asked) -> None:
        self._pending.pop(asked.id, None)
        if asked.run is not None:
            self._open.pop(asked.run, None)
        self._orders[asked.chat].ended(asked)

    def _after(self, asked: Asked, now: float) -> Frames:
        """The message is done with: think, then ask the next one."""
        self._finish(asked)
        if self._plan.pause_seconds == 0:
            return self._ask(now)
        if self.next_at is None and self._wants(now):
            self.next_at = now + self._plan.pause_seconds
        return []

    # ── frames ───────────────────────────────────────────────────────────────────────────────────────────────

    def hear(self, message: ServerMessage, now: float) -> Frames:
        """What the gateway said; `hello` is for ``connected``."""
        self._heard_at, self._probed_at = now, None
        match message:
            case Delta() | Snapshot():
                return self._text(message, now)
            case Done() | Failed():
                return self._end(message, now)
            case Accepted():
                self._accepted(message, now)
            case Started():
                if asked := self._runs.get(message.run):
                    asked.reading.started(message.attempt, now)
            case Watching():
                self._answered(message)
            case Refusal():
                return self._refused(message, now)
            case _:
                pass
        return []

    def _text(self, frame: Delta | Snapshot, now: float) -> Frames:
        asked = self._runs.get(frame.run)
        if asked is None:
            return []  # of a message whose acknowledgement was lost: it comes again, with the whole text
        reading, live = asked.reading, isinstance(frame, Delta)
        seq, before = reading.seq, reading.grown_at
        again = reading.delta(frame, now) if isinstance(frame, Delta) else reading.snapshot(frame, now)
        second = self._tally.at(now)
        second.deltas += live
        if reading.grown_at == now:
            second.characters += max(reading.seq - seq, 0)
            if before is not None:
                self._tally.gaps.add(now - before)
            if live and self._plan.ahead > 1 and asked.chat not in self._watching:
                self._orders[asked.chat].grew(asked, now)
        return self._again(asked.chat, now) if again else []

    def _end(self, frame: Done | Failed, now: float) -> Frames:
        asked = self._runs.get(frame.run)
        if asked is None:
            return []
        ended = asked.reading.end is not None
        if asked.reading.over(frame, now):
            return self._again(asked.chat, now)
        if ended or asked.fate is not None:
            return []
        self._tally.at(now).ends += 1
        asked.ended(frame)
        return self._after(asked, now)

    def _again(self, chat: UUID, now: float) -> Frames:
        """Text is missing: ask once, and once more where there was no answer."""
        if now - self._watching.get(chat, -AGAIN_SECONDS) < AGAIN_SECONDS:
            return []
        self._tally.asked_again += 1
        return [self._watch(chat, now)]

    def _accepted(self, frame: Accepted, now: float) -> None:
        asked = self._requests.get(frame.id)
        if asked is None:
            return
        first = asked.run is None
        asked.accepted(frame, now)
        self._retries.pop(asked.id, None)
        if first and self._pending.pop(asked.id, None) is not None:
            self._tally.at(now).accepted += 1
            self._runs[frame.run] = self._open[frame.run] = asked
            self._orders[asked.chat].accepted(asked)

    def _answered(self, frame: Watching) -> None:
        self._watching.pop(frame.chat, None)
        for asked in self._runs.values():
            if asked.chat == frame.chat:
                asked.reading.answered()

    def _refused(self, frame: Refusal, now: float) -> Frames:
        asked = self._pending.get(frame.id) if frame.id is not None else None
        if asked is not None or frame.code != "not_found":
            self._tally.refused(frame.code)
        if asked is None:
            return []
        asked.refusals += 1
        if frame.retryable:
            first, most = RETRY_SECONDS
            self._retries[asked.id] = now + min(first * 2 ** min(asked.refusals - 1, 10), most)
            return []
        asked.fate, asked.code = Fate.REFUSED, frame.code
        return self._after(asked, now)
