"""Whether the messages of a chat are answered one after the other (L5), as far as a client can see it. Pure."""

from typing import Final
from uuid import UUID

from prosa.load.answer import Asked
from prosa.load.reading import Flaw

PIECES: Final = 3
"""Behind a later answer's text: late frames, what the database told where others were lost, and one more."""


class Order:
    """What a chat's answers did while others of it were under way.

    A gateway may learn late of an end whose last frames were late or lost; then the last text of one answer comes
    behind the first of the next, in a piece or two. An answer that goes on and on behind a later one is out of order.
    """

    def __init__(self, late_seconds: float) -> None:
        self._late_seconds = late_seconds
        self._under_way: dict[UUID, Asked] = {}
        self._overtaken: dict[UUID, tuple[float, int]] = {}
        self._ordinals: dict[int, UUID] = {}

    def accepted(self, asked: Asked) -> None:
        if asked.ordinal is None:
            return
        if self._ordinals.setdefault(asked.ordinal, asked.id) != asked.id:
            asked.reading.flaw(Flaw.REORDERED, f"number {asked.ordinal} of the chat was given twice")
        self._under_way[asked.id] = asked

    def grew(self, asked: Asked, now: float) -> None:
        """Live text of an answer came (not what is told to who asks again)."""
        if len(self._under_way) < 2 and not self._overtaken:
            return  # the usual case, for every delta
        self._overtakes(asked, now)
        overtaken = self._overtaken.get(asked.id)
        if overtaken is None:
            return
        at, count = overtaken
        self._overtaken[asked.id] = (at, count + 1)
        if count >= PIECES and now - at > self._late_seconds:
            what = (
                f"number {asked.ordinal} of the chat was still being answered {now - at:.1f} s after a later one began"
            )
            asked.reading.flaw(Flaw.REORDERED, what)
            del self._under_way[asked.id], self._overtaken[asked.id]

    def ended(self, asked: Asked) -> None:
        self._under_way.pop(asked.id, None)
        self._overtaken.pop(asked.id, None)

    def _overtakes(self, asked: Asked, now: float) -> None:
        for other in self._under_way.values():
            if (other.ordinal or 0) < (asked.ordinal or 0):
                self._overtaken.setdefault(other.id, (now, 0))
