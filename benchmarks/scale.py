"""`python -m benchmarks scale`: what the next factor of ten needs, computed from measured costs (benchmarks/sizing.py),
and a simulation of arrivals, slots, takeovers and autoscaling (benchmarks/simulation.py) behind it.

It writes the tables of docs/scaling.md and its plots anew. `python -m benchmarks scale measure` measures the costs on
this machine, about a minute.
"""

import asyncio
import math
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import asyncpg
import msgspec

from benchmarks import cluster
from benchmarks.ground import own_folder
from benchmarks.simulation import Answers, Deployment, Outcome, Scaling, Simulation, erlang_c
from benchmarks.sizing import Costs, Cpu, Limits, Machines, Need, People, Prices, month, need
from prosa.load.svg import Chart, Line, svg

ROOT: Final = Path(__file__).parents[1]
PAGE: Final = ROOT / "docs" / "scaling.md"
IMAGES: Final = ROOT / "docs" / "images"
USERS: Final = (1_000, 100_000, 1_000_000, 10_000_000)
MARKS: Final = ("sizes", "strain", "theory", "real", "spare", "losses", "burst", "leaving")
"""Of the tables in the page."""
PEAK: Final = 10.0
"""Questions a second of 100,000 users in the busiest minute."""

COSTS: Final = Costs(
    gateway=Cpu(0.00055, 0.000022),
    worker=Cpu(0.0012, 0.000029),
    broker=Cpu(0.00025, 0.000005),
    database=Cpu(0.0012, 0.000015),
    socket_bytes=32 * 1024,
    stored_bytes=2_800,
    log_bytes=15_000,
    commits=6.7,
)
"""27 November 2026: `scale measure` (the means of two runs), the benchmarks `idle` and `backup`."""


def sizes() -> list[Need]:
    return [need(users, COSTS, People(), Machines(), Limits()) for users in USERS]


# ── the tables ──


def sizes_table(found: Sequence[Need]) -> str:
    """The rows of what is needed, a column for each number of users."""
    rows: list[tuple[str, Callable[[Need], str]]] = [
        ("questions a second, busiest minute", lambda one: _number(one.exchanges)),
        ("answers that stream at once", lambda one: _number(one.streams)),
        ("words a second", lambda one: _number(one.words)),
        ("open pages", lambda one: _number(one.sockets)),
        ("**gateways**", lambda one: f"**{one.gateways}**"),
        ("**workers** of 200 slots", lambda one: f"**{one.workers}**"),
        ("cores: gateways", lambda one: _number(one.cores["gateway"])),
        ("cores: workers", lambda one: _number(one.cores["worker"])),
        ("cores: RabbitMQ", lambda one: _number(one.cores["broker"])),
        ("cores: PostgreSQL", lambda one: _number(one.cores["database"])),
        ("connections to PostgreSQL", lambda one: _number(one.connections)),
        ("its log, MB a second", lambda one: _number(one.log_bytes / 1e6)),
        ("its growth, GB a day", lambda one: _number(one.stored_bytes_a_day / 1e9)),
        ("RabbitMQ: frames and bulletins a second", lambda one: _number(one.frames + one.bulletins)),
        ("messages into one gateway a second", lambda one: _number(one.inbox)),
        ("machines and disks, $ a month", lambda one: _number(month(one, Machines(), Prices())[0])),
        ("the model, $ a month", lambda one: _number(month(one, Machines(), Prices())[1])),
    ]
    return _table(["users", *(f"{one.users:,}" for one in found)], [[name, *map(cell, found)] for name, cell in rows])


def strain_table(found: Sequence[Need]) -> str:
    """How far each of what there is one of is filled; 1 is full."""
    rows = [[name, *(_strain(one, name) for one in found)] for name in found[0].strain]
    return _table(["filled", *(f"{one.users:,}" for one in found)], rows)


def _strain(one: Need, name: str) -> str:
    shown = _number(one.strain[name])
    return f"**{shown}**" if name == one.first else shown


def _number(value: float) -> str:
    """Two digits that count."""
    if value >= 100:
        digits = math.floor(math.log10(value)) - 1
        return f"{round(value / 10**digits) * 10**digits:,}"
    return f"{value:.2g}" if value < 10 else f"{value:.0f}"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


# ── the simulation ──


def steady(rate: float) -> Callable[[float], float]:
    return lambda _: rate


def played(deployment: Deployment, rate: float, seconds: float, seed: int = 1) -> Outcome:
    return Simulation(deployment, steady(rate), most_rate=rate, seed=seed).run(seconds)


