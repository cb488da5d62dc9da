"""The runs that a worker holds: their growing replies, who listens, what is saved, what to send next.

Pure bookkeeping, so that every rule of a frame and of a checkpoint is a plain test. The worker's loops call
``cut`` each tick and ``saves`` each second; nothing here waits.
"""

from collections.abc import Collection, Iterable, Iterator
from enum import Enum
from uuid import UUID

from prosa.core.events import Gone, Listen, RunEnded, RunEvent, RunStarted, TextAdded, TextWhole
from prosa.core.reply import Reply
from prosa.core.run import Claimant, End
from prosa.core.work import Held, Save, Saved


class Interruption(Enum):
    """Why a worker stops a run that its engine would go on with."""

    STOP = "its user asked"
    LOST = "another claim has it"
    DRAIN = "the worker goes away"


class Work:
    """One claimed run at its worker. ``listeners`` maps each gateway to the characters that it was sent.

    ``pieces`` counts the engine's chunks: all that is known of the usage of a reply that was cut short. ``begun`` and
    ``spoke_at`` are moments of the worker's own clock: of the claim, and of the attempt's first text.
    """

    def __init__(self, claimant: Claimant, held: Held) -> None:
        self.claimant = claimant
        self.held = held
        self.reply = Reply(held.row.text)
        self.listeners: dict[str, int] = {}
        self.saved = len(held.row.text)
        self.whole = False
        self.checkpoints = 0
        self.begun = 0.0
        self.spoke_at: float | None = None
        self.pieces = 0
        self.interruption: Interruption | None = None
        self.ended: RunEnded | Gone | None = None

    @property
    def run(self) -> UUID:
        return self.claimant.run

    @property
    def attempt(self) -> int:
        return self.held.row.attempt

    def spoke(self, now: float) -> float | None:
        """Seconds since the attempt's first text; None before it."""
        return None if self.spoke_at is None else now - self.spoke_at

    def started(self) -> RunStarted:
        return RunStarted(self.run, self.claimant.claim, self.attempt, self.held.row.model)

    def snapshot(self) -> TextWhole:
        return TextWhole(self.run, self.claimant.claim, self.attempt, self.reply.text)

    def tail(self, seq: int) -> TextAdded:
        return TextAdded(self.run, self.claimant.claim, self.attempt, seq + 1, self.reply.seq, self.reply.since(seq))

    def over(self, end: End) -> None:
        """The run is committed: its end goes out behind its last text."""
        self.ended = RunEnded(self.run, self.claimant.claim, self.attempt, self.reply.seq, end)

    def gone(self) -> None:
        """The run is no longer this worker's: its listeners are told to look elsewhere."""
        self.ended = Gone(self.run, self.claimant.claim)


class Desk:
    """All works of one worker."""

    def __init__(self) -> None:
        self._works: dict[UUID, Work] = {}
        self._answers: dict[str, list[RunEvent]] = {}

    def __len__(self) -> int:
        return len(self._works)

    def __iter__(self) -> Iterator[Work]:
        return iter(self._works.values())

    def get(self, run: UUID) -> Work | None:
        return self._works.get(run)

    def open(self, work: Work, origin: str | None) -> None:
        """Hold a claimed run. Its origin listens from the start: the first token needs no extra hop."""
        self._works[work.run] = work
        if origin is not None:
            self._greet(work, origin)

    def listen(self, mail: Listen) -> None:
        """Answer with the missing tail or the whole text; ``gone`` at once if the run is not held here."""
        work = self._works.get(mail.run)
        if work is None:
            self._answer(mail.gateway, Gone(mail.run, mail.claim))
        elif mail.claim == work.claimant.claim and 0 < mail.seq <= work.reply.seq:
            self._answer(mail.gateway, work.started())
            work.listeners[mail.gateway] = mail.seq
        else:
            self._greet(work, mail.gateway)

    def unlisten(self, gateway: str, run: UUID) -> None:
        if work := self._works.get(run):
            work.listeners.pop(gateway, None)

    def _greet(self, work: Work, gateway: str) -> None:
        self._answer(gateway, work.started())
        if work.attempt > 1 or work.reply.seq:
            self._answer(gateway, work.snapshot())
        work.listeners[gateway] = work.reply.seq

    def _answer(self, gateway: str, event: RunEvent) -> None:
        self._answers.setdefault(gateway, []).append(event)

    def cut(self, only: Collection[UUID] | None = None) -> dict[str, list[RunEvent]]:
        """What each gateway gets now: new text of all its runs, ends behind their text. Ended works are put away.

        ``only``: of these runs, besides what was asked.
        """
        works = self._works.values() if only is None else [self._works[run] for run in only if run in self._works]
        for work in list(works):
            self._cut(work)
            if work.ended is not None:
                del self._works[work.run]
        frames, self._answers = self._answers, {}
        return frames

    def _cut(self, work: Work) -> None:
        lost = isinstance(work.ended, Gone)
        for gateway, seq in work.listeners.items():
            if seq < work.reply.seq and not lost:
                self._answer(gateway, work.tail(seq))
                work.listeners[gateway] = work.reply.seq
            if work.ended is not None:
                self._answer(gateway, work.ended)

    def saves(self, *, everything: bool, now: float = 0.0) -> list[Save]:
        """What to append in the store: of all works, or only of those that were never saved and have text."""
        return [self._save(work, now) for work in self if everything or (not work.checkpoints and work.reply.seq)]

    def _save(self, work: Work, now: float) -> Save:
        work.checkpoints += 1
        claim, spoke = work.claimant.claim, work.spoke(now)
        if work.whole:
            return Save(work.run, claim, 0, work.reply.text, whole=True, spoke=spoke)
        return Save(work.run, claim, work.saved, work.reply.since(work.saved), spoke=spoke)

    def saved(self, sent: Iterable[Save], found: Iterable[Saved]) -> list[tuple[Work, Interruption]]:
        """Learn what a checkpoint found: stored lengths, and the works that must end now, with the reason."""
        known = {saved.run: saved for saved in found}
        endings: list[tuple[Work, Interruption]] = []
        for save in sent:
            work = self._works.get(save.run)
            if work is None or work.claimant.claim != save.claim or work.ended is not None:
                continue
            result = known.get(save.run)
            if result is None:
                endings.append((work, Interruption.LOST))
                continue
            expected = (0 if save.whole else save.at) + len(save.text)
            work.whole = result.seq != expected
            work.saved = result.seq
            if result.stop_requested:
                endings.append((work, Interruption.STOP))
        return endings
