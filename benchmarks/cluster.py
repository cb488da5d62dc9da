"""The reference numbers: one gateway and one worker, with RabbitMQ, PostgreSQL and the load on the same machine.

`python -m benchmarks cluster [NAME ...]` starts private nodes and processes of its own, runs each load, verifies every
reply, and writes a report and plots for each under `bench-results/`. docs/performance.md shows what it measured.
"""

import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Final

import msgspec

from benchmarks.ground import own_folder, served
from prosa.cli.bench import watched
from prosa.cluster.nodes import PostgresNode, RabbitNode
from prosa.cluster.supervise import Cluster, Process, Role, Topology
from prosa.load import bench
from prosa.load.bench import Job
from prosa.load.plan import Plan, Start
from prosa.load.report import Report
from prosa.load.results import write

OUT: Final = Path("bench-results")
PROVIDER: Final = "provider"
SCRIPTED: Final = "scripted"
"""Named in every plan: a model of the configuration comes first where none is named."""

PLANS: Final = {
    "spread-10": Plan(users=10, words=200, rate=20, spread_seconds=2, model=SCRIPTED),
    "spread-100": Plan(users=100, words=200, rate=20, spread_seconds=5, model=SCRIPTED),
    "spread-1000": Plan(users=1000, words=200, rate=20, spread_seconds=10, model=SCRIPTED),
    "exchanges": Plan(users=40, seconds=12.0, words=5, rate=1000, start=Start.BACK_TO_BACK, model=SCRIPTED),
    "together-100": Plan(users=100, words=20, rate=20, start=Start.TOGETHER, model=SCRIPTED),
    "together-500": Plan(users=500, words=20, rate=20, start=Start.TOGETHER, model=SCRIPTED),
    "provider-500": Plan(users=500, words=100, rate=20, spread_seconds=5, model=PROVIDER),
}


class Figures(msgspec.Struct):
    """One load. Times are in milliseconds, CPU in seconds."""

    name: str
    whole: int
    flaws: int
    accepted_median: float | None
    first_median: float | None
    first_p99: float | None
    total_most: float | None
    gap_p99: float | None
    replies_per_second: float
    broker_messages_per_second: float | None
    cpu_seconds: dict[str, float]
    cpu_per_thousand_words: float
    synced_commit_median: float | None
    generator_cpu_percent: float


async def cluster(names: list[str]) -> list[Figures]:
    """Run the named loads, or all, one after the other on one cluster."""
    figures = []
    async with own_folder("bench") as folder, house(folder) as up:
        for name in names or PLANS:
            figures.append(await load(name, up))
            sys.stderr.write(f"{name} {msgspec.json.encode(figures[-1]).decode()}\n")
    return figures


@asynccontextmanager
async def house(folder: Path) -> AsyncIterator[Cluster]:
    """One gateway and one worker on nodes of their own, with a model server beside them."""
    async with AsyncExitStack() as stack:
        database = await stack.enter_async_context(PostgresNode(folder / "postgresql"))
        broker = await stack.enter_async_context(RabbitNode(folder / "rabbitmq"))
        port = await stack.enter_async_context(served("benchmarks.provider"))
        environment = _environment(folder, database.url(), broker.url, port)
        nodes = [
            Process("postgresql", Role.DATABASE, database.pid, ""),
            Process("rabbitmq", Role.BROKER, broker.pid, ""),
        ]
        topology = Topology(folder=folder / "cluster", environment=environment, gateways=1, workers=1)
        yield await stack.enter_async_context(Cluster(topology, services=lambda: nodes))


def _environment(folder: Path, database: str, broker: str, port: int) -> dict[str, str]:
    config = folder / "prosa.toml"
    url = f"http://127.0.0.1:{port}/v1"
    config.write_text(f'[[models]]\nname = "{PROVIDER}"\nengine = "openai"\nbase_url = "{url}"\n')
    return {
        "PATH": "/usr/bin:/bin",
        "HOME": str(folder),
        "PROSA_CONFIG": str(config),
        "PROSA_DATABASE_URL": database,
        "PROSA_BROKER_URL": broker,
        "PROSA_LOCAL": "false",
        "PROSA_SCRIPTED": "true",
        "PROSA_SLOTS": "1200",
        "PROSA_RATE_LIMITS": "off",
        "PROSA_LOG_LEVEL": "warning",
    }


async def load(name: str, up: Cluster) -> Figures:
    """One of ``PLANS``."""
    out = OUT / name
    out.mkdir(parents=True, exist_ok=True)
    command = f"python -m benchmarks cluster {name}"
    job = Job(PLANS[name], (up.address,), out, OUT / "accounts.json", out, command)
    outcome = await bench.bench(job, watched(up.file, {}), bench.world(lambda _: None))
    write(outcome, out)
    return _figures(name, outcome.report)


def _figures(name: str, report: Report) -> Figures:
    found, times = report.verdict, report.times
    words = max(report.flow.words, 1)
    return Figures(
        name=name,
        whole=found.answered,
        flaws=found.asked - found.answered + found.duplicated + found.corrupted + found.reordered,
        accepted_median=times.accepted.median,
        first_median=times.first_added.median,
        first_p99=times.first_added.p99,
        total_most=times.total_added.largest,
        gap_p99=times.gaps.p99,
        replies_per_second=report.flow.replies_per_second,
        broker_messages_per_second=report.cost.broker_messages_per_second,
        cpu_seconds={one.name: round(one.cpu_seconds, 2) for one in report.cost.processes},
        cpu_per_thousand_words=report.cost.cpu_seconds * 1000 / words,
        synced_commit_median=report.synced_commit.median,
        generator_cpu_percent=report.generator.cpu_percent,
    )
