"""What is done to whom, and when: a siege made of a wish and a seed. Pure: the same two give the same schedule."""

from collections.abc import Iterator, Mapping, Sequence
from enum import StrEnum
from random import Random
from typing import Final

import msgspec

from prosa.cluster.supervise import Role

FREEZE_SECONDS: Final = ((4.0, 8.0), (1.0, 2.5))
"""Well past a worker's lease of 3 s, or well within it."""
CUT_SECONDS: Final = (5.0, 10.0)
AWAY_SECONDS: Final = (0.0, 3.0)
"""How long a service stays down between its stop and its start."""
DRAIN_SECONDS: Final = 6.0
"""What a process takes to end in order, about."""
RECOVERY_SECONDS: Final = 4.0
"""For a process to be itself again, before it counts as one that is left to the others."""
LEAD_SECONDS: Final = 5.0
TAIL_SECONDS: Final = 20.0
"""Without faults, at the start and at the end: what broke last has time to recover while people still ask."""
JITTER: Final = 0.2
TRIES: Final = 50
"""To find another time where too many of a role would be down at once."""


class Deed(StrEnum):
    """What can be done."""

    KILL = "kill"
    FREEZE = "freeze"
    CUT = "cut"
    RESTART = "restart"


class Manner(StrEnum):
    """How."""

    AT_ONCE = ""
    BLACK_HOLE = "black hole"
    RESET = "reset"
    DRAINED = "drained"
    CLEAN = "clean"
    WIPED = "wiped"
    IMMEDIATE = "immediate"


RESTARTS: Final[Mapping[str, tuple[Role, Manner]]] = {
    "broker": (Role.BROKER, Manner.CLEAN),
    "broker-wiped": (Role.BROKER, Manner.WIPED),
    "database": (Role.DATABASE, Manner.CLEAN),
    "database-immediate": (Role.DATABASE, Manner.IMMEDIATE),
    "worker": (Role.WORKER, Manner.DRAINED),
    "gateway": (Role.GATEWAY, Manner.DRAINED),
}
"""What can be restarted, by the name that people give it."""

PROCESSES: Final = (Role.WORKER, Role.GATEWAY)
SERVICES: Final = (Role.DATABASE, Role.BROKER)


class Wish(msgspec.Struct, frozen=True, kw_only=True):
    """A siege of ``seconds``: every ``every`` seconds a kill or a freeze of a process of the roles named, and
    meanwhile so many cuts of one worker from a service, and so many restarts (names of ``RESTARTS``)."""

    seconds: float
    every: float = 10.0
    kill: tuple[Role, ...] = PROCESSES
    freeze: tuple[Role, ...] = PROCESSES
    cuts: Mapping[Role, int] = {}
    restarts: Mapping[str, int] = {}
    gateways: int = 2
    workers: int = 3

    def names(self, role: Role) -> tuple[str, ...]:
        """The processes of a role, or the service."""
        if role in SERVICES:
            return (role.value,)
        count = self.workers if role is Role.WORKER else self.gateways
        return tuple(f"{role.value}-{number}" for number in range(1, count + 1))

    @property
    def lead(self) -> float:
        return min(LEAD_SECONDS, self.seconds / 10)

    @property
    def last(self) -> float:
        """When the last fault is over."""
        return self.seconds - min(TAIL_SECONDS, self.seconds / 3)


class Fault(msgspec.Struct, frozen=True, kw_only=True):
    """``at`` seconds from the start ``deed`` is done to ``name`` and lasts ``seconds``; 0: for a moment.

    ``service``: from what a worker is cut.
    """

    at: float
    deed: Deed
    role: Role
    name: str
    manner: Manner = Manner.AT_ONCE
    service: Role | None = None
    seconds: float = 0.0

    @property
    def recovered(self) -> float:
        """When the process is itself again."""
        return self.at + self.seconds + RECOVERY_SECONDS

    def sentence(self) -> str:
        """For people."""
        how = f", {self.manner}" if self.manner else ""
        match self.deed:
            case Deed.FREEZE:
                return f"freeze {self.name} for {self.seconds:.1f} s"
            case Deed.CUT:
                return f"cut {self.name} from the {self.service} for {self.seconds:.1f} s{how}"
            case Deed.RESTART if self.role in SERVICES:
                return f"restart the {self.name}{how}, {self.seconds:.1f} s away"
            case _:
                return f"{self.deed} {self.name}{how}"


