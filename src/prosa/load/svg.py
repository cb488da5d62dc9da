"""A small chart as SVG text: lines over two axes, readable on light and on dark ground. Pure."""

import math
from collections.abc import Iterator, Sequence
from html import escape
from typing import Final

import msgspec

WIDTH: Final = 720
HEIGHT: Final = 360
LEFT: Final = 64
RIGHT: Final = 28
TOP: Final = 44
BOTTOM: Final = 48
TICKS: Final = 6
POINTS: Final = 1500
COLOURS: Final = ("#2f7ed8", "#e0761b", "#2a9d5c", "#c2417c", "#8467d7", "#8a8d31", "#1c9aa8", "#b3503a")

Point = tuple[float, float]


class Line(msgspec.Struct, frozen=True):
    """``filled``: as an area down to the axis."""

    name: str
    points: Sequence[Point]
    filled: bool = False


class Chart(msgspec.Struct, frozen=True):
    """``logarithmic``: the horizontal axis; points at or below zero are left out there."""

    title: str
    across: str
    up: str
    lines: Sequence[Line]
    logarithmic: bool = False
    top: float | None = None


class _Scale(msgspec.Struct, frozen=True):
    low: float
    high: float
    start: float
    end: float
    logarithmic: bool = False

    def at(self, value: float) -> float:
        low, high, here = (self._flat(number) for number in (self.low, self.high, value))
        return self.start + (self.end - self.start) * (here - low) / (high - low)

    def _flat(self, value: float) -> float:
        return math.log10(value) if self.logarithmic else value

    def ticks(self) -> list[float]:
        if self.logarithmic:
            first, last = math.floor(math.log10(self.low)), math.ceil(math.log10(self.high))
            return [10.0**power for power in range(first, last + 1)]
        step = _step((self.high - self.low) / TICKS)
        count = math.floor((self.high - self.low) / step + 1e-9)
        return [self.low + step * number for number in range(count + 1)]


def svg(chart: Chart) -> str:
    """The chart as a document of its own."""
    lines = [_drawable(line, chart.logarithmic) for line in chart.lines]
    across, up = _across(lines, chart.logarithmic), _up(lines, chart.top)
    body = "\n".join([*_axes(chart, across, up), *_lines(lines, across, up), *_legend(lines, 24 + 7 * len(chart.up))])
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" '
        f'role="img" font-family="system-ui, sans-serif" font-size="12">\n<title>{escape(chart.title)}</title>\n'
        "<style>.ground{fill:#ffffff}.ink{fill:#24292f}.rule{stroke:#8884;stroke-width:1}"
        "@media (prefers-color-scheme:dark){.ground{fill:#0d1117}.ink{fill:#e6edf3}}</style>\n"
        f'<rect class="ground" width="{WIDTH}" height="{HEIGHT}" rx="6"/>\n{body}\n</svg>\n'
    )


def _drawable(line: Line, logarithmic: bool) -> Line:
    """Without what has no place on the axis, and without more points than there are dots."""
    points = [point for point in line.points if point[0] > 0 or not logarithmic]
    step = max(math.ceil(len(points) / POINTS), 1)
    kept = points[::step] + (points[-1:] if (len(points) - 1) % step else [])
    return Line(line.name, kept, line.filled)


def _across(lines: Sequence[Line], logarithmic: bool) -> _Scale:
    values = [x for line in lines for x, _ in line.points] or [1.0]
    low, high = min(values), max(values)
    if logarithmic:
        low, high = 10.0 ** math.floor(math.log10(low)), 10.0 ** math.ceil(math.log10(high))
    else:
        low = min(low, 0.0)
    return _Scale(low, high if high > low else low * 10 or 1.0, LEFT, WIDTH - RIGHT, logarithmic)


def _up(lines: Sequence[Line], top: float | None) -> _Scale:
    highest = top or max((y for line in lines for _, y in line.points), default=1.0) or 1.0
    step = _step(highest / TICKS)
    return _Scale(0.0, highest if top else step * math.ceil(highest / step), HEIGHT - BOTTOM, TOP)


def _step(least: float) -> float:
    """The next of 1, 2, 5, 10 … above."""
    if least <= 0:
        return 1.0
    power: float = 10.0 ** math.floor(math.log10(least))
    return next(power * factor for factor in (1, 2, 5, 10) if power * factor >= least * 0.999)


def _axes(chart: Chart, across: _Scale, up: _Scale) -> Iterator[str]:
    yield _text(LEFT, 20, chart.title, size=15)
    yield _text(WIDTH - RIGHT, HEIGHT - 10, chart.across, anchor="end")
    yield _text(8, TOP - 8, chart.up)
    for tick in up.ticks():
        y = up.at(tick)
        yield f'<line class="rule" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
        yield _text(LEFT - 6, y + 4, f"{tick:g}", anchor="end")
    for tick in across.ticks():
        x = across.at(tick)
        yield f'<line class="rule" x1="{x:.1f}" x2="{x:.1f}" y1="{TOP}" y2="{HEIGHT - BOTTOM}"/>'
        yield _text(x, HEIGHT - BOTTOM + 16, f"{tick:g}", anchor="middle")


def _lines(lines: Sequence[Line], across: _Scale, up: _Scale) -> Iterator[str]:
    for line, colour in zip(lines, _colours(len(lines)), strict=True):
        if not line.points:
            continue
        dots = [f"{across.at(x):.1f},{up.at(y):.1f}" for x, y in line.points]
        if line.filled:
            first, last, floor = dots[0].split(",")[0], dots[-1].split(",")[0], f"{up.at(0):.1f}"
            yield f'<polygon points="{first},{floor} {" ".join(dots)} {last},{floor}" fill="{colour}" opacity="0.25"/>'
        yield f'<polyline points="{" ".join(dots)}" fill="none" stroke="{colour}" stroke-width="1.8"/>'


def _legend(lines: Sequence[Line], x: float) -> Iterator[str]:
    if len(lines) < 2:
        return
    for line, colour in zip(lines, _colours(len(lines)), strict=True):
        yield f'<rect x="{x:.0f}" y="{TOP - 16}" width="10" height="10" rx="2" fill="{colour}"/>'
        yield _text(x + 14, TOP - 7, line.name)
        x += 30 + 7 * len(line.name)


def _colours(count: int) -> Iterator[str]:
    return (COLOURS[number % len(COLOURS)] for number in range(count))


def _text(x: float, y: float, text: str, *, anchor: str = "start", size: int = 12) -> str:
    return f'<text class="ink" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}">{escape(text)}</text>'
