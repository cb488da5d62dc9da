"""One reply as it is read: every frame is held against the protocol's laws. Pure: no socket, no clock.

A reader puts the text together as any client does and notes each breach of L2 and L4. The cost of a delta is that
of its own characters, whatever the length of the reply.
"""

from enum import StrEnum
from typing import Final

import msgspec

from prosa.core.protocol import Delta, Done, Failed, Snapshot

FINDINGS_KEPT: Final = 8


class Flaw(StrEnum):
    """The four ways to break the promise."""

    LOST = "lost"
    DUPLICATED = "duplicated"
    CORRUPTED = "corrupted"
    REORDERED = "reordered"


class Finding(msgspec.Struct, frozen=True):
    """A flaw and what shows it, for a person to read."""

    flaw: Flaw
    what: str


class Takeover(msgspec.Struct, frozen=True):
    """A later attempt was first heard of at ``at``; ``taken_back`` characters that had been shown were withdrawn."""

    attempt: int
    at: float
    taken_back: int


class Reading:
    """The text of a run so far, and what was wrong with it.

    ``expected`` is the whole reply where it is known; else the text is kept, to be held against the history. A
    method returns whether the run must be watched again. Within a connection every frame must follow on the last
    one; a new connection (``reconnected``) may be behind, but never say anything else.
    """

    __slots__ = (
        "_expected",
        "_pieces",
        "_repeats",
        "_skipped",
        "_started",
        "_told",
        "attempt",
        "deltas",
        "end",
        "ended_at",
        "findings",
        "first_at",
        "grown_at",
        "seq",
        "takeovers",
    )

    def __init__(self, expected: str | None) -> None:
        self._expected = expected
        self._pieces: list[str] = []
        self._told: int | None = None
        self._skipped = False
        self._repeats = 0
        self._started: tuple[int, float] = (0, 0.0)
        self.attempt = 0
        self.seq = 0
        self.deltas = 0
        self.end: Done | Failed | None = None
        self.findings: list[Finding] = []
        self.takeovers: list[Takeover] = []
        self.first_at: float | None = None
        self.grown_at: float | None = None
        self.ended_at: float | None = None

    @property
    def text(self) -> str:
        """What a client shows."""
        if self._expected is not None:
            return self._expected[: self.seq]
        self._pieces = ["".join(self._pieces)]
        return self._pieces[0]

    def reconnected(self) -> None:
        """Another connection: what it says next may be said already."""
        self._told, self._skipped, self._repeats = None, False, 0

    def asked(self) -> None:
        """The run was named in a `watch`: until that is answered, its text and its end may be repeated."""
        self._repeats += 1

    def answered(self) -> None:
        """The last answer to a `watch` came."""
        self._repeats = max(self._repeats - 1, 0)

    def flaw(self, flaw: Flaw, what: str) -> None:
        if len(self.findings) < FINDINGS_KEPT:
            self.findings.append(Finding(flaw, what))

    # ── frames ───────────────────────────────────────────────────────────────────────────────────────────────

    def started(self, attempt: int, now: float) -> None:
        if attempt > self._started[0]:
            self._started = (attempt, now)

    def delta(self, frame: Delta, now: float) -> bool:
        self.deltas += 1
        if self.end is not None:
            self.flaw(Flaw.DUPLICATED, f"text {frame.start}..{frame.seq} came behind the end")
        elif frame.seq - frame.start + 1 != len(frame.text):
            self.flaw(Flaw.CORRUPTED, f"{len(frame.text)} characters came as {frame.start}..{frame.seq}")
        elif frame.attempt < self.attempt:
            self._stale(frame.attempt)
        else:
            return self._placed(frame, now)
        return False

    def snapshot(self, frame: Snapshot, now: float) -> bool:
        if frame.seq != len(frame.text):
            self.flaw(Flaw.CORRUPTED, f"a snapshot of {len(frame.text)} characters says seq {frame.seq}")
        elif self.end is not None:
            self._repeated(frame)
        elif frame.attempt < self.attempt:
            self._stale(frame.attempt)
        elif frame.attempt == self.attempt and frame.seq < self.seq:
            self._behind(frame)
        else:
            self._replace(frame, now)
        return False

    def over(self, frame: Done | Failed, now: float) -> bool:
        if self.end is not None:
            self._second_end(frame)
            return False
        if frame.seq != self.seq or (frame.attempt != self.attempt and self.seq):
            return self._unfitting_end(frame)
        self.end, self.ended_at = frame, now
        if self._expected is not None and isinstance(frame, Done) and self.seq != len(self._expected):
            self.flaw(Flaw.CORRUPTED, f"the reply ended with {self.seq} of {len(self._expected)} characters")
        return False

    # ── what a frame means ───────────────────────────────────────────────────────────────────────────────────

    def _placed(self, frame: Delta, now: float) -> bool:
        """A delta of this attempt or a later one, where it belongs."""
        at = self.seq if self._told is None else self._told
        if frame.start > at + 1:
            self._skipped = True
            return True
        if frame.start <= at and (self._told is not None or frame.attempt > self.attempt):
            self.flaw(Flaw.DUPLICATED, f"text {frame.start}..{frame.seq} came again behind {at}")
            return False
        if self._skipped:
            self.flaw(Flaw.REORDERED, f"text {frame.start}..{frame.seq} came behind later text")
        if frame.attempt > self.attempt:
            self._attempt(frame.attempt, self.seq, now)
        self._append(frame.start - 1, frame.text, now)
        self._told = frame.seq
        return False

    def _append(self, at: int, text: str, now: float) -> None:
        if not self._fits(at, text):
            self.flaw(Flaw.CORRUPTED, f"text {at + 1}..{at + len(text)} is {_short(text)}")
        fresh = text[self.seq - at :]
        if fresh:
            if self._expected is None:
                self._pieces.append(fresh)
            self.seq += len(fresh)
            self._grew(now)

    def _replace(self, frame: Snapshot, now: float) -> None:
        if not self._fits(0, frame.text, later=frame.attempt > self.attempt):
            self.flaw(Flaw.CORRUPTED, f"the snapshot {_short(frame.text)} of attempt {frame.attempt} does not fit")
        if frame.attempt > self.attempt:
            self._attempt(frame.attempt, frame.seq, now)
        if frame.seq > self.seq:
            self._grew(now)
        if self._expected is None:
            self._pieces = [frame.text]
        self.seq = self._told = frame.seq
        self._skipped = False

    def _attempt(self, attempt: int, seq: int, now: float) -> None:
        if attempt > 1:
            at = self._started[1] if self._started[0] == attempt else now
            self.takeovers.append(Takeover(attempt, at, max(self.seq - seq, 0)))
        self.attempt = attempt

    def _grew(self, now: float) -> None:
        self.grown_at = now
        if self.first_at is None:
            self.first_at = now

    def _fits(self, at: int, text: str, later: bool = False) -> bool:
        """Whether the text from position ``at`` on says nothing else than is known; O(text) where the reply is."""
        if self._expected is not None:
            return self._expected.startswith(text, at)
        if at == self.seq or later:
            return True
        held = self.text[at : at + len(text)]
        return text.startswith(held)

    def _behind(self, frame: Snapshot) -> None:
        """Less text than is held, in the same attempt: right only from another gateway that has yet to catch up."""
        if frame.state.ended or (self._told is not None and frame.seq < self._told):
            self.flaw(Flaw.CORRUPTED, f"text was taken back within attempt {frame.attempt}: {self.seq} → {frame.seq}")
        elif not self._fits(0, frame.text):
            self.flaw(Flaw.CORRUPTED, f"the snapshot {_short(frame.text)} of attempt {frame.attempt} does not fit")
        self._told = frame.seq

    def _stale(self, attempt: int) -> None:
        if self._told is not None:
            self.flaw(Flaw.CORRUPTED, f"attempt {attempt} spoke behind attempt {self.attempt}")

    def _repeated(self, frame: Snapshot) -> None:
        """Behind the end there is only the answer to who asked again."""
        if not self._repeats:
            self.flaw(Flaw.DUPLICATED, "a snapshot came behind the end")
        elif frame.text != self.text or frame.attempt != self.attempt:
            self.flaw(Flaw.CORRUPTED, f"asked again behind the end, the text is {_short(frame.text)}")

    def _second_end(self, frame: Done | Failed) -> None:
        if frame != self.end:
            self.flaw(Flaw.DUPLICATED, f"a second, other end: {type(frame).__name__.lower()}, seq {frame.seq}")
        elif not self._repeats:
            self.flaw(Flaw.DUPLICATED, "the end came twice")

    def _unfitting_end(self, frame: Done | Failed) -> bool:
        """Text is missing before the end: it can be asked for, once a connection."""
        if self._skipped or self._told is None:
            return True
        kind = Flaw.LOST if frame.seq > self.seq else Flaw.CORRUPTED
        self.flaw(kind, f"the end counts {frame.seq} characters of attempt {frame.attempt}; {self.seq} came")
        return True


def _short(text: str) -> str:
    return repr(text if len(text) <= 40 else f"{text[:37]}…")