def schedule(wish: Wish, seed: int) -> tuple[Fault, ...]:
    """The faults in the order of their time.

    All are over before ``wish.last``. Where a role has several processes, one of them is left alone: a kill
    or a freeze that would break that is done to nobody. (Too many cuts and restarts in too short a time do break it.)
    """
    chance = Random(seed)  # noqa: S311 — to be repeated, not to be secret
    faults: list[Fault] = []
    faults += _named(wish, chance)
    for at in _ticks(wish, chance):
        fault = _next(wish, chance, at, faults)
        if fault is not None:
            faults.append(fault)
    return tuple(sorted(faults, key=lambda fault: (fault.at, fault.name)))


# ── cuts and restarts: so many, evenly spread ──


def _named(wish: Wish, chance: Random) -> list[Fault]:
    drawn: list[Fault] = []
    deeds = [*_cuts(wish, chance), *_restarts(wish, chance)]
    chance.shuffle(deeds)
    width = (wish.last - wish.lead) / max(len(deeds), 1)
    for number, deed in enumerate(deeds):
        at = wish.lead + width * (number + chance.uniform(0.0, 0.5))
        elsewhere = (chance.uniform(wish.lead, wish.last) for _ in range(TRIES))
        placed = [_placed(wish, deed, time) for time in (at, *elsewhere)]
        aimed = (_aimed(wish, chance, fault, drawn) for fault in placed)
        drawn.append(next((fault for fault in aimed if fault is not None), placed[0]))
    return drawn


def _placed(wish: Wish, deed: Fault, at: float) -> Fault:
    return msgspec.structs.replace(deed, at=round(at, 1), seconds=round(min(deed.seconds, wish.last - at), 1))


def _cuts(wish: Wish, chance: Random) -> Iterator[Fault]:
    for service, count in wish.cuts.items():
        manners = [Manner.BLACK_HOLE, Manner.RESET]
        chance.shuffle(manners)
        for number in range(count):
            yield Fault(
                at=0.0,
                deed=Deed.CUT,
                role=Role.WORKER,
                name=wish.names(Role.WORKER)[0],
                manner=manners[number % 2],
                service=service,
                seconds=chance.uniform(*CUT_SECONDS),
            )


def _restarts(wish: Wish, chance: Random) -> Iterator[Fault]:
    for name, count in wish.restarts.items():
        role, manner = RESTARTS[name]
        for _ in range(count):
            away = chance.uniform(*AWAY_SECONDS) if role in SERVICES else DRAIN_SECONDS
            yield Fault(at=0.0, deed=Deed.RESTART, role=role, name=wish.names(role)[0], manner=manner, seconds=away)


# ── kills and freezes: one at each tick ──


def _ticks(wish: Wish, chance: Random) -> Iterator[float]:
    number = 1
    while (at := number * wish.every) <= wish.last:
        yield round(max(at + chance.uniform(-JITTER, JITTER) * wish.every, wish.lead), 1)
        number += 1


def _next(wish: Wish, chance: Random, at: float, before: Sequence[Fault]) -> Fault | None:
    """One of the deeds that were done least so far and that may be done now."""
    deeds = [(Deed.KILL, role) for role in wish.kill] + [(Deed.FREEZE, role) for role in wish.freeze]
    chance.shuffle(deeds)
    done = [(fault.deed, fault.role) for fault in before]
    for deed, role in sorted(deeds, key=done.count):
        seconds = _frozen(chance, done.count((deed, role))) if deed is Deed.FREEZE else 0.0
        fault = Fault(at=at, deed=deed, role=role, name="", seconds=seconds)
        if at + seconds <= wish.last and (aimed := _aimed(wish, chance, fault, before)):
            return aimed
    return None


def _frozen(chance: Random, before: int) -> float:
    """Long and short in turn."""
    return round(chance.uniform(*FREEZE_SECONDS[before % 2]), 1)


def _aimed(wish: Wish, chance: Random, fault: Fault, others: Sequence[Fault]) -> Fault | None:
    """At a process that is well, so that one more of its role is left; None where that cannot be."""
    names = wish.names(fault.role)
    if fault.role in SERVICES:
        return fault
    well = [name for name in names if not any(_meet(fault, other) for other in others if other.name == name)]
    if not well or (len(well) == 1 and len(names) > 1):
        return None
    return msgspec.structs.replace(fault, name=chance.choice(well))


def _meet(one: Fault, other: Fault) -> bool:
    return one.at < other.recovered and other.at < one.recovered
