"""The shapes of Prometheus' rules, and how spans of time are written and shortened in them."""

from typing import Final, Literal

import msgspec

Severity = Literal["page", "ticket"]
Joined = Literal["and", "or"]

UNITS: Final = ((86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1000, "s"), (1, "ms"))
MINUTE: Final = 60
HOUR: Final = 60 * MINUTE
DAY: Final = 24 * HOUR


class Scale(msgspec.Struct, frozen=True):
    """How long an hour is: 1 in production; 1/60 makes a minute of it, so that a test need not wait for days."""

    factor: float = 1.0

    def seconds(self, seconds: float) -> float:
        return seconds * self.factor

    def span(self, seconds: float) -> str:
        """As Prometheus writes it: in the largest unit of which it is a whole number."""
        return written(round(seconds * self.factor * 1000))


def written(milliseconds: int) -> str:
    size, unit = next((size, unit) for size, unit in UNITS if milliseconds % size == 0)
    return f"{milliseconds // size}{unit}"


class Recording(msgspec.Struct, frozen=True):
    """A query whose result is kept under a name."""

    record: str
    expr: str


class Term(msgspec.Struct, frozen=True):
    """A query that always has a value, and the bound beyond which that is bad (``> 0.5``)."""

    value: str
    bound: str

    @property
    def expr(self) -> str:
        return f"{self.value} {self.bound}"


class Alert(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody is told when its terms (all of them, or any) were bad for ``hold`` seconds.

    ``page``: people are without their answers, or soon will be, and somebody has to get up. ``ticket``: by day.
    """

    name: str
    severity: Severity
    summary: str
    description: str
    terms: tuple[Term, ...]
    joined: Joined = "and"
    hold: float = MINUTE
    labels: tuple[tuple[str, str], ...] = ()

    @property
    def expr(self) -> str:
        return f"\n{self.joined}\n".join(term.expr for term in self.terms)

    @property
    def runbook(self) -> str:
        """Where it stands in this repository."""
        return f"docs/runbooks/{self.name}.md"


class Group(msgspec.Struct, frozen=True):
    """Rules that are evaluated one after the other, every ``seconds``."""

    name: str
    seconds: float
    rules: tuple[Recording | Alert, ...]


def document(groups: tuple[Group, ...], scale: Scale) -> dict[str, object]:
    """A rule file's content."""
    return {"groups": [_group(group, scale) for group in groups]}


def _group(group: Group, scale: Scale) -> dict[str, object]:
    rules = [_alert(rule, scale) if isinstance(rule, Alert) else _recording(rule) for rule in group.rules]
    # Prometheus itself cannot look more often than it scrapes.
    return {"name": group.name, "interval": written(round(max(1, scale.seconds(group.seconds)) * 1000)), "rules": rules}


def _recording(rule: Recording) -> dict[str, object]:
    return {"record": rule.record, "expr": rule.expr}


def _alert(rule: Alert, scale: Scale) -> dict[str, object]:
    return {
        "alert": rule.name,
        "expr": rule.expr,
        "for": scale.span(rule.hold),
        "labels": {"severity": rule.severity, **dict(rule.labels)},
        "annotations": {"summary": rule.summary, "description": rule.description, "runbook": rule.runbook},
    }
