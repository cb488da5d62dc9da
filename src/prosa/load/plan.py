"""Who asks what and when: the workload of a bench. Pure."""

from enum import StrEnum
from typing import Final

import msgspec

from prosa.adapters.scripted_engine import expected_reply

LOST_SECONDS: Final = 60.0


class Start(StrEnum):
    """When people ask for the first time."""

    SPREAD = "spread"
    """Evenly over ``spread_seconds``."""
    TOGETHER = "together"
    """Everybody in the same instant."""
    BACK_TO_BACK = "back-to-back"
    """Everybody at once, and each next message as soon as the reply is whole, whatever ``think_seconds`` says."""


class Expect(StrEnum):
    """Against what a reply is held."""

    SCRIPTED = "scripted"
    """The scripted model's known words, and the history."""
    STORED = "stored"
    """The history alone: for models of which nobody knows what they will say."""


class Plan(msgspec.Struct, frozen=True):
    """``users`` people ask ``messages`` times each, or until ``seconds`` have passed where that is set.

    Message k of a person goes to chat k modulo ``chats``; at most ``ahead`` messages of a person are unanswered at
    once. ``words``, ``rate`` (words per second) and ``ttft`` (seconds to the first) are asked of the scripted model,
    and are the model's own time that is subtracted from what was measured. A message that was accepted and has no
    end ``lost_after`` seconds past the model's own time is lost.
    """

    users: int = 10
    messages: int = 1
    words: int = 50
    rate: float = 20.0
    ttft: float = 0.0
    start: Start = Start.SPREAD
    spread_seconds: float = 5.0
    think_seconds: float = 0.0
    chats: int = 1
    ahead: int = 1
    seconds: float | None = None
    model: str | None = None
    expect: Expect = Expect.SCRIPTED
    lost_after: float = LOST_SECONDS
    late_seconds: float = 1.0
    """So long behind a later answer's first text may frames of the one before come: they may have been held up."""

    @property
    def own_seconds(self) -> float:
        """What the model itself takes for a reply."""
        return self.ttft + max(self.words - 1, 0) / self.rate

    @property
    def pause_seconds(self) -> float:
        """From a reply to the next message."""
        return 0.0 if self.start is Start.BACK_TO_BACK else self.think_seconds

    def offset(self, person: int) -> float:
        """Seconds from the start at which a person (from 0) asks for the first time."""
        return person * self.spread_seconds / self.users if self.start is Start.SPREAD else 0.0

    def wants(self, asked: int, elapsed: float) -> bool:
        """Whether a person who has asked so often asks once more."""
        return elapsed < self.seconds if self.seconds is not None else asked < self.messages

    def question(self, name: str) -> str:
        """A message that nobody else sends, so that its reply is like no other."""
        return f"Bench {name}. [[n={self.words} r={_number(self.rate)} ttft={_number(self.ttft)}]]"

    def expected(self, question: str) -> str | None:
        """The reply to a message, where it is known."""
        return expected_reply(question) if self.expect is Expect.SCRIPTED else None


def _number(value: float) -> str:
    return f"{value:.6f}".rstrip("0").rstrip(".")
