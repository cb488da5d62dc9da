"""What all people of a process count together. Pure."""

import msgspec

from prosa.load.histogram import Histogram


class Second(msgspec.Struct):
    """What came within one second of the monotonic clock."""

    characters: int = 0
    deltas: int = 0
    accepted: int = 0
    ends: int = 0


class Tally(msgspec.Struct):
    """``gaps``: seconds between two texts of one reply. ``probes``: silences that were asked about.

    ``asked_again``: text that did not fit and was watched again. ``unreadable``: frames of no known form.
    """

    gaps: Histogram = msgspec.field(default_factory=Histogram)
    connections: int = 0
    probes: int = 0
    asked_again: int = 0
    unreadable: int = 0
    refusals: dict[str, int] = msgspec.field(default_factory=dict)
    closes: dict[str, int] = msgspec.field(default_factory=dict)
    seconds: dict[int, Second] = msgspec.field(default_factory=dict)

    def at(self, now: float) -> Second:
        second = self.seconds.get(int(now))
        if second is None:
            second = self.seconds[int(now)] = Second()
        return second

    def refused(self, code: str) -> None:
        self.refusals[code] = self.refusals.get(code, 0) + 1

    def closed(self, why: str) -> None:
        self.closes[why] = self.closes.get(why, 0) + 1

    def merge(self, other: "Tally") -> None:
        self.gaps.merge(other.gaps)
        for name in ("connections", "probes", "asked_again", "unreadable"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        for mine, theirs in ((self.refusals, other.refusals), (self.closes, other.closes)):
            mine |= {key: mine.get(key, 0) + count for key, count in theirs.items()}
        for second, counts in other.seconds.items():
            self.seconds[second] = _sum(self.seconds.get(second, Second()), counts)

    @property
    def characters(self) -> int:
        return sum(second.characters for second in self.seconds.values())

    @property
    def deltas(self) -> int:
        return sum(second.deltas for second in self.seconds.values())


def _sum(one: Second, other: Second) -> Second:
    return Second(
        one.characters + other.characters,
        one.deltas + other.deltas,
        one.accepted + other.accepted,
        one.ends + other.ends,
    )
