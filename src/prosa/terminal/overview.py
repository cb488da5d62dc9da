"""How an installation stands, as a gateway tells administrators, and how that looks in a terminal."""

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Final, TypeVar

import msgspec
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from prosa.terminal.screen import plain

BAR: Final = 12
"""Characters of a bar of slots."""
SHORT: Final = 6
"""Rows of queues and of gateways that are shown where there is little room."""
FRAME: Final = 9
"""Lines of a picture that are no rows: three at the top, three headings, three blank ones."""

T = TypeVar("T")


class Pool(msgspec.Struct, frozen=True):
    pool: str
    queued: int
    running: int
    slots: int
    slots_used: int
    oldest_seconds: float | None


class Gateway(msgspec.Struct, frozen=True):
    name: str
    host: str
    version: str
    alive_seconds: float
    alive: bool
    draining: bool
    sockets: int
    watched: int
    started_at: datetime | None = None


class Worker(msgspec.Struct, frozen=True):
    name: str
    host: str
    version: str
    alive_seconds: float
    alive: bool
    draining: bool
    slots: int
    slots_used: int
    pools: tuple[str, ...]
    drain_wanted: bool
    started_at: datetime | None = None


class Rates(msgspec.Struct, frozen=True):
    accepted_per_second: float | None
    answered_per_second: float | None
    failed_per_second: float | None
    first_token_p50_seconds: float | None
    first_token_p95_seconds: float | None
    run_p50_seconds: float | None
    run_p95_seconds: float | None


class Counts(msgspec.Struct, frozen=True):
    waiting: int
    queued: int
    running: int


class Overview(msgspec.Struct, frozen=True):
    """``GET /api/admin/overview``: docs/protocol.md."""

    now: datetime
    counts: Counts
    pools: tuple[Pool, ...]
    gateways: tuple[Gateway, ...]
    workers: tuple[Worker, ...]
    rates: Rates
    dead_letters: int | None


def picture(overview: Overview, url: str, *, height: int | None = None, problem: str | None = None) -> RenderableType:
    """``height``: lines that there are; None: as many as it takes. ``problem``: why this is not the newest."""
    room = None if height is None else max(height - FRAME, 3)
    pools, gateways, workers = _shares(overview, room)
    return Group(
        _title(overview, url, problem),
        _flow(overview),
        Text(""),
        _table(("queue", "in line", "oldest", "running", "slots"), _most(overview.pools, pools, _waiting), _pool),
        Text(""),
        _table(
            ("gateway", "sockets", "watched", "state", "host", "version", "up for"),
            _most(overview.gateways, gateways, lambda one: one.sockets),
            lambda one: _gateway(one, overview.now),
        ),
        Text(""),
        _table(
            ("worker", "slots", "state", "queues", "host", "version", "up for"),
            _most(overview.workers, workers, lambda one: (not one.alive, one.draining, one.slots_used)),
            lambda one: _worker(one, overview.now),
        ),
    )