def theory_table() -> str:
    """M/M/c: the simulation beside Erlang's formula. Answers of a second, 16 slots."""
    rows = []
    for busy in (0.7, 0.85, 0.95):
        deployment = Deployment(workers=4, slots=4, answers=Answers(words_median=40, spread=-1, words_per_second=40))
        waits = [wait for seed in (1, 2, 3) for wait in played(deployment, 16 * busy, 20_000, seed).waits]
        share, mean = erlang_c(16 * busy, 1.0, 16)
        seen = sum(wait > 0 for wait in waits) / len(waits)
        rows.append([f"{busy:.0%}", f"{share:.3f}", f"{seen:.3f}", f"{mean:.3f}", f"{sum(waits) / len(waits):.3f}"])
    return _table(
        ["slots that are busy", "wait at all, formula", "simulated", "mean wait in s, formula", "simulated"], rows
    )


def spare() -> list[tuple[int, Outcome]]:
    """100,000 users: how many slots beyond those that are busy on average keep the waits short."""
    return [(slots, played(Deployment(workers=1, slots=slots), PEAK, 7_200)) for slots in (60, 64, 68, 72, 80, 96)]


def spare_table(found: Sequence[tuple[int, Outcome]]) -> str:
    busy = PEAK * Answers().mean_seconds
    rows = [
        [f"{slots}", f"{busy / slots:.0%}", *(_seconds(outcome.wait(share)) for share in (0.5, 0.95, 0.99))]
        for slots, outcome in found
    ]
    return _table(["slots", "busy on average", "wait, median", "p95", "p99"], rows)


