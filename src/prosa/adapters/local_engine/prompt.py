"""How the local model is asked: what it is told, what of a long conversation fits, where a cut reply goes on."""

import json
import re
from collections.abc import Iterator, Sequence
from typing import Final

import msgspec

from prosa.core.chat import Role, Turn

SYSTEM: Final = "You are Prosa, a helpful assistant. You give short, correct, clear answers."

SHOTS: Final = (
    Turn(Role.USER, "Hello! Who are you?"),
    Turn(Role.ASSISTANT, "Hello! I am Prosa, a small language model. How can I help you?"),
    Turn(Role.USER, "How much is 3 + 5?"),
    Turn(Role.ASSISTANT, "3 + 5 = 8."),
    Turn(Role.USER, "What is the capital of Italy?"),
    Turn(Role.ASSISTANT, "The capital of Italy is Rome."),
    Turn(Role.USER, "Give me two tips for sleeping better."),
    Turn(
        Role.ASSISTANT,
        "1. Go to bed at the same time every day.\n2. Keep your room dark, quiet and cool, and put your phone away.",
    ),
    Turn(Role.USER, "Explain what a database is."),
    Turn(
        Role.ASSISTANT,
        "A database is an organized collection of data. "
        "Programs use it to store, find and change information quickly and safely.",
    ),
)
"""Examples before the conversation: with them the packaged model knows far more capitals, sums and planets."""

STEP: Final = 4
"""Exchanges leave a long conversation in steps, so that the cached beginning of it serves several questions."""

BYTES_PER_TOKEN: Final = 3.5
TOKENS_PER_TURN: Final = 8
LONGEST_HEALED: Final = 40

# DRY against loops instead of a repeat penalty, which costs this model its facts ("2 + 2"). It looks back no further
# than the reply's own last sentences: what the examples say may be said again ("the capital of Italy is Rome").
SAMPLING: Final[dict[str, object]] = {
    "min_p": 0.1,
    "top_p": 1.0,
    "dry_multiplier": 0.8,
    "dry_base": 1.75,
    "dry_allowed_length": 2,
    "dry_penalty_last_n": 64,
    "dry_sequence_breakers": ["\n"],
}


class Start(msgspec.Struct, frozen=True):
    """Where a reply goes on: the model continues ``text`` and must say ``shown`` first, which the reader has already.

    The reply is cut inside a word or at its end, a token is perhaps more than that: so the model says the last
    word again, held to it by a grammar.
    """

    text: str = ""
    shown: str = ""

    @property
    def grammar(self) -> str | None:
        if not self.shown:
            return None
        return f"root ::= {json.dumps(self.shown, ensure_ascii=False)} [^\\x00]*"


def start(prefix: str) -> Start:
    """Where a reply that begins with ``prefix`` goes on."""
    last = re.search(r" ?\S+\Z", prefix)
    if last is None:
        return Start(prefix.rstrip())
    if len(last[0]) > LONGEST_HEALED or not last[0].isprintable() or not last[0][-1].isalnum():
        return Start(prefix)
    return Start(prefix[: last.start()], last[0])


class Opening:
    """Takes off what the reader has already: the ``shown`` characters, and blanks where there is one (``blank``)."""

    def __init__(self, shown: str, *, blank: bool) -> None:
        self._hidden = len(shown)
        self._blank = blank

    def cut(self, text: str) -> str:
        held, self._hidden = self._hidden, max(0, self._hidden - len(text))
        text = text[held:]
        if self._blank:
            text = text.lstrip()
            self._blank = not text
        return text


def cost(text: str) -> int:
    """An estimate of the tokens of a turn."""
    return int(len(text.encode("utf-8", "replace")) / BYTES_PER_TOKEN) + TOKENS_PER_TURN


def newest(turns: Sequence[Turn], tokens: int) -> tuple[Turn, ...]:
    """The newest exchanges that fit; the last question always stays."""
    questions = [index for index, turn in enumerate(turns) if turn.role is Role.USER]
    for first in [*questions[:-1][::STEP], *questions[-2:]]:
        if sum(cost(turn.text) for turn in turns[first:]) <= tokens:
            return tuple(turns[first:])
    return tuple(turns[questions[-1] :]) if questions else tuple(turns[-1:])


def windows(turns: Sequence[Turn], examples: Sequence[Turn], tokens: int) -> Iterator[tuple[Turn, ...]]:
    """Prompts to try, each shorter than the one before: estimates are wrong at times, and the model alone counts.

    What is told first always stays; then the oldest exchanges go, and the examples at last.
    """
    told = tuple(turn for turn in turns if turn.role is Role.SYSTEM)
    said = [turn for turn in turns if turn.role is not Role.SYSTEM]
    fixed = (*told, *examples)
    room = tokens - sum(cost(turn.text) for turn in fixed)
    tried = 0
    while tried != 1:
        kept = newest(said, room)
        if len(kept) != tried:
            yield (*fixed, *kept)
        tried, room = len(kept), room * 3 // 4
    if examples:
        yield (*told, *said[-1:])


def messages(turns: Sequence[Turn], beginning: str) -> list[dict[str, str]]:
    """The turns as llama.cpp reads them; a trailing one of the assistant is continued."""
    said = [{"role": turn.role.value, "content": turn.text} for turn in turns]
    return [*said, {"role": "assistant", "content": beginning}] if beginning else said
