"""What was done, as it happened: every blow with its real times, and the runs that it hit."""

from uuid import UUID

import msgspec

from prosa.chaos.schedule import Fault


class Held(msgspec.Struct, frozen=True):
    """A run that a worker held, under this attempt."""

    run: UUID
    attempt: int


class Blow(msgspec.Struct, kw_only=True):
    """A fault that was dealt. Times are seconds of the machine's monotonic clock.

    ``over_at``: when the process was ready again, the network was whole, the service was back; None where that was
    not seen. ``worker`` is the name that the process gave itself; ``held``, the runs that it held. ``room``: whether
    the other workers had free slots for them. ``blind``: the database could not be asked.
    """

    fault: Fault
    at: float
    pid: int | None = None
    over_at: float | None = None
    worker: str | None = None
    held: tuple[Held, ...] = ()
    room: bool = True
    blind: bool = False
    note: str = ""
