"""When to start again what ended by itself. Decisions only: no process, no clock, no chance."""

from typing import Final

import msgspec

NOT_SET_UP: Final = 2
"""The exit code with which Prosa's processes say that somebody must set something up first."""

SAME_TIMES: Final = 3
"""So often in a row the same reason: it will not pass by itself."""


class Patience(msgspec.Struct, frozen=True, kw_only=True):
    """A pause doubles with each end in a row; who was ready for ``steady_seconds`` begins anew."""

    first_seconds: float = 0.2
    most_seconds: float = 10.0
    steady_seconds: float = 10.0


class Ending(msgspec.Struct, frozen=True):
    """How a process ended. ``reason`` is the last sentence that it said, empty if none."""

    code: int
    ready_seconds: float
    """For how long it had been ready; 0 if it never was."""
    reason: str = ""

    @property
    def drained(self) -> bool:
        """It had served and left in order, as somebody else has asked it to: nothing went wrong."""
        return self.code == 0 and self.ready_seconds > 0


class Record(msgspec.Struct, frozen=True):
    """What a process has behind it: ends in a row, and how many of the last ones had the same reason."""

    ends: int = 0
    reason: str = ""
    same: int = 0

    @property
    def stuck(self) -> bool:
        return self.same >= SAME_TIMES

    @property
    def newly_stuck(self) -> bool:
        return self.same == SAME_TIMES


def after(record: Record, ending: Ending, patience: Patience) -> Record:
    """The record with one end more; who drained begins anew."""
    if ending.drained:
        return Record()
    steady = ending.ready_seconds >= patience.steady_seconds
    reason = ending.reason if ending.code == NOT_SET_UP else ""
    again = bool(reason) and reason == record.reason
    return Record(
        ends=1 if steady else record.ends + 1,
        reason=reason,
        same=record.same + 1 if again else int(bool(reason)),
    )


def pause_seconds(record: Record, patience: Patience, chance: float) -> float:
    """Until the next try: none after a drain. ``chance`` in 0..1 spreads it over its upper half, so that not all come
    back at once."""
    if record.ends == 0:
        return 0.0
    if record.stuck:
        longest = patience.most_seconds
    else:
        longest = min(patience.most_seconds, patience.first_seconds * 2.0 ** min(record.ends - 1, 30))
    return longest * (0.5 + chance / 2)
