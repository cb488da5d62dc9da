"""What a bench found: pure, from what the people brought home to the figures."""

from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Final

import msgspec

from prosa.load.answer import Answer, Fate
from prosa.load.crowd import Harvest
from prosa.load.histogram import Spread, spread, spread_of
from prosa.load.meters import Sample
from prosa.load.plan import Plan
from prosa.load.reading import Finding, Flaw
from prosa.load.tally import Tally

LAG_LIMIT_MS: Final = 20.0
EVIDENCE_KEPT: Final = 50


class Evidence(msgspec.Struct, frozen=True):
    """A message with a flaw, or without an answer."""

    message: str
    chat: str
    person: int
    fate: Fate
    code: str
    findings: tuple[Finding, ...]


class Verdict(msgspec.Struct, frozen=True):
    """How many messages there were and what became of them; a message may have several flaws."""

    asked: int
    accepted: int
    answered: int
    lost: int
    duplicated: int
    corrupted: int
    reordered: int
    failed: int
    refused: int
    unaccepted: int
    abandoned: int
    unreadable_frames: int
    unread_chats: int

    @property
    def flawless(self) -> bool:
        """The promise was kept."""
        broken = self.lost + self.duplicated + self.corrupted + self.reordered
        return broken + self.unreadable_frames + self.unread_chats == 0

    @property
    def good(self) -> bool:
        """Flawless, and every message was answered."""
        return self.flawless and self.failed + self.refused + self.unaccepted == 0


class Times(msgspec.Struct, frozen=True):
    """In milliseconds. ``accepted``: from the question to its acknowledgement. ``first_added``: from the question to
    the first text, without the model's own. ``total_added``: to the end, without the model's own time. ``gaps``:
    between two texts of one reply, the model's own pace included."""

    accepted: Spread
    first_added: Spread
    total_added: Spread
    gaps: Spread


class Flow(msgspec.Struct, frozen=True):
    """``replies_per_second``: ends over the time from the start to the last end; ``best_second``: most in one."""

    seconds: float
    replies: int
    replies_per_second: float
    best_second: int
    deltas: int
    deltas_per_second: float
    characters: int
    words: int


class Disturbance(msgspec.Struct, frozen=True):
    """What people lived through. ``takeovers``: later attempts that were seen; ``taken_back``: most characters that
    one of them withdrew. ``asked_again``: text that did not fit and was watched again."""

    connections: int
    closes: dict[str, int]
    refusals: dict[str, int]
    failures: dict[str, int]
    sent_again: int
    probes: int
    asked_again: int
    takeovers: int
    taken_back: int


class Process(msgspec.Struct, frozen=True):
    """One process with its children: CPU seconds during the load, memory at the start, at the end, and at most."""

    name: str
    cpu_seconds: float
    cpu_percent: float
    megabytes_before: float
    megabytes_after: float
    megabytes_most: float


class Cost(msgspec.Struct, frozen=True):
    """``broker_messages``: those that the processes published during the load, where their metrics tell."""

    processes: tuple[Process, ...]
    cpu_seconds: float
    cpu_seconds_per_1000_words: float | None
    broker_messages: float | None
    broker_messages_per_second: float | None


class Generator(msgspec.Struct, frozen=True):
    """The bench itself. ``limited``: it was late itself, so the figures are also its own."""

    processes: int
    cpu_seconds: float
    cpu_percent: float
    lag: Spread
    limited: bool


class Report(msgspec.Struct, frozen=True):
    """Everything. ``synced_commit``: what a bare synced commit costs on this disk, in milliseconds."""

    command: str
    urls: tuple[str, ...]
    plan: Plan
    verdict: Verdict
    times: Times
    flow: Flow
    disturbance: Disturbance
    cost: Cost
    generator: Generator
    synced_commit: Spread
    evidence: tuple[Evidence, ...]


def verdict(answers: Sequence[Answer], tally: Tally, unread_chats: int) -> Verdict:
    fates = Counter(answer.fate for answer in answers)
    flaws = Counter(flaw for answer in answers for flaw in answer.flaws)
    return Verdict(
        asked=len(answers),
        accepted=sum(answer.accepted_at is not None for answer in answers),
        answered=fates[Fate.ANSWERED],
        lost=flaws[Flaw.LOST],
        duplicated=flaws[Flaw.DUPLICATED],
        corrupted=flaws[Flaw.CORRUPTED],
        reordered=flaws[Flaw.REORDERED],
        failed=fates[Fate.FAILED],
        refused=fates[Fate.REFUSED],
        unaccepted=fates[Fate.UNACCEPTED],
        abandoned=fates[Fate.ABANDONED],
        unreadable_frames=tally.unreadable,
        unread_chats=unread_chats,
    )


