"""The growing reply: text that only ever grows within an attempt, counted in Unicode code points.

``seq`` is the number of code points so far, so any holder of the text can serve any resume. A chunk is
appended in constant time; the pieces are joined when somebody reads.
"""

import re
from typing import Final

_FORBIDDEN: Final = re.compile("[\x00\ud800-\udfff]")
REPLACEMENT: Final = "\ufffd"


def clean(chunk: str) -> str:
    """Text that every store keeps and every client can read: U+0000 and lone surrogates become U+FFFD."""
    return _FORBIDDEN.sub(REPLACEMENT, chunk)


class Reply:
    """The text of one attempt at its worker, begun from the ``saved`` text it continues."""

    __slots__ = ("_pieces", "seq")

    def __init__(self, saved: str = "") -> None:
        self._pieces = [saved]
        self.seq = len(saved)

    def append(self, chunk: str) -> None:
        self._pieces.append(chunk)
        self.seq += len(chunk)

    @property
    def text(self) -> str:
        if len(self._pieces) > 1:
            self._pieces = ["".join(self._pieces)]
        return self._pieces[0]

    def since(self, seq: int) -> str:
        """The text behind the first ``seq`` characters."""
        return self.text[seq:]
