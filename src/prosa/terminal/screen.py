"""What a person types, and where the answer is written."""

import re
import sys
from collections.abc import Iterator
from contextlib import suppress
from typing import Final, TextIO

with suppress(ImportError):  # not on every system; where it is, ``input`` can be edited and remembers
    import readline as readline

_CONTROL: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
PROMPT: Final = "you> "


def plain(text: str) -> str:
    """Others' words are data: on a terminal they must not be able to move the cursor or set its title."""
    return _CONTROL.sub("\ufffd", text)


class Screen:
    """Answers go to ``out`` and everything else to ``notes``, so that a pipe gets the answer and nothing more."""

    def __init__(self, *, source: TextIO | None = None, out: TextIO | None = None, notes: TextIO | None = None) -> None:
        self._source = source or sys.stdin
        self._out = out or sys.stdout
        self._notes = notes or sys.stderr
        self.interactive = self._source.isatty() and self._out.isatty()
        self._in_line = False

    def questions(self) -> Iterator[str]:
        """What the person types, line by line, until the end of the input; from a pipe, all of it is one question."""
        if not self.interactive:
            text = self._source.read().removesuffix("\n")
            if text.strip():
                yield text
            return
        while (line := self._typed()) is not None:
            if line.strip():
                yield line

    def _typed(self) -> str | None:
        """A line; empty where Ctrl-C gave it up, None at the end."""
        try:
            return input(PROMPT)
        except EOFError:
            self._notes.write("\n")
            return None
        except KeyboardInterrupt:
            self._notes.write("\n")
            self.note("Ctrl-D leaves.")
            return ""

    def question(self, text: str) -> None:
        """A question of before, as it was typed; only for somebody who watches."""
        if self.interactive:
            self.answer(f"{PROMPT}{text}")
            self.end()

    def answer(self, text: str) -> None:
        self._out.write(plain(text) if self._out.isatty() else text)
        self._out.flush()
        self._in_line = not text.endswith("\n")

    def end(self) -> None:
        """The answer is over."""
        if self._in_line:
            self._out.write("\n")
            self._out.flush()
        self._in_line = False

    def note(self, text: str) -> None:
        """Only for somebody who watches."""
        if self.interactive:
            self.error(f"[{text}]")

    def error(self, text: str) -> None:
        self.end()
        self._notes.write(plain(text) + "\n")
        self._notes.flush()