def times(plan: Plan, answers: Iterable[Answer], tally: Tally) -> Times:
    answered = [answer for answer in answers if answer.fate is Fate.ANSWERED]
    return Times(
        accepted=spread(_since(answer, answer.accepted_at, 0.0) for answer in answered),
        first_added=spread(_since(answer, answer.first_at, plan.ttft) for answer in answered if answer.first_at),
        total_added=spread(_since(answer, answer.ended_at, plan.own_seconds) for answer in answered),
        gaps=spread_of(tally.gaps),
    )


def _since(answer: Answer, at: float | None, own: float) -> float:
    return (at or answer.asked_at) - answer.asked_at - own


def flow(harvest: Harvest, plan: Plan) -> Flow:
    ends = [answer.ended_at for answer in harvest.answers if answer.ended_at is not None]
    seconds = max(max(ends, default=harvest.ended) - harvest.began, 1e-9)
    tally, done = harvest.tally, sum(answer.fate is Fate.ANSWERED for answer in harvest.answers)
    return Flow(
        seconds=round(seconds, 2),
        replies=done,
        replies_per_second=round(done / seconds, 1),
        best_second=max((second.ends for second in tally.seconds.values()), default=0),
        deltas=tally.deltas,
        deltas_per_second=round(tally.deltas / seconds, 1),
        characters=tally.characters,
        words=done * plan.words,
    )


def disturbance(answers: Sequence[Answer], tally: Tally) -> Disturbance:
    takeovers = [takeover for answer in answers for takeover in answer.takeovers]
    return Disturbance(
        connections=tally.connections,
        closes=dict(sorted(tally.closes.items())),
        refusals=dict(sorted(tally.refusals.items())),
        failures=dict(Counter(answer.code for answer in answers if answer.fate in (Fate.FAILED, Fate.REFUSED))),
        sent_again=sum(max(answer.sends - 1, 0) for answer in answers),
        probes=tally.probes,
        asked_again=tally.asked_again,
        takeovers=len(takeovers),
        taken_back=max((takeover.taken_back for takeover in takeovers), default=0),
    )


def window(samples: Sequence[Sample], began: float, ended: float) -> Sequence[Sample]:
    """From the last sample before the load to the first one behind it: neither sign-in nor verification counts."""
    first = max((n for n, sample in enumerate(samples) if sample.at <= began), default=0)
    last = min((n for n, sample in enumerate(samples) if sample.at >= ended), default=len(samples) - 1)
    return samples[first : last + 1]


def processes(samples: Sequence[Sample]) -> tuple[Process, ...]:
    """Each process that was seen, over the time in which it was."""
    names = dict.fromkeys(name for sample in samples for name in sample.used)
    return tuple(_process(name, [sample for sample in samples if name in sample.used]) for name in names)


def _process(name: str, seen: Sequence[Sample]) -> Process:
    first, last = seen[0], seen[-1]
    held = [sample.used[name].resident_bytes / 2**20 for sample in seen]
    pairs = pairwise(seen)
    # A process that was started again begins at zero: what it has used by then counts whole.
    cpu = sum(_grown(one.used[name].cpu_seconds, two.used[name].cpu_seconds) for one, two in pairs)
    return Process(
        name=name,
        cpu_seconds=round(cpu, 2),
        cpu_percent=round(100 * cpu / max(last.at - first.at, 1e-9), 1),
        megabytes_before=round(held[0], 1),
        megabytes_after=round(held[-1], 1),
        megabytes_most=round(max(held), 1),
    )


def _grown(before: float, after: float) -> float:
    return after - before if after >= before else after


def cost(samples: Sequence[Sample], flow: Flow, published: float | None) -> Cost:
    rows = processes(samples)
    cpu = sum(row.cpu_seconds for row in rows)
    return Cost(
        processes=rows,
        cpu_seconds=round(cpu, 2),
        cpu_seconds_per_1000_words=round(1000 * cpu / flow.words, 4) if rows and flow.words else None,
        broker_messages=published,
        broker_messages_per_second=None if published is None else round(published / flow.seconds, 1),
    )


def generator(harvest: Harvest, count: int) -> Generator:
    lag = spread_of(harvest.lag)
    seconds = max(harvest.ended - harvest.began, 1e-9)
    return Generator(
        processes=count,
        cpu_seconds=round(harvest.cpu_seconds, 2),
        cpu_percent=round(100 * harvest.cpu_seconds / seconds, 1),
        lag=lag,
        limited=(lag.p99 or 0.0) > LAG_LIMIT_MS,
    )


def evidence(answers: Iterable[Answer]) -> tuple[Evidence, ...]:
    """The first messages that were not simply answered, or left out by who stopped the bench."""
    fine = (Fate.ANSWERED, Fate.ABANDONED)
    bad = [answer for answer in answers if answer.findings or answer.fate not in fine]
    return tuple(
        Evidence(str(one.id), str(one.chat), one.person, one.fate, one.code, one.findings)
        for one in bad[:EVIDENCE_KEPT]
    )
