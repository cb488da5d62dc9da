"""What watching costs: one gateway and one worker, with all instrumentation and without any, in turn.

`python -m benchmarks overhead [PAIRS]`. With: metrics that a real HTTP client reads each second, traces sent to a
receiver, JSON logs at `info` in a file. Without: `metrics = false`, no receiver, logs at `warning`. Each round starts
both processes anew on the same PostgreSQL and RabbitMQ; rounds come in pairs whose order alternates, and what counts is
the ratio within a pair: the machine's speed changes more from one quarter of an hour to the next than watching costs.
"""

import asyncio
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from itertools import chain
from pathlib import Path
from statistics import median
from typing import Final

import aiohttp
import msgspec

from benchmarks.ground import own_folder, served
from prosa.cli.bench import metered
from prosa.cluster.loopback import free_port
from prosa.cluster.nodes import PostgresNode, RabbitNode
from prosa.cluster.supervise import Cluster, Process, Role, Topology
from prosa.load import bench
from prosa.load.bench import Job, Watched
from prosa.load.plan import Plan, Start
from prosa.load.report import Report

PAIRS: Final = 5
SCRAPE_SECONDS: Final = 1.0
SEND_SECONDS: Final = 1.5
"""Until the last spans of a round are sent."""
OURS: Final = ("gateway-1", "worker-1")
# A shell that becomes the process: its log goes to a file without passing through the bench, which would pay for it.
COMMAND: Final = ("/bin/sh", "-c", 'exec "$0" -P -m prosa "$@" 2>>"$LOG_FILE"', sys.executable)

PLANS: Final = {
    "exchanges": Plan(users=40, seconds=10.0, words=5, rate=1000, start=Start.BACK_TO_BACK, model="scripted"),
    "streams": Plan(users=300, words=100, rate=20, spread_seconds=5, model="scripted"),
}


class Measured(msgspec.Struct, frozen=True):
    """One load in one round. CPU in seconds for 1,000 words: of gateway and worker, and with the services.

    ``first_ms``: median of what was added to the first text.
    """

    ours: float
    all: float
    replies_per_second: float
    first_ms: float
    asked: int
    whole: int
    flawless: bool


class Round(msgspec.Struct, frozen=True):
    """``watched``: with instrumentation. What came of it shows that it was on: or that it was off."""

    watched: bool
    loads: dict[str, Measured]
    scrapes: int
    samples: int
    span_requests: int
    log_lines: int


class Ratio(msgspec.Struct, frozen=True):
    """With over without: the median over the pairs, the smallest and the largest."""

    median: float
    least: float
    most: float


class Overhead(msgspec.Struct, frozen=True):
    """What watching costs under one load."""

    load: str
    pairs: int
    cpu_ours: Ratio
    cpu_all: Ratio
    replies_per_second: Ratio
    first_text: Ratio


class Site(msgspec.Struct, frozen=True):
    """What all rounds share."""

    folder: Path
    database: PostgresNode
    broker: RabbitNode
    receiver: int
    port: int

    def environment(self, watched: bool) -> dict[str, str]:
        shared = {
            "PATH": "/usr/bin:/bin",
            "HOME": str(self.folder),
            "PROSA_DATA_DIR": str(self.folder / "data"),
            "PROSA_DATABASE_URL": self.database.url(),
            "PROSA_BROKER_URL": self.broker.url,
            "PROSA_LOCAL": "false",
            "PROSA_SCRIPTED": "true",
            "PROSA_SLOTS": "1200",
            "PROSA_RATE_LIMITS": "off",
            "PROSA_LOG_FORMAT": "json",
        }
        on = {"PROSA_OTLP_ENDPOINT": f"http://127.0.0.1:{self.receiver}", "PROSA_LOG_LEVEL": "info"}
        return shared | (on if watched else {"PROSA_METRICS": "false", "PROSA_LOG_LEVEL": "warning"})


async def overhead(
    pairs: int = PAIRS, plans: Mapping[str, Plan] = PLANS, *, warm: bool = True
) -> tuple[list[Round], list[Overhead]]:
    """Run the pairs; ``warm``: and one round before them that does not count."""
    async with own_folder("overhead") as folder, _site(folder) as site:
        if warm:
            await _round(site, plans, watched=True)
        rounds = []
        for number in range(pairs):
            for watched in (True, False) if number % 2 else (False, True):
                rounds.append(await _round(site, plans, watched=watched))
                sys.stderr.write(f"{msgspec.json.encode(rounds[-1]).decode()}\n")
    return rounds, [judged(load, rounds) for load in plans]


