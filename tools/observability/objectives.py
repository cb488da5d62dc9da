"""What people are promised, as objectives over 30 days, and how fast the budget of exceptions may burn.

Two windows for each speed, after Google's Site Reliability Workbook (chapter 5): the long one tells that it matters,
the short one that it is still going on, so that an alert ends soon after its cause.
"""

from collections.abc import Callable, Iterator
from typing import Final

import msgspec

from tools.observability.rules import DAY, HOUR, MINUTE, Alert, Group, Recording, Scale, Severity, Term, written

OUR_FAULT: Final = 'state="failed",code!="prompt_too_long"'
"""Failed runs, but for those whose question no model could have read. A stopped answer is what its reader wanted."""
NOT_ACCEPTED: Final = 'code=~"store_unavailable|storage_full|bus_unavailable|overloaded"'
"""Requests that were in order and that we could not take."""
FIRST_TOKEN_SECONDS: Final = 2.5
"""A bucket's bound. After Nielsen a wait of one second does not interrupt a thought and one of ten loses the reader; in
between lies what a hosted model takes for its first words where the queue is short."""
IN_TIME: Final = f'le="{FIRST_TOKEN_SECONDS}"'
FEWEST: Final = 5
"""So few people must have felt it: in a quiet night one failure of three is no reason to get up."""


class Objective(msgspec.Struct, frozen=True, kw_only=True):
    """``target`` of all (events a second over a window) are not ``bad``."""

    name: str
    alert: str
    target: float
    all: Callable[[str], str]
    bad: Callable[[str], str]
    summary: str
    description: str

    @property
    def budget(self) -> float:
        return round(1 - self.target, 6)

    def rate(self, what: str, seconds: float) -> str:
        """The recorded series: ``what`` is ``all`` or ``bad``. Named for the window as it is in production."""
        return f"prosa:{self.name}_{what}:rate{written(round(seconds * 1000))}"

    def ratio(self, seconds: float) -> str:
        return f"{self.rate('bad', seconds)} / {self.rate('all', seconds)}"


class Burn(msgspec.Struct, frozen=True):
    """``factor`` times as fast as what would use up the budget in just 30 days."""

    speed: str
    factor: float
    long: float
    short: float
    hold: float
    severity: Severity


BURNS: Final = (
    Burn("fast", 14.4, HOUR, 5 * MINUTE, 2 * MINUTE, "page"),
    Burn("slow", 6, 6 * HOUR, 30 * MINUTE, 15 * MINUTE, "page"),
    Burn("leak", 1, 3 * DAY, 6 * HOUR, HOUR, "ticket"),
)
BASE: Final = 5 * MINUTE
"""The window of the rates of which the longer ones are means: days of raw samples are never read again."""


def _sum(metric: str, labels: str, window: str) -> str:
    """A label that nothing has had yet is no series, and that is 0."""
    return f"(sum(rate({metric}{labels and f'{{{labels}}}'}[{window}])) or vector(0))"


OBJECTIVES: Final = (
    Objective(
        name="answers",
        alert="ProsaAnswersFailing",
        target=0.999,
        all=lambda w: f"{_sum('prosa_runs_ended_total', '', w)} + {_sum('prosa_refused_total', NOT_ACCEPTED, w)}",
        bad=lambda w: (
            f"{_sum('prosa_runs_ended_total', OUR_FAULT, w)} + {_sum('prosa_refused_total', NOT_ACCEPTED, w)}"
        ),
        summary="People do not get their answers",
        description="{{ $value | humanizePercentage }} of messages were not accepted or their answers failed, "
        "by our fault. The objective is 99.9 % over 30 days.",
    ),
    Objective(
        name="first_tokens",
        alert="ProsaFirstTokenSlow",
        target=0.95,
        all=lambda w: _sum("prosa_first_token_seconds_count", "", w),
        bad=lambda w: (
            f"{_sum('prosa_first_token_seconds_count', '', w)} - {_sum('prosa_first_token_seconds_bucket', IN_TIME, w)}"
        ),
        summary="People wait too long for the first words",
        description="{{ $value | humanizePercentage }} of answers began later than "
        f"{FIRST_TOKEN_SECONDS} s after they were queued. The objective is 5 % over 30 days.",
    ),
)


def windows() -> list[float]:
    return sorted({window for burn in BURNS for window in (burn.long, burn.short)})


def recordings(scale: Scale) -> Group:
    return Group("prosa-objectives", 15, tuple(rule for one in OBJECTIVES for rule in _rates(one, scale)))


def _rates(objective: Objective, scale: Scale) -> Iterator[Recording]:
    yield Recording(objective.rate("all", BASE), objective.all(scale.span(BASE)))
    yield Recording(objective.rate("bad", BASE), objective.bad(scale.span(BASE)))
    for window in windows():
        if window == BASE:
            continue
        for what in ("all", "bad"):
            mean = f"avg_over_time({objective.rate(what, BASE)}[{scale.span(window)}])"
            yield Recording(objective.rate(what, window), mean)


def burning(scale: Scale) -> Group:
    alerts = tuple(_burning(objective, burn, scale) for objective in OBJECTIVES for burn in BURNS)
    return Group("prosa-burn-rates", 15, alerts)


def _burning(objective: Objective, burn: Burn, scale: Scale) -> Alert:
    bound = f"> {objective.budget * burn.factor:g}"
    events = f"{objective.rate('bad', burn.long)} * {scale.seconds(burn.long):g}"
    return Alert(
        name=objective.alert,
        severity=burn.severity,
        summary=objective.summary,
        description=objective.description,
        terms=(
            Term(objective.ratio(burn.long), bound),
            Term(objective.ratio(burn.short), bound),
            Term(events, f">= {FEWEST}"),
        ),
        hold=burn.hold,
        labels=(("burn", burn.speed),),
    )
