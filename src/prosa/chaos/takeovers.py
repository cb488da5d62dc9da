"""How long those who watched had to wait: from a blow to the first frame of the next attempt. Pure."""

from collections.abc import Iterable, Iterator, Sequence
from enum import StrEnum
from itertools import pairwise
from typing import Final
from uuid import UUID

import msgspec

from prosa.chaos.ledger import Blow
from prosa.chaos.schedule import SERVICES, Deed
from prosa.cluster.supervise import Role
from prosa.core.policy import Limits
from prosa.load.answer import Answer
from prosa.load.histogram import Spread, quantile, spread


class Apart(StrEnum):
    """Why a takeover says nothing of how fast it can be."""

    DATABASE = "the database was away or just back"
    BROKER = "the broker was away or just back"
    GATEWAY = "a gateway was away or just back"
    """So that who watches may have been on the way to another one."""
    ROOM = "no slots were free"


JUST_SECONDS: Final = Limits().lease_seconds
"""Behind a return: nobody takes anyone for dead who could not write a heartbeat, and consumers connect again."""

AWAY: Final = {Role.DATABASE: Apart.DATABASE, Role.BROKER: Apart.BROKER, Role.GATEWAY: Apart.GATEWAY}


class Takeover(msgspec.Struct, frozen=True):
    """A run that another worker went on with. ``seconds``: from the blow, which fell at ``at``, to the first frame of
    the next attempt."""

    run: UUID
    at: float
    attempt: int
    deed: Deed
    service: Role | None
    seconds: float
    apart: Apart | None = None


class Group(msgspec.Struct, frozen=True):
    """Takeovers after one kind of blow, in milliseconds.

    ``count``: those with free slots and all services and gateways up, of which the times are. ``apart``: the others, by
    why they are; ``slowest_apart`` of those.
    """

    count: int
    times: Spread
    apart: dict[str, int]
    slowest_apart: float | None


def takeovers(blows: Sequence[Blow], answers: Iterable[Answer]) -> tuple[Takeover, ...]:
    """Those of all runs that a worker held when it was hit, where a later one was seen; ``blows`` in their order."""
    later = {answer.run: answer.takeovers for answer in answers if answer.run is not None and answer.takeovers}
    # Who drains gives back what nobody waits for. Who was hit twice and still held the run outlived the first blow.
    hit = {held: blow for blow in blows if blow.fault.deed is not Deed.RESTART for held in blow.held}
    found: list[Takeover] = []
    for held, blow in hit.items():
        seen = [one.at for one in later.get(held.run, ()) if one.attempt > held.attempt and one.at > blow.at]
        if seen:
            found.append(_takeover(blow, held.run, held.attempt, min(seen), blows))
    return tuple(found)


def _takeover(blow: Blow, run: UUID, attempt: int, seen_at: float, blows: Sequence[Blow]) -> Takeover:
    return Takeover(
        run=run,
        at=blow.at,
        attempt=attempt,
        deed=blow.fault.deed,
        service=blow.fault.service,
        seconds=seen_at - blow.at,
        apart=_apart(blow, seen_at, blows),
    )


def _apart(blow: Blow, seen_at: float, blows: Sequence[Blow]) -> Apart | None:
    for role, why in AWAY.items():
        away = [other for other in blows if other.fault.role is role]
        if any(other.at < seen_at and blow.at < (other.over_at or seen_at) + JUST_SECONDS for other in away):
            return why
    return None if blow.room else Apart.ROOM


def kinds(found: Iterable[Takeover]) -> dict[str, Group]:
    """By what was done: ``kill``, ``freeze``, ``cut from the database``, ``cut from the broker``."""
    kept: dict[str, list[Takeover]] = {}
    for one in found:
        kept.setdefault(f"cut from the {one.service}" if one.service else one.deed.value, []).append(one)
    return {name: _group(kept[name]) for name in sorted(kept)}


def _group(found: Sequence[Takeover]) -> Group:
    apart: dict[str, int] = {}
    for one in found:
        if one.apart is not None:
            apart[one.apart.value] = apart.get(one.apart.value, 0) + 1
    slow = [one.seconds for one in found if one.apart is not None]
    return Group(
        count=len(found) - len(slow),
        times=spread(one.seconds for one in found if one.apart is None),
        apart=apart,
        slowest_apart=round(max(slow) * 1000, 2) if slow else None,
    )


# ── outages of a service ──


class Outage(msgspec.Struct, frozen=True):
    """A service was away for ``seconds``, from ``at`` seconds after the start. Then, in seconds from its return: the
    first end of a run, the first acknowledgement; and of what had been accepted ``meanwhile``, the first text: at the
    median, and the last."""

    what: str
    at: float
    seconds: float
    meanwhile: int
    first_accepted: float | None
    first_end: float | None
    median_first_text: float | None
    last_first_text: float | None


def outages(blows: Iterable[Blow], answers: Sequence[Answer], began: float) -> tuple[Outage, ...]:
    return tuple(_outages(blows, answers, began))


def _outages(blows: Iterable[Blow], answers: Sequence[Answer], began: float) -> Iterator[Outage]:
    accepted = [answer.accepted_at for answer in answers if answer.accepted_at is not None]
    ended = [answer.ended_at for answer in answers if answer.ended_at is not None]
    for blow in blows:
        if blow.fault.role not in SERVICES or blow.over_at is None:
            continue
        waited = [answer for answer in answers if blow.at < (answer.accepted_at or 0.0) < blow.over_at]
        late = [max(answer.first_at - blow.over_at, 0.0) for answer in waited if answer.first_at is not None]
        yield Outage(
            what=f"{blow.fault.name} {blow.fault.manner}".strip(),
            at=round(blow.at - began, 2),
            seconds=round(blow.over_at - blow.at, 2),
            meanwhile=len(waited),
            first_accepted=_next(accepted, blow.over_at),
            first_end=_next(ended, blow.over_at),
            median_first_text=_rounded(quantile(late, 0.5)),
            last_first_text=_rounded(quantile(late, 1.0)),
        )


def _next(times: Iterable[float], after: float) -> float | None:
    """Seconds to the first of these times behind another."""
    later = [at - after for at in times if at >= after]
    return _rounded(min(later, default=None))


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 2)


def longest_silence(answers: Iterable[Answer], began: float) -> float:
    """The longest time in which no run ended, from the start to the last end."""
    ends = sorted([began, *(answer.ended_at for answer in answers if answer.ended_at is not None)])
    return round(max((two - one for one, two in pairwise(ends)), default=0.0), 2)
