"""The plots of a bench: what the figures hide. Pure."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Final

from prosa.load.answer import Answer, Fate
from prosa.load.crowd import Harvest
from prosa.load.meters import Sample
from prosa.load.plan import Plan
from prosa.load.svg import Chart, Line, Point, svg

SHORTEST_SECONDS: Final = 0.3
"""Between two samples: the kernel counts CPU time in hundredths of a second."""


def plots(plan: Plan, harvest: Harvest, samples: Sequence[Sample]) -> dict[str, str]:
    """Documents by file name."""
    charts = {
        "first.svg": _first(plan, harvest.answers),
        "gaps.svg": _gaps(harvest),
        "over-time.svg": _over_time(harvest),
        "latency-over-time.svg": _latency_over_time(plan, harvest),
    }
    if samples:
        charts["cpu.svg"] = _cpu(samples, harvest.began)
        charts["memory.svg"] = _memory(samples, harvest.began)
    return {name: svg(chart) for name, chart in charts.items()}


def _first(plan: Plan, answers: Sequence[Answer]) -> Chart:
    answered = [answer for answer in answers if answer.fate is Fate.ANSWERED]
    accepted = [answer.accepted_at - answer.asked_at for answer in answered if answer.accepted_at is not None]
    first = [answer.first_at - answer.asked_at - plan.ttft for answer in answered if answer.first_at is not None]
    whole = [answer.ended_at - answer.asked_at - plan.own_seconds for answer in answered if answer.ended_at is not None]
    lines = [
        Line("to the acknowledgement", _cumulative(accepted)),
        Line("added to the first text", _cumulative(first)),
        Line("added to the whole reply", _cumulative(whole)),
    ]
    return Chart("Time that Prosa adds", "milliseconds", "% of all replies", lines, logarithmic=True, top=100)


def _gaps(harvest: Harvest) -> Chart:
    points = [(seconds * 1000, share * 100) for seconds, share in harvest.tally.gaps.steps()]
    lines = [Line("gaps", points)]
    return Chart(
        "Time between two texts of one reply", "milliseconds", "% of all gaps", lines, logarithmic=True, top=100
    )


def _over_time(harvest: Harvest) -> Chart:
    seconds = harvest.tally.seconds
    span = range(min(seconds, default=0), max(seconds, default=0) + 1)
    told = [(second, seconds[second]) for second in span if second in seconds]
    start = harvest.began
    lines = [
        Line("replies that ended", [(second - start, float(count.ends)) for second, count in told], filled=True),
        Line("messages accepted", [(second - start, float(count.accepted)) for second, count in told]),
    ]
    return Chart("Messages a second", "seconds from the start", "a second", _clipped(lines))


def _latency_over_time(plan: Plan, harvest: Harvest) -> Chart:
    told = sorted(
        (answer.asked_at - harvest.began, (answer.first_at - answer.asked_at - plan.ttft) * 1000)
        for answer in harvest.answers
        if answer.first_at is not None
    )
    lines = _clipped([Line("added to the first text", told)])
    return Chart("Time added to the first text, by the time of the question", "seconds", "milliseconds", lines)


def _cpu(samples: Sequence[Sample], began: float) -> Chart:
    names = dict.fromkeys(name for sample in samples for name in sample.used)
    lines = [Line(name, _rates(samples, name, began)) for name in names]
    return Chart("CPU of each process", "seconds from the start", "% of one core", _clipped(lines))


def _rates(samples: Sequence[Sample], name: str, began: float) -> list[Point]:
    seen = [sample for sample in samples if name in sample.used]
    pairs = pairwise(seen)
    return [
        (
            two.at - began,
            max(100 * (two.used[name].cpu_seconds - one.used[name].cpu_seconds) / (two.at - one.at), 0.0),
        )
        for one, two in pairs
        if two.at - one.at > SHORTEST_SECONDS
    ]


def _memory(samples: Sequence[Sample], began: float) -> Chart:
    names = dict.fromkeys(name for sample in samples for name in sample.used)
    lines = [
        Line(name, [(one.at - began, one.used[name].resident_bytes / 2**20) for one in samples if name in one.used])
        for name in names
    ]
    return Chart("Memory of each process", "seconds from the start", "MB", _clipped(lines))


def _clipped(lines: Sequence[Line]) -> list[Line]:
    """From the start on: what was sampled a moment before stands at its beginning."""
    return [Line(line.name, [(max(x, 0.0), y) for x, y in line.points], line.filled) for line in lines]


def _cumulative(seconds: Sequence[float]) -> list[Point]:
    ordered = sorted(seconds)
    return [(value * 1000, 100 * (number + 1) / len(ordered)) for number, value in enumerate(ordered)]
