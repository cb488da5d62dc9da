"""One message and what became of it."""

from enum import StrEnum
from uuid import UUID

import msgspec

from prosa.core.protocol import Accepted, Done, Failed
from prosa.load.plan import Plan
from prosa.load.reading import Finding, Flaw, Reading, Takeover


class Fate(StrEnum):
    """How a message ended for who sent it."""

    ANSWERED = "answered"
    FAILED = "failed"
    """Its run ended with an error that was told."""
    LOST = "lost"
    """Accepted, and no end in time."""
    UNACCEPTED = "unaccepted"
    """Not acknowledged in time: nothing was promised."""
    REFUSED = "refused"
    """The gateway said no, for good."""
    ABANDONED = "abandoned"
    """The bench was stopped before it ended."""


class Asked(msgspec.Struct, eq=False):
    """A message while it lives. Times are seconds of one monotonic clock."""

    person: int
    id: UUID
    chat: UUID
    text: str
    asked_at: float
    reading: Reading
    sends: int = 0
    refusals: int = 0
    accepted_at: float | None = None
    run: UUID | None = None
    reply: UUID | None = None
    ordinal: int | None = None
    fate: Fate | None = None
    code: str = ""

    def accepted(self, frame: Accepted, now: float) -> None:
        """Acknowledged; again it must be the same."""
        if self.run is None:
            self.accepted_at, self.run, self.reply, self.ordinal = now, frame.run, frame.reply, frame.ordinal
        elif (self.run, self.reply) != (frame.run, frame.reply):
            self.reading.flaw(Flaw.DUPLICATED, f"a second reply {frame.reply} to message {self.id}")
        elif self.ordinal != frame.ordinal:
            self.reading.flaw(Flaw.REORDERED, f"accepted as number {self.ordinal}, then as number {frame.ordinal}")

    def ended(self, frame: Done | Failed) -> None:
        self.fate = Fate.ANSWERED if isinstance(frame, Done) else Fate.FAILED
        if isinstance(frame, Failed):
            self.code = frame.code
        if frame.reply != self.reply:
            self.reading.flaw(Flaw.DUPLICATED, f"the end names reply {frame.reply}, accepted was {self.reply}")

    def deadline(self, plan: Plan) -> float:
        since = self.asked_at if self.accepted_at is None else self.accepted_at
        return since + plan.own_seconds + plan.lost_after


class Answer(msgspec.Struct, frozen=True):
    """A message and its answer, told for good. Times are seconds of the machine's monotonic clock.

    ``attempts`` is the last attempt that was seen; ``takeovers`` are those past the first, with the time of the
    first frame of each. ``sends`` counts how often the message was sent.
    """

    person: int
    id: UUID
    chat: UUID
    fate: Fate
    asked_at: float
    accepted_at: float | None
    first_at: float | None
    ended_at: float | None
    run: UUID | None
    ordinal: int | None
    attempts: int
    sends: int
    characters: int
    deltas: int
    code: str = ""
    findings: tuple[Finding, ...] = ()
    takeovers: tuple[Takeover, ...] = ()

    @property
    def flaws(self) -> frozenset[Flaw]:
        return frozenset(finding.flaw for finding in self.findings)

    @classmethod
    def of(cls, asked: Asked) -> "Answer":
        reading = asked.reading
        return cls(
            person=asked.person,
            id=asked.id,
            chat=asked.chat,
            fate=asked.fate or Fate.ABANDONED,
            asked_at=asked.asked_at,
            accepted_at=asked.accepted_at,
            first_at=reading.first_at,
            ended_at=reading.ended_at,
            run=asked.run,
            ordinal=asked.ordinal,
            attempts=reading.attempt,
            sends=asked.sends,
            characters=reading.seq,
            deltas=reading.deltas,
            code=asked.code,
            findings=tuple(reading.findings),
            takeovers=tuple(reading.takeovers),
        )