def _shares(overview: Overview, room: int | None) -> tuple[int, int, int]:
    """Rows of queues, gateways and workers: the workers get what is left, and each has one at least."""
    wanted = (len(overview.pools), len(overview.gateways), len(overview.workers))
    if room is None or sum(wanted) <= room:
        return wanted
    pools = min(wanted[0], SHORT, max(room // 3, 1))
    gateways = min(wanted[1], SHORT, max((room - pools) // 2, 1))
    return pools, gateways, max(room - pools - gateways, 1)


def _most(rows: Sequence[T], room: int, loaded: Callable[[T], object]) -> tuple[Sequence[T], int]:
    """The most loaded that fit, and how many were left out. The line that says so takes the room of one."""
    ordered = sorted(rows, key=loaded, reverse=True)  # type: ignore[arg-type, unused-ignore] # numbers, or tuples of them
    if len(rows) <= room:
        return ordered, 0
    return ordered[: max(room - 1, 0)], len(rows) - max(room - 1, 0)


def _waiting(pool: Pool) -> tuple[int, int]:
    return pool.queued, pool.running


# ── parts ────────────────────────────────────────────────────────────────────────────────────────────────────


def _title(overview: Overview, url: str, problem: str | None) -> Text:
    title = Text("Prosa ", style="bold", no_wrap=True, overflow="ellipsis")
    title.append(f"at {url} · {overview.now.astimezone():%H:%M:%S}", style="not bold")
    if problem is not None:
        title.append(f" · {problem}", style="bold red")
    return title


def _flow(overview: Overview) -> Text:
    rates, counts = overview.rates, overview.counts
    dead = "the broker does not say" if overview.dead_letters is None else str(overview.dead_letters)
    lines = (
        f"accepted {_rate(rates.accepted_per_second)} · answered {_rate(rates.answered_per_second)} · "
        f"failed {_rate(rates.failed_per_second)} · first words {_seconds(rates.first_token_p50_seconds)}, "
        f"95 of 100 within {_seconds(rates.first_token_p95_seconds)}",
        f"running {counts.running} · queued {counts.queued} · waiting {counts.waiting} · dead letters {dead} · "
        f"answers take {_seconds(rates.run_p50_seconds)}, 95 of 100 within {_seconds(rates.run_p95_seconds)}",
    )
    return Text("\n".join(lines), no_wrap=True, overflow="ellipsis")


def _table(names: Iterable[str], found: tuple[Sequence[T], int], cells: Callable[[T], Sequence[Text]]) -> Table:
    rows, left_out = found
    table = Table(box=None, pad_edge=False, header_style="dim", expand=False)
    for name in names:
        table.add_column(name.upper(), no_wrap=True, overflow="ellipsis")
    for row in rows:
        table.add_row(*cells(row))
    if left_out:
        table.add_row(Text(f"… and {left_out} more", style="dim"))
    if not rows and not left_out:
        table.add_row(Text("none", style="dim"))
    return table


def _pool(one: Pool) -> Sequence[Text]:
    oldest = "" if one.oldest_seconds is None else _seconds(one.oldest_seconds)
    late = "yellow" if one.queued else ""
    slots = _bar(one.slots_used, one.slots) if one.slots else Text("no worker serves it", style="red")
    return _word(one.pool), Text(str(one.queued), style=late), Text(oldest, style=late), Text(str(one.running)), slots


def _gateway(one: Gateway, now: datetime) -> Sequence[Text]:
    state = _state(one.alive, one.draining, one.alive_seconds)
    numbers = Text(str(one.sockets)), Text(str(one.watched))
    return _word(one.name), *numbers, state, _word(one.host), _word(one.version), _since(one.started_at, now)


def _worker(one: Worker, now: datetime) -> Sequence[Text]:
    state = _state(one.alive, one.draining or one.drain_wanted, one.alive_seconds)
    queues = _word(", ".join(one.pools) or "every queue")
    slots = _bar(one.slots_used, one.slots)
    return _word(one.name), slots, state, queues, _word(one.host), _word(one.version), _since(one.started_at, now)


def _word(text: str) -> Text:
    """As a process calls itself."""
    return Text(plain(text))


def _state(alive: bool, draining: bool, seconds: float) -> Text:
    if not alive:
        return Text(f"silent for {_seconds(seconds)}", style="red")
    return Text("draining", style="yellow") if draining else Text("working", style="green")


def _bar(used: int, slots: int) -> Text:
    filled = round(BAR * min(used, slots) / slots) if slots else 0
    # Who uses one of many must not look idle.
    filled = max(filled, 1) if used else filled
    return Text("█" * filled + "░" * (BAR - filled) + f" {used}/{slots}", style="yellow" if 0 < slots <= used else "")


def _rate(value: float | None) -> str:
    return "–" if value is None else f"{value:.1f}/s"


def _seconds(value: float | None) -> str:
    """As people say it: two digits that tell something, and the unit that they are of."""
    if value is None:
        return "–"
    for most, unit, digits in ((1, 1, ".2f"), (10, 1, ".1f"), (120, 1, ".0f")):
        if value < most:
            return f"{value / unit:{digits}} s"
    for most, unit, name in ((7_200, 60, "min"), (172_800, 3_600, "h")):
        if value < most:
            return f"{value / unit:.0f} {name}"
    return f"{value / 86_400:.0f} d"


def _since(moment: datetime | None, now: datetime) -> Text:
    return Text("" if moment is None else _seconds(max((now - moment).total_seconds(), 0.0)))