def judged(load: str, rounds: Sequence[Round]) -> Overhead:
    """The ratios of each pair, which two rounds in a row are. Pure."""
    pairs = [sorted(pair, key=lambda one: one.watched) for pair in zip(rounds[::2], rounds[1::2], strict=True)]
    both = [(without.loads[load], watched.loads[load]) for without, watched in pairs]
    return Overhead(
        load=load,
        pairs=len(both),
        cpu_ours=_ratio([watched.ours / without.ours for without, watched in both]),
        cpu_all=_ratio([watched.all / without.all for without, watched in both]),
        replies_per_second=_ratio(
            [watched.replies_per_second / without.replies_per_second for without, watched in both]
        ),
        first_text=_ratio([watched.first_ms / without.first_ms for without, watched in both]),
    )


def _ratio(found: Sequence[float]) -> Ratio:
    return Ratio(round(median(found), 3), round(min(found), 3), round(max(found), 3))


@asynccontextmanager
async def _site(folder: Path) -> AsyncIterator[Site]:
    async with (
        PostgresNode(folder / "postgresql") as database,
        RabbitNode(folder / "rabbitmq") as broker,
        served("benchmarks.receiver") as receiver,
    ):
        yield Site(folder, database, broker, receiver, free_port())


async def _round(site: Site, plans: Mapping[str, Plan], *, watched: bool) -> Round:
    logs = {name: site.folder / f"{name}.log" for name in OURS}
    for log in logs.values():
        log.unlink(missing_ok=True)
    before = await _received(site.receiver)
    topology = Topology(
        folder=site.folder / "cluster",
        environment=site.environment(watched),
        overrides={name: {"LOG_FILE": str(logs.get(name, site.folder / f"{name}.log"))} for name in (*OURS, "migrate")},
        gateways=1,
        workers=1,
        port=site.port,
        command=COMMAND,
    )
    scraper = Scraper()
    async with Cluster(topology) as up:
        addresses = [up.process(name).metrics for name in OURS]
        async with bench.beside(scraper.run(addresses if watched else [])):
            loads = {name: await _load(site, up, plan) for name, plan in plans.items()}
        await asyncio.sleep(SEND_SECONDS)
        received = await _received(site.receiver) - before
    lines = sum(log.read_bytes().count(b"\n") for log in logs.values())
    return Round(watched, loads, scraper.scrapes, scraper.samples, received, lines)


async def _received(port: int) -> int:
    """Requests that the receiver has taken."""
    async with aiohttp.ClientSession() as http, http.get(f"http://127.0.0.1:{port}/") as response:
        return int((await response.text()).split()[0])


class Scraper:
    """Reads the metrics of each address once a second, as Prometheus does over connections that stay."""

    def __init__(self) -> None:
        self.scrapes = 0
        self.samples = 0

    async def run(self, addresses: Sequence[str]) -> None:
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10)) as http:
            while addresses:
                for address in addresses:
                    await self._scrape(http, address)
                await asyncio.sleep(SCRAPE_SECONDS)

    async def _scrape(self, http: aiohttp.ClientSession, address: str) -> None:
        with suppress(TimeoutError):
            async with http.get(f"{address}/metrics") as response:
                response.raise_for_status()
                self.samples = (await response.read()).count(b"\n")
                self.scrapes += 1


async def _load(site: Site, up: Cluster, plan: Plan) -> Measured:
    pids = {one.name: one.pid for one in chain(up.describe().processes, _services(site)) if one.pid is not None}
    job = Job(plan, (up.address,), site.folder, site.folder / "accounts.json", site.folder, "")
    outcome = await bench.bench(job, Watched(lambda: pids, metered), bench.world(lambda _: None))
    return _measured(outcome.report)


def _services(site: Site) -> list[Process]:
    nodes = (("postgresql", Role.DATABASE, site.database.pid), ("rabbitmq", Role.BROKER, site.broker.pid))
    return [Process(name, role, pid, "") for name, role, pid in nodes]


def _measured(report: Report) -> Measured:
    spent = {one.name: one.cpu_seconds for one in report.cost.processes}
    thousands = max(report.flow.words, 1) / 1000
    verdict = report.verdict
    return Measured(
        ours=round(sum(spent[name] for name in OURS) / thousands, 4),
        all=round(sum(spent.values()) / thousands, 4),
        replies_per_second=round(report.flow.replies_per_second, 1),
        first_ms=round(report.times.first_added.median or 0.0, 1),
        asked=verdict.asked,
        whole=verdict.answered,
        flawless=verdict.good,
    )
