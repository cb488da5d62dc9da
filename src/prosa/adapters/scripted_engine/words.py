"""What the scripted model says: pure functions, so that any client can verify its own reply whole.

The reply to a message is ``w0-H w1-H … w<N-1>-H``, where H is the first 8 hex digits of BLAKE2s over the UTF-8 of
the message without surrounding white space. Directives anywhere in that message set how it comes:
``[[n=50 r=20 ttft=0.1]]`` words, words per second, seconds to the first; ``[[fail=20]]`` breaks after 20 words;
``[[stall=20:3.5]]`` pauses 3.5 s before word 20. Blocks merge, the last value of a key wins, a value out of bounds
is brought to the nearest bound, and what is none of these is text like any other.
"""

import re
from collections.abc import Iterator
from hashlib import blake2s
from typing import Final

import msgspec

MOST_WORDS: Final = 100_000
MOST_PER_SECOND: Final = 100_000.0
LEAST_PER_SECOND: Final = 0.01
LONGEST_WAIT_SECONDS: Final = 600.0

_BLOCK: Final = re.compile(r"\[\[([^\[\]]{1,200})\]\]")
_PAIR: Final = re.compile(r"(n|r|ttft|fail|stall)=(\d{1,9}(?:\.\d{1,9})?)(?::(\d{1,9}(?:\.\d{1,9})?))?")


class Script(msgspec.Struct, frozen=True):
    """How a reply comes. Without directives: 20 words, 20 a second, the first at once."""

    words: int = 20
    per_second: float = 20.0
    first_seconds: float = 0.0
    fail_after: int | None = None
    stall_before: int | None = None
    stall_seconds: float = 0.0

    def due(self, word: int) -> float:
        """Seconds from the start at which ``word`` (from 0) is said: an absolute schedule, so nothing drifts."""
        stalled = self.stall_before is not None and word >= self.stall_before
        return self.first_seconds + word / self.per_second + (self.stall_seconds if stalled else 0.0)


def script(question: str) -> Script:
    """The directives in a message."""
    changes: dict[str, float | int] = {}
    for block in _BLOCK.finditer(question):
        for item in block[1].split():
            if pair := _PAIR.fullmatch(item):
                changes |= _change(pair[1], pair[2], pair[3])
    return msgspec.convert(changes, Script)


def _change(key: str, value: str, extra: str | None) -> dict[str, float | int]:
    """The fields that one ``key=value[:extra]`` sets; none where its form does not fit its key."""
    if (extra is not None) != (key == "stall"):
        return {}
    match key:
        case "n":
            return {"words": _count(value)}
        case "r":
            return {"per_second": min(max(float(value), LEAST_PER_SECOND), MOST_PER_SECOND)}
        case "ttft":
            return {"first_seconds": _wait(value)}
        case "fail":
            return {"fail_after": _count(value)}
        case _:
            return {"stall_before": _count(value), "stall_seconds": _wait(extra or "0")}


def _count(value: str) -> int:
    return min(int(float(value)), MOST_WORDS)


def _wait(value: str) -> float:
    return min(float(value), LONGEST_WAIT_SECONDS)


def mark(question: str) -> str:
    """H: what ties each word of a reply to its question."""
    return blake2s(question.strip().encode("utf-8", "surrogatepass")).hexdigest()[:8]


def reply_words(question: str) -> Iterator[str]:
    """The words of the whole reply, in order; each but the first begins with its blank."""
    end = mark(question)
    for word in range(script(question).words):
        yield f" w{word}-{end}" if word else f"w0-{end}"


def expected_reply(question: str) -> str:
    """The whole reply, as it stands in the store after an undisturbed run."""
    return "".join(reply_words(question))


def resume(question: str, prefix: str) -> tuple[int, str]:
    """Where a reply goes on that begins with ``prefix``: the next word, and the rest of one that was cut.

    A prefix that is not of this reply (text of another model, say) is left alone: the reply is counted from its
    first word, behind a line break.
    """
    held = 0
    for word, text in enumerate(reply_words(question)):
        if held == len(prefix):
            return word, ""
        if not prefix.startswith(text[: len(prefix) - held], held):
            return 0, "\n"
        held += len(text)
        if held > len(prefix):
            return word + 1, text[len(prefix) - held :]
    return (script(question).words, "") if held == len(prefix) else (0, "\n")
