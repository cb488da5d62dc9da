"""What a siege found: pure, from what people brought home, the blows and the database to the figures."""

from collections.abc import Iterable, Sequence
from itertools import pairwise

import msgspec

from prosa.chaos.ledger import Blow
from prosa.chaos.rows import Row
from prosa.chaos.schedule import Wish
from prosa.chaos.takeovers import Group, Outage, Takeover, kinds, longest_silence, outages, takeovers
from prosa.chaos.workload import Workload
from prosa.load import report as load
from prosa.load.answer import Answer, Fate
from prosa.load.crowd import Harvest
from prosa.load.histogram import Spread, spread
from prosa.load.report import Disturbance, Generator, Process, Verdict

EVIDENCE_KEPT = 50


class Dealt(msgspec.Struct, frozen=True):
    """A fault as it was done: ``at`` and ``over`` in seconds from the start; ``held``, replies under way; and how long
    those that others went on with were without a frame, in milliseconds."""

    at: float
    planned_at: float
    what: str
    name: str
    pid: int | None
    over: float | None
    held: int
    room: bool
    taken_over: int
    times: Spread


class Stored(msgspec.Struct, frozen=True):
    """Every run as the database has it. ``unfinished`` have no end; ``differing`` ended otherwise than who watched
    was told; ``strange`` are nobody's; ``overlapping`` began before the one ahead of them in their chat had ended
    (L5). ``attempts``: how many runs needed so many."""

    runs: int
    unfinished: int
    differing: int
    strange: int
    overlapping: int
    attempts: dict[str, int]

    @property
    def flawless(self) -> bool:
        return self.unfinished + self.differing + self.strange + self.overlapping == 0


class Evidence(msgspec.Struct, frozen=True):
    """A message with a flaw or without an answer; ``asked`` and ``ended`` in seconds from the start, and which
    blows fell in between."""

    message: str
    chat: str
    run: str | None
    person: int
    fate: Fate
    code: str
    findings: tuple[str, ...]
    asked: float
    ended: float | None
    blows: tuple[str, ...]


class Machine(msgspec.Struct, frozen=True):
    """Where it ran: cores, and how many processes wanted to run, on the average of a minute, before and behind."""

    cores: int
    load_before: float
    load_after: float


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """Everything. The same ``seed`` and ``wish`` give the same schedule."""

    command: str
    seed: int
    wish: Wish
    plan: Workload
    slots: int
    seconds: float
    verdict: Verdict
    stored: Stored
    takeovers: dict[str, Group]
    outages: tuple[Outage, ...]
    disturbance: Disturbance
    longest_silence: float
    replies_per_second: float
    processes: tuple[Process, ...]
    generator: Generator
    machine: Machine
    dealt: tuple[Dealt, ...]
    evidence: tuple[Evidence, ...]

    @property
    def flawless(self) -> bool:
        """The promise was kept."""
        return self.verdict.flawless and self.stored.flawless


class Siege(msgspec.Struct, frozen=True, kw_only=True):
    """What was asked for, and what was brought home."""

    command: str
    seed: int
    wish: Wish
    plan: Workload
    slots: int
    harvest: Harvest
    blows: Sequence[Blow]
    rows: Sequence[Row]
    processes: tuple[Process, ...]
    machine: Machine


def report(siege: Siege) -> Report:
    harvest, began = siege.harvest, siege.harvest.began
    answers = harvest.answers
    flow = load.flow(harvest, siege.plan)
    found = takeovers(siege.blows, answers)
    return Report(
        command=siege.command,
        seed=siege.seed,
        wish=siege.wish,
        plan=siege.plan,
        slots=siege.slots,
        seconds=flow.seconds,
        verdict=load.verdict(answers, harvest.tally, harvest.unread_chats),
        stored=stored(siege.rows, answers),
        takeovers=kinds(found),
        outages=outages(siege.blows, answers, began),
        disturbance=load.disturbance(answers, harvest.tally),
        longest_silence=longest_silence(answers, began),
        replies_per_second=flow.replies_per_second,
        processes=siege.processes,
        generator=load.generator(harvest, 1),
        machine=siege.machine,
        dealt=tuple(_dealt(blow, began, found) for blow in siege.blows),
        evidence=evidence(answers, siege.blows, began),
    )


def _dealt(blow: Blow, began: float, found: Iterable[Takeover]) -> Dealt:
    seconds = [one.seconds for one in found if one.at == blow.at]
    return Dealt(
        at=round(blow.at - began, 2),
        planned_at=blow.fault.at,
        what=blow.fault.sentence(),
        name=blow.fault.name,
        pid=blow.pid,
        over=None if blow.over_at is None else round(blow.over_at - began, 2),
        held=len(blow.held),
        room=blow.room,
        taken_over=len(seconds),
        times=spread(seconds),
    )


def stored(rows: Sequence[Row], answers: Iterable[Answer]) -> Stored:
    """Hold the database's rows against what people were told."""
    told = {answer.id: answer for answer in answers}
    attempts: dict[str, int] = {}
    for row in rows:
        attempts[str(row.attempt)] = attempts.get(str(row.attempt), 0) + 1
    return Stored(
        runs=len(rows),
        unfinished=sum(row.ended_at is None and _waited_for(told.get(row.request_id)) for row in rows),
        differing=sum(_differs(row, told[row.request_id]) for row in rows if row.request_id in told),
        strange=sum(row.request_id not in told for row in rows),
        overlapping=_overlapping(rows),
        attempts=dict(sorted(attempts.items(), key=lambda item: int(item[0]))),
    )


def _waited_for(answer: Answer | None) -> bool:
    return answer is None or answer.fate is not Fate.ABANDONED


def _overlapping(rows: Iterable[Row]) -> int:
    ordered = sorted(rows, key=lambda row: (row.chat_id, row.ordinal))
    return sum(one.chat_id == two.chat_id and _overlap(one, two) for one, two in pairwise(ordered))


def _overlap(one: Row, two: Row) -> bool:
    return two.started_at is not None and (one.ended_at is None or two.started_at < one.ended_at)


_STATES = {Fate.ANSWERED: ("done", "stopped"), Fate.FAILED: ("failed",)}


def _differs(row: Row, answer: Answer) -> bool:
    if answer.fate not in _STATES:
        return False
    seen = (answer.run, answer.attempts, answer.characters)
    return row.state not in _STATES[answer.fate] or seen != (row.id, row.attempt, len(row.text))


def evidence(answers: Iterable[Answer], blows: Sequence[Blow], began: float) -> tuple[Evidence, ...]:
    """The first messages that were not simply answered, or left out by who stopped the siege."""
    fine = (Fate.ANSWERED, Fate.ABANDONED)
    bad = [answer for answer in answers if answer.findings or answer.fate not in fine]
    return tuple(_evidence(answer, blows, began) for answer in bad[:EVIDENCE_KEPT])


def _evidence(answer: Answer, blows: Sequence[Blow], began: float) -> Evidence:
    end = answer.ended_at
    meanwhile = [blow for blow in blows if answer.asked_at < blow.at and (end is None or blow.at < end)]
    return Evidence(
        message=str(answer.id),
        chat=str(answer.chat),
        run=None if answer.run is None else str(answer.run),
        person=answer.person,
        fate=answer.fate,
        code=answer.code,
        findings=tuple(f"{finding.flaw}: {finding.what}" for finding in answer.findings),
        asked=round(answer.asked_at - began, 2),
        ended=None if end is None else round(end - began, 2),
        blows=tuple(f"{blow.at - began:.1f} s {blow.fault.sentence()}" for blow in meanwhile),
    )