def losses_table() -> str:
    """One worker of N is killed each minute: who notices, for how long, and what it does to those who wait."""
    rows = []
    for workers in (2, 4, 8, 16):
        slots = math.ceil(PEAK * Answers().mean_seconds / 0.75 / workers)
        kills = tuple(60.0 * minute for minute in range(1, 60))
        outcome = Simulation(Deployment(workers=workers, slots=slots), steady(PEAK), most_rate=PEAK).run(3_600, kills)
        breaks = sorted(outcome.interrupted)
        rows.append(
            [
                f"{workers} of {slots} slots",
                f"{len(breaks) / len(kills):.0f}",
                _seconds(breaks[len(breaks) // 2]),
                _seconds(breaks[int(0.99 * len(breaks))]),
                _seconds(outcome.wait(0.99)),
            ]
        )
    head = ["workers", "answers that stop at a loss", "until they go on, median", "p99", "wait of new questions, p99"]
    return _table(head, rows)


RULES: Final = Scaling(least=2, most=40)


def burst(moment: float) -> float:
    """Three times as many for ten minutes."""
    return PEAK * (3 if 600 <= moment < 1_200 else 1)


def scaled(rules: Scaling, *, drain: float = 60.0, seed: int = 1) -> Outcome:
    deployment = Deployment(workers=6, slots=16, scaling=rules, drain_seconds=drain)
    return Simulation(deployment, burst, most_rate=3 * PEAK, seed=seed).run(3_000)


WAYS: Final = {
    "queue: age and length (ours)": RULES,
    "the same, workers ready after 90 s": msgspec.structs.replace(RULES, start_seconds=90.0),
    "the same, slots filled to 60 %": msgspec.structs.replace(RULES, busy=0.6),
    "no autoscaling, 6 workers": Scaling(least=6, most=6),
    "no autoscaling, 18 workers": Scaling(least=18, most=18),
}


def burst_table() -> str:
    rows = []
    for name, rules in WAYS.items():
        outcome = scaled(rules)
        rows.append(
            [
                name,
                _seconds(outcome.wait(0.5)),
                _seconds(outcome.wait(0.99)),
                _seconds(max(outcome.waits)),
                f"{max(workers for _, workers, _, _ in outcome.history)}",
                f"{outcome.worker_seconds / 3600:.1f}",
            ]
        )
    return _table(["", "wait, median", "p99", "longest", "most workers", "worker-hours"], rows)


def leaving_table() -> str:
    """Scaling down after the burst: by a drain, and by killing."""
    rows = []
    for name, drain in (("drain, 60 s", 60.0), ("drain, 5 s", 5.0), ("kill", 0.0)):
        outcomes = [
            scaled(msgspec.structs.replace(RULES, calm_seconds=60.0), drain=drain, seed=seed) for seed in (1, 2, 3)
        ]
        rows.append(
            [
                name,
                f"{sum(len(one.interrupted) for one in outcomes)}",
                f"{sum(one.given_back for one in outcomes)}",
                f"{sum(one.answered for one in outcomes):,}",
            ]
        )
    return _table(["", "answers that stood still and took text back", "answers handed on whole", "of"], rows)


def real_table() -> str:
    """Held against the real thing: answers of a second, everybody asks again at once (tests/system/test_slots.py)."""
    rows = []
    for workers, measured in ((1, "9.73"), (3, "28.18")):
        answers = Answers(words_median=20, spread=0.0, words_per_second=20, added_seconds=0.03)
        outcome = played(Deployment(workers=workers, slots=10, answers=answers), 40.0 * workers, 600)
        rows.append([f"{workers} of 10 slots", measured, f"{outcome.answered / 600:.2f}"])
    return _table(["workers", "answers a second, measured", "simulated"], rows)


def _seconds(value: float) -> str:
    return "0" if value < 0.005 else f"{value:.2g} s" if value < 10 else f"{value:.0f} s"


# ── the page ──


def plots(found: Sequence[tuple[int, Outcome]]) -> dict[str, str]:
    waits = [
        Line(f"{slots} slots", [(outcome.wait(step / 200), step / 2) for step in range(1, 200)])
        for slots, outcome in found
        if slots < 80
    ]
    lines = []
    for name, rules in zip(("20 s", "90 s"), list(WAYS.values())[:2], strict=True):
        history = scaled(rules).history
        lines.append(Line(f"workers ({name})", [(moment / 60, float(workers)) for moment, workers, _, _ in history]))
        lines.append(Line(f"longest wait in s ({name})", [(moment / 60, age) for moment, _, _, age in history]))
    return {
        "scale-waits.svg": svg(Chart("Wait for a slot, 10 questions a second", "s", "% of questions", waits)),
        "scale-burst.svg": svg(Chart("Three times as many for ten minutes", "minute", "", lines)),
    }


def tables(found: Sequence[tuple[int, Outcome]]) -> dict[str, str]:
    """By their mark in the page."""
    needed = sizes()
    return {
        "sizes": sizes_table(needed),
        "strain": strain_table(needed),
        "theory": theory_table(),
        "real": real_table(),
        "spare": spare_table(found),
        "losses": losses_table(),
        "burst": burst_table(),
        "leaving": leaving_table(),
    }


def put(page: str, found: dict[str, str]) -> str:
    """The page with its tables anew. Raises KeyError for a mark without a table."""
    marked = re.compile(r"(<!-- (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)
    return marked.sub(lambda mark: f"{mark[1]}{found[mark[2]]}\n{mark[3]}", page)


def scale() -> None:
    spared = spare()
    PAGE.write_text(put(PAGE.read_text("utf-8"), tables(spared)), "utf-8")
    for name, text in plots(spared).items():
        (IMAGES / name).write_text(text, "utf-8")
    sys.stdout.write(f"{PAGE.relative_to(ROOT)} and its plots are written.\n")


# ── what it costs ──


class Counters(msgspec.Struct, frozen=True):
    commits: int
    log: int


async def _counters(url: str) -> Counters:
    connection = await asyncpg.connect(url)
    try:
        commits = await connection.fetchval(
            "SELECT xact_commit FROM pg_stat_database WHERE datname = current_database()"
        )
        return Counters(
            commits, await connection.fetchval("SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')::bigint")
        )
    finally:
        await connection.close()


async def measure() -> None:
    """CPU of each part for an exchange and for a word, from a load of short answers and one of long ones."""
    async with own_folder("scale") as folder, cluster.house(folder) as up:
        url = up.topology.environment["PROSA_DATABASE_URL"]
        found = {}
        for name in ("exchanges", "provider-500"):
            before = await _counters(url)
            figures = await cluster.load(name, up)
            await asyncio.sleep(1.5)  # statistics come late
            after = await _counters(url)
            found[name] = (figures, after.commits - before.commits, after.log - before.log)
    short, long = found["exchanges"][0], found["provider-500"][0]
    for part in short.cpu_seconds:
        each_short, each_long = short.cpu_seconds[part] / short.whole, long.cpu_seconds[part] / long.whole
        word = max((each_long - each_short) / (100 - 5), 0.0)
        sys.stdout.write(f"{part}: {each_short - 5 * word:.5f} s an exchange, {word * 1000:.5f} s for 1,000 words\n")
    for name, (figures, commits, log) in found.items():
        sys.stdout.write(
            f"{name}: {commits / figures.whole:.1f} commits and {log / figures.whole:.0f} bytes of log each\n"
        )
