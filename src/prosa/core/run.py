"""The life of a run: its states, the steps between them, and what each step may do.

::

            accept            claim             commit
    waiting ──▶ queued ──────▶ running ──────▶ done | stopped | failed
       │  promote  ▲   takeover │  ▲└─┘ │ release
       └───────────┼────────────┘  └────┘       waiting | queued ──▶ stopped | failed

The SQL of the store is written after this table; the model-based test holds the two together.
"""

from enum import StrEnum
from typing import Final
from uuid import UUID

import msgspec

from prosa.core.errors import Failed


class RunState(StrEnum):
    """Where a run is. The last three are ends: a run reaches one of them exactly once (L2)."""

    WAITING = "waiting"
    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    STOPPED = "stopped"
    FAILED = "failed"

    @property
    def ended(self) -> bool:
        return self in ENDED


ENDED: Final = frozenset({RunState.DONE, RunState.STOPPED, RunState.FAILED})
LIVE: Final = frozenset({RunState.QUEUED, RunState.RUNNING})
"""States that count against a user's limit and of which a chat has one at most."""


class Step(StrEnum):
    """What can happen to a run after it was accepted."""

    PROMOTE = "promote"
    CLAIM = "claim"
    TAKE_OVER = "take_over"
    RELEASE = "release"
    COMPLETE = "complete"
    STOP = "stop"
    FAIL = "fail"


STEPS: Final[dict[tuple[RunState, Step], RunState]] = {
    (RunState.WAITING, Step.PROMOTE): RunState.QUEUED,
    (RunState.WAITING, Step.STOP): RunState.STOPPED,
    (RunState.WAITING, Step.FAIL): RunState.FAILED,
    (RunState.QUEUED, Step.CLAIM): RunState.RUNNING,
    (RunState.QUEUED, Step.STOP): RunState.STOPPED,
    (RunState.QUEUED, Step.FAIL): RunState.FAILED,
    (RunState.RUNNING, Step.TAKE_OVER): RunState.RUNNING,
    (RunState.RUNNING, Step.RELEASE): RunState.QUEUED,
    (RunState.RUNNING, Step.COMPLETE): RunState.DONE,
    (RunState.RUNNING, Step.STOP): RunState.STOPPED,
    (RunState.RUNNING, Step.FAIL): RunState.FAILED,
}


def after(state: RunState, step: Step) -> RunState | None:
    """The state after ``step``, or None where the step is not allowed and must change nothing."""
    return STEPS.get((state, step))


class Finish(StrEnum):
    """Why a whole reply ended: by itself, at the length limit, or by its user."""

    STOP = "stop"
    LENGTH = "length"
    STOPPED = "stopped"


class Usage(msgspec.Struct, frozen=True):
    """Tokens of the stored reply's prompt and text, as the engine counts them."""

    prompt_tokens: int = 0
    completion_tokens: int = 0


class Failure(msgspec.Struct, frozen=True):
    """Why a run failed, as its user is told."""

    code: str
    message: str
    retryable: bool

    @classmethod
    def of(cls, error: Failed) -> "Failure":
        return cls(error.code, error.message, error.retryable)


class End(msgspec.Struct, frozen=True):
    """The one outcome of a run: ``finish`` for done and stopped, ``failure`` for failed."""

    state: RunState
    finish: Finish | None = None
    usage: Usage = Usage()
    failure: Failure | None = None


class Claimant(msgspec.Struct, frozen=True):
    """Who may write a run: the worker's name and the random id of this one claim (L3)."""

    run: UUID
    worker: str
    claim: int
