"""Cuts text into what can be translated by itself, as it streams: sentences, lines, and code that stays as it is."""

import re
from typing import Final

import msgspec

LONGEST: Final = 500
"""Characters after which a text without an end of sentence is cut at a blank."""

_END: Final = re.compile(r"""[.!?…]+["'”’)\]*_]*(?=\s)|(?=\n)""")
_NO_END: Final = re.compile(
    r"(?:^|[\s(])(?:Mrs?|Ms|Dr|St|Prof|Sr|Sra|vs|e\.g|i\.e|p\. ?ex|[A-Z])\.$|(?:^|\n)\s*\d{1,3}\.$"
)
_FENCE: Final = re.compile(r"\s*(?:```|~~~)")
_CODE_LINE: Final = re.compile(
    r"\s*(?:def |class |return\b|import \w+|from \w+ import|print\(|for \w+ in .*:$|if .*:$|#include|[{}]"
    r"|[\w.]+\(.*\)[;:]?$|[\w.\[\]]+ = \S)|\n? {4}\S"
)
_SHAPE: Final = re.compile(r"(\s*(?:(?:\d{1,3}[.)]|[-*•+>]|#{1,6})\s+)*)(.*?)(\s*)", re.DOTALL)
_MARKS: Final = re.compile(r"(\*\*|__|`[^`\n]*`|https?://\S+)")


class Segment(msgspec.Struct, frozen=True):
    """A sentence or line with the white space before it; the segments of a text put together are the text."""

    text: str
    code: bool = False


class Sentences:
    """Text in as it comes, segments out as soon as each is whole. ``begun`` is the first one's beginning."""

    def __init__(self, begun: str = "") -> None:
        self._rest = begun
        self._fenced = False

    def feed(self, text: str) -> list[Segment]:
        self._rest += text
        segments = []
        while end := self._cut():
            segments.append(self._segment(self._rest[:end]))
            self._rest = self._rest[end:]
        return segments

    def flush(self) -> list[Segment]:
        """What is left at the end, whole or not."""
        rest, self._rest = self._rest, ""
        return [self._segment(rest)] if rest else []

    def _segment(self, text: str) -> Segment:
        if _FENCE.match(text):
            self._fenced = not self._fenced
            return Segment(text, code=True)
        return Segment(text, code=self._fenced or _CODE_LINE.match(text) is not None)

    def _cut(self) -> int:
        """Where the first segment ends; 0 while it is not whole."""
        for found in _END.finditer(self._rest):
            head = self._rest[: found.end()]
            if head.strip() and (not found[0] or not self._unended(head)):
                return found.end()
        return max(self._rest.rfind(" ", 0, LONGEST), LONGEST // 2) if len(self._rest) > LONGEST else 0

    def _unended(self, head: str) -> bool:
        # In code only a line ends a segment: a method call is no sentence.
        return self._fenced or _FENCE.match(head) is not None or _NO_END.search(head) is not None


def split(text: str) -> list[Segment]:
    """All segments of a text that is there."""
    sentences = Sentences()
    return sentences.feed(text) + sentences.flush()


def whole_and_partial(text: str) -> tuple[str, str]:
    """The whole sentences at the beginning of a text that was cut off, and the sentence that was under way."""
    segments = split(text)
    last = segments[-1].text if segments else ""
    if not segments or segments[-1].code or re.search(r"""[.!?…:]["'”’)\]*_]*\s*$""", last):
        return text, ""
    return text[: len(text) - len(last)], last


def parts(text: str) -> list[tuple[str, bool]]:
    """A segment in pieces, each with whether it is words to translate: list marks, emphasis, code and links are not."""
    shape = _SHAPE.fullmatch(text)
    before, body, behind = shape.groups() if shape else ("", text, "")
    pieces = [(before, False)]
    for index, piece in enumerate(_MARKS.split(body)):
        pieces += [(piece, False)] if index % 2 else _words(piece)
    return [piece for piece in [*pieces, (behind, False)] if piece[0]]


def _words(piece: str) -> list[tuple[str, bool]]:
    core = piece.strip()
    if not any(letter.isalpha() for letter in core):
        return [(piece, False)]
    start = piece.index(core)
    return [(piece[:start], False), (core, True), (piece[start + len(core) :], False)]


def join(partial: str, whole: str) -> str | None:
    """What must follow ``partial``, a sentence that was cut off, so that it reads on as ``whole`` does.

    They are two translations, so they may differ in words: the last words of ``partial`` (the very last
    perhaps cut inside) are looked for in ``whole``. None: nothing of it is found there.
    """
    if whole.startswith(partial):
        return whole[len(partial) :]
    shown = partial.split()
    for size in (3, 2, 1):
        tail = r"\s+".join(re.escape(word) for word in shown[-size:])
        if len(shown) >= size and (found := _last_match(rf"(?i)(?<!\w){tail}", whole)) is not None:
            return whole[found:].lstrip() if partial[-1:].isspace() else whole[found:]
    return None


def _last_match(pattern: str, text: str) -> int | None:
    found = re.search(pattern, text)
    return found.end() if found else None
