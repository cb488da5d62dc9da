"""What a dashboard consists of, before Grafana's own shape of it."""

from typing import Final, Literal

import msgspec

Kind = Literal["lines", "areas", "number", "table"]
WIDTH: Final = 24
"""Of a row, in Grafana's units."""
HEIGHTS: Final[dict[Kind, int]] = {"lines": 8, "areas": 8, "number": 4, "table": 8}


class Query(msgspec.Struct, frozen=True):
    """``legend`` names each line by its labels (``{{model}}``)."""

    expr: str
    legend: str = ""


class Step(msgspec.Struct, frozen=True):
    """From this value on, this colour. A panel's first step has none: everything below the second."""

    value: float | None
    colour: Literal["green", "orange", "red"]


class Panel(msgspec.Struct, frozen=True, kw_only=True):
    """``unit`` is one of Grafana's (``s``, ``reqps``, ``percentunit``, ``short``). ``areas`` lie upon each other."""

    title: str
    description: str
    unit: str
    queries: tuple[Query, ...]
    kind: Kind = "lines"
    width: int = 12
    steps: tuple[Step, ...] = ()


class Row(msgspec.Struct, frozen=True):
    title: str
    panels: tuple[Panel, ...]


class Board(msgspec.Struct, frozen=True, kw_only=True):
    """A dashboard. Its ``uid`` is its address and the name of its file."""

    uid: str
    title: str
    description: str
    rows: tuple[Row, ...]


# ── queries that return again and again ──

WINDOW: Final = "$__rate_interval"
"""Grafana puts in a window that holds four scrapes at least."""


def rate(metric: str, by: str = "", labels: str = "") -> str:
    """Events a second."""
    return f"sum{_by(by)} (rate({metric}{_braces(labels)}[{WINDOW}]))"


def quantile(share: float, metric: str, by: str = "", labels: str = "") -> str:
    """Of a histogram without its ``_bucket``."""
    each = f"le, {by}" if by else "le"
    return f"histogram_quantile({share}, sum by ({each}) (rate({metric}_bucket{_braces(labels)}[{WINDOW}])))"


def mean(metric: str, by: str = "") -> str:
    return f"{rate(f'{metric}_sum', by)} / {rate(f'{metric}_count', by)}"


def spread(metric: str, labels: str = "") -> tuple[Query, ...]:
    """The median, and the slowest twentieth and hundredth."""
    return tuple(Query(quantile(share, metric, labels=labels), name) for share, name in SHARES)


SHARES: Final = ((0.5, "median"), (0.95, "p95"), (0.99, "p99"))


def _by(labels: str) -> str:
    return f" by ({labels})" if labels else ""


def _braces(labels: str) -> str:
    return f"{{{labels}}}" if labels else ""
