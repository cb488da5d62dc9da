"""What must be true of runs, kept in plain Python: the table of steps is the only authority on their states."""

from dataclasses import dataclass, field
from uuid import UUID

from prosa.core.policy import Crashes, Limits, crashed
from prosa.core.run import LIVE, Claimant, End, Failure, RunState, Step, after
from prosa.core.work import Ask


@dataclass
class Life:
    """One run as it must be in the store. ``saved`` is its text there."""

    ask: Ask
    chat: UUID
    ordinal: int
    state: RunState
    attempt: int = 0
    owner: Claimant | None = None
    saved: str = ""
    crashes: Crashes = Crashes()  # noqa: RUF009 - frozen
    stop_asked: bool = False
    end: End | None = None
    ended_by: Claimant | None = None

    @property
    def run(self) -> UUID:
        return self.ask.run

    def may(self, step: Step) -> bool:
        return after(self.state, step) is not None

    def take(self, step: Step) -> None:
        state = after(self.state, step)
        assert state is not None, f"{step} of a {self.state} run changed it"
        assert self.end is None, "a second end"
        self.state = state


@dataclass
class Oracle:
    """All runs, in the order in which they were accepted, and the workers whose heartbeat is not over."""

    limits: Limits
    lives: dict[UUID, Life] = field(default_factory=dict)
    alive: set[str] = field(default_factory=set)

    def of_user(self, user: UUID) -> list[Life]:
        return [life for life in self.lives.values() if life.ask.user == user]

    def of_chat(self, chat: UUID) -> list[Life]:
        return [life for life in self.lives.values() if life.chat == chat]

    def live(self, user: UUID) -> int:
        return sum(life.state in LIVE for life in self.of_user(user))

    # ── accept and promote ──

    def state_of_new(self, ask: Ask, chat: UUID) -> RunState | None:
        """The state that a new run gets; None: too many wait."""
        busy = any(life.end is None for life in self.of_chat(chat))
        if not busy and self.live(ask.user) < self.limits.user_runs:
            return RunState.QUEUED
        waiting = sum(life.state is RunState.WAITING for life in self.of_user(ask.user))
        return RunState.WAITING if waiting < self.limits.user_waiting else None

    def accepted(self, ask: Ask, chat: UUID, state: RunState) -> Life:
        life = Life(ask, chat, len(self.of_chat(chat)) + 1, state)
        self.lives[ask.run] = life
        return life

    def promoted(self, user: UUID) -> list[UUID]:
        """Promote the oldest that may go; those that were."""
        free = self.limits.user_runs - self.live(user)
        ready = [life for life in self.of_user(user) if life.may(Step.PROMOTE) and self._first(life)]
        for life in ready[: max(free, 0)]:
            life.take(Step.PROMOTE)
        return [life.run for life in ready[: max(free, 0)]]

    def _first(self, life: Life) -> bool:
        return not any(other.end is None and other.ordinal < life.ordinal for other in self.of_chat(life.chat))

    # ── a worker's writes ──

    def claims(self, claimant: Claimant, *, continues: bool) -> bool:
        """Whether this claim holds the run afterwards."""
        life = self.lives[claimant.run]
        if life.may(Step.CLAIM):
            life.take(Step.CLAIM)
        elif life.owner == claimant and life.state is RunState.RUNNING:
            return True
        elif not (self._orphaned(life, claimant.worker) and self._survives(life)):
            return False
        life.owner = claimant
        life.attempt += 1
        life.saved = life.saved if continues else ""
        return True

    def _orphaned(self, life: Life, worker: str) -> bool:
        owner = life.owner
        return life.may(Step.TAKE_OVER) and owner is not None and owner.worker not in (worker, *self.alive)

    def _survives(self, life: Life) -> bool:
        life.crashes, failed = crashed(life.crashes)
        if failed is None:
            life.take(Step.TAKE_OVER)
            return True
        self.fails(life, Failure.of(failed))
        return False

    def owns(self, claimant: Claimant) -> bool:
        life = self.lives[claimant.run]
        return life.owner == claimant and life.state is RunState.RUNNING

    def saves(self, claimant: Claimant, at: int, text: str, *, whole: bool) -> int | None:
        """The stored length afterwards; None: the run is no longer this claim's."""
        if not self.owns(claimant):
            return None
        life = self.lives[claimant.run]
        if whole or at == len(life.saved):
            life.saved = text if whole else life.saved + text
            if text:
                life.crashes = Crashes(0, life.crashes.total)
        return len(life.saved)

    def finishes(self, claimant: Claimant, text: str, end: End) -> bool:
        """Whether the run's end is this claim's, now or since an earlier try."""
        if not self.owns(claimant):
            return self.lives[claimant.run].ended_by == claimant
        step = {RunState.DONE: Step.COMPLETE, RunState.STOPPED: Step.STOP, RunState.FAILED: Step.FAIL}[end.state]
        life = self.lives[claimant.run]
        life.take(step)
        life.end, life.saved, life.ended_by = end, text, claimant
        self.promoted(life.ask.user)
        return True

    def releases(self, claimant: Claimant, text: str) -> bool:
        if not self.owns(claimant):
            return False
        life = self.lives[claimant.run]
        life.take(Step.RELEASE)
        life.owner, life.saved = None, text
        return True

    # ── ends over the owner's head ──

    def stops(self, life: Life, end: End) -> None:
        if life.state is RunState.RUNNING:
            life.stop_asked = True
        elif life.may(Step.STOP):
            life.take(Step.STOP)
            life.end, life.owner = end, None
            self.promoted(life.ask.user)

    def fails(self, life: Life, failure: Failure) -> None:
        life.attempt += life.state is RunState.RUNNING
        life.take(Step.FAIL)
        life.end, life.owner = End(RunState.FAILED, failure=failure), None
        self.promoted(life.ask.user)
