"""The cockpit and `prosa top` beside millions of runs: how long each look takes, and what it costs those who send.

`python -m benchmarks cockpit [--rows 10000000] [--keep FOLDER]` fills a PostgreSQL of its own with synthetic runs,
announces workers and gateways, adds a thousand runs a second, and lets people send through a gateway and a worker, in
turns with and without administrators who watch. docs/performance.md shows what it measured.
"""

import argparse
import asyncio
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, nullcontext
from pathlib import Path
from statistics import median
from typing import Any, Final
from uuid import uuid4

import aiohttp
import msgspec

from benchmarks.ground import opened, own_folder
from benchmarks.rows import Feed, filled
from prosa.adapters.clock import SystemClock
from prosa.adapters.sql.migrate import migrate
from prosa.adapters.sql.store import Store, open_store
from prosa.adapters.tokens import SystemTokens
from prosa.cli.bench import watched
from prosa.cluster.nodes import PostgresNode, RabbitNode
from prosa.cluster.supervise import PROSA, Cluster, Process, Role, Topology
from prosa.core.operations import Duty
from prosa.core.operations import Process as Announced
from prosa.load import bench
from prosa.load.bench import Job
from prosa.load.plan import Plan, Start

CLOCK: Final = SystemClock()
"""The loop's own knows milliseconds only."""
WORKERS: Final = 100
GATEWAYS: Final = 10
COCKPITS: Final = 3
LOOK_SECONDS: Final = 1.0
SETTLE_SECONDS: Final = 3.0
"""A program starts once; what it costs then is not what it costs to watch."""
LIST_SECONDS: Final = 5.0

LISTS: Final = {
    "runs": "",
    "failed": "?state=failed",
    "running": "?state=running",
    "queued": "?state=queued",
    "done": "?state=done",
    "a user's": "?user=person-77",
    "a user's failed": "?user=person-77&state=failed",
    "a model's": "?model=model-1",
    "a rare model's": "?model=rare",
    "a model's of nobody": "?model=nobody",
    "a worker's": "?worker=wk-7",
    "a code's": "?code=timeout",
    "a code's of nobody": "?code=nobody",
}


class Options(msgspec.Struct, frozen=True):
    rows: int = 10_000_000
    a_second: int = 1_000
    rounds: int = 3
    seconds: float = 20.0
    users: int = 20
    looks: int = 20
    """Of each kind; and the pages that are turned."""
    keep: Path | None = None


class Look(msgspec.Struct):
    """Of one kind of question, over HTTP, in milliseconds."""

    median: float
    most: float


class Sending(msgspec.Struct):
    """Of the same people, in rounds without and with administrators who watch. Times are in milliseconds."""

    replies_per_second: float
    first_median: float
    first_p99: float


class Figures(msgspec.Struct):
    rows: int
    added_per_second: float
    flaws: int
    looks: dict[str, Look]
    alone: Sending
    watched: Sending
    replies_ratio: float
    """The median over the rounds of replies a second, watched by alone."""
    first_ratio: float


def options(words: Sequence[str]) -> Options:
    parser = argparse.ArgumentParser(prog="python -m benchmarks cockpit")
    for name in ("rows", "a_second", "rounds", "users", "looks"):
        parser.add_argument(f"--{name.replace('_', '-')}", type=int, default=getattr(Options(), name))
    parser.add_argument("--seconds", type=float, default=Options().seconds, help="of each round")
    parser.add_argument("--keep", type=Path, help="a folder for the rows, to be used again")
    return Options(**vars(parser.parse_args(words)))


async def cockpit(given: Options) -> Figures:
    async with AsyncExitStack() as stack:
        made, kept = await stack.enter_async_context(_folders(given.keep))
        database = await stack.enter_async_context(PostgresNode(kept / "postgresql"))
        broker = await stack.enter_async_context(RabbitNode(made / "rabbitmq"))
        await migrate(database.url())
        if await filled(database.url(), given.rows, WORKERS):
            sys.stderr.write(f"{given.rows} runs are there\n")
        store = await stack.enter_async_context(open_store(database.url()))
        nodes = [
            Process("postgresql", Role.DATABASE, database.pid, ""),
            Process("rabbitmq", Role.BROKER, broker.pid, ""),
        ]
        topology = Topology(
            folder=made / "cluster", environment=_environment(made, database.url(), broker.url), gateways=1, workers=1
        )
        feed = Feed(database.url(), given.rows, given.a_second)
        async with _running(_announce(store)), Cluster(topology, services=lambda: nodes) as up, _running(feed.run()):
            return await _measured(given, up, store, feed, made)


@asynccontextmanager
async def _folders(keep: Path | None) -> AsyncIterator[tuple[Path, Path]]:
    """One for this run, and one for the rows."""
    async with own_folder("cockpit") as made:
        yield made, opened(keep) if keep else made


async def _measured(given: Options, up: Cluster, store: Store, feed: Feed, made: Path) -> Figures:
    token = await _administrator(store)
    alone: list[Sending] = []
    seen: list[Sending] = []
    flaws = 0
    begun, before = CLOCK.monotonic(), feed.made
    for _ in range(given.rounds):
        for found, watching in ((alone, False), (seen, True)):
            async with _watching(up.address, token) if watching else nullcontext():
                sending, wrong = await _round(given, up, made)
            found.append(sending)
            flaws += wrong
    async with _watching(up.address, token, settle_seconds=0):
        looks = await _looks(up.address, token, given.looks)
    added = (feed.made - before) / (CLOCK.monotonic() - begun)
    pairs = list(zip(seen, alone, strict=True))
    return Figures(
        rows=given.rows,
        added_per_second=round(added, 1),
        flaws=flaws,
        looks=looks,
        alone=_middle(alone),
        watched=_middle(seen),
        replies_ratio=round(median(one.replies_per_second / other.replies_per_second for one, other in pairs), 3),
        first_ratio=round(median(one.first_median / other.first_median for one, other in pairs), 3),
    )


def _middle(found: Sequence[Sending]) -> Sending:
    names = Sending.__struct_fields__
    return Sending(**{name: round(median(getattr(one, name) for one in found), 2) for name in names})


def _environment(folder: Path, database: str, broker: str) -> dict[str, str]:
    return {
        "PATH": "/usr/bin:/bin",
        "HOME": str(folder),
        "PROSA_DATABASE_URL": database,
        "PROSA_BROKER_URL": broker,
        "PROSA_LOCAL": "false",
        "PROSA_SCRIPTED": "true",
        "PROSA_SLOTS": "100",
        "PROSA_RATE_LIMITS": "off",
        "PROSA_LOG_LEVEL": "warning",
    }


# ── who sends ──


async def _round(given: Options, up: Cluster, made: Path) -> tuple[Sending, int]:
    plan = Plan(
        users=given.users, seconds=given.seconds, words=5, rate=1000, start=Start.BACK_TO_BACK, model="scripted"
    )
    job = Job(plan, (up.address,), made, made / "accounts.json", made, "python -m benchmarks cockpit")
    outcome = await bench.bench(job, watched(up.file, {}), bench.world(lambda _: None))
    verdict, times = outcome.report.verdict, outcome.report.times.first_added
    sending = Sending(outcome.report.flow.replies_per_second, times.median or 0.0, times.p99 or 0.0)
    return sending, verdict.asked - verdict.answered + verdict.duplicated + verdict.corrupted + verdict.reordered


# ── who watches ──


async def _administrator(store: Store) -> str:
    """A token of one."""
    tokens, user = SystemTokens(), uuid4()
    await store.users.add(user, f"operator-{user.hex[:8]}", None, role="admin")
    secret = tokens.secret()
    await store.sign_ins.open(uuid4(), user, tokens.digest(secret), kind="token", seconds=86_400)
    return secret


@asynccontextmanager
async def _watching(address: str, token: str, settle_seconds: float = SETTLE_SECONDS) -> AsyncIterator[None]:
    """Cockpits that look each second and list runs each five, and a `prosa top`."""
    top = await asyncio.create_subprocess_exec(
        *(*PROSA, "top", "--json", "--url", address),
        env={"PATH": "/usr/bin:/bin", "PROSA_TOKEN": token},
        stdout=asyncio.subprocess.DEVNULL,
    )
    try:
        async with asyncio.TaskGroup() as group:
            open_cockpits = [group.create_task(_cockpit(address, token)) for _ in range(COCKPITS)]
            await asyncio.sleep(settle_seconds)
            yield
            for task in open_cockpits:
                task.cancel()
    finally:
        top.kill()
        await top.wait()


async def _cockpit(address: str, token: str) -> None:
    async with _signed_in(address, token) as http:
        rounds = 0
        while True:
            await _get(http, "/api/admin/overview")
            if rounds % (LIST_SECONDS // LOOK_SECONDS) == 0:
                await _get(http, "/api/admin/runs?state=failed")
            rounds += 1
            await asyncio.sleep(LOOK_SECONDS)


@asynccontextmanager
async def _signed_in(address: str, token: str) -> AsyncIterator[aiohttp.ClientSession]:
    timeout = aiohttp.ClientTimeout(total=60)
    headers = {"Authorization": f"Bearer {token}"}
    async with aiohttp.ClientSession(address, headers=headers, timeout=timeout) as http:
        yield http


async def _get(http: aiohttp.ClientSession, path: str) -> Any:  # noqa: ANN401 — JSON
    async with http.get(path) as response:
        if response.status != 200:
            raise RuntimeError(f"{path} was answered with {response.status}: {await response.text()}")
        return await response.json()


async def _looks(address: str, token: str, times: int) -> dict[str, Look]:
    """How long each kind of question takes, asked again and again while runs are added."""
    async with _signed_in(address, token) as http:
        overview = await _timed(http, "/api/admin/overview", times, pause=LOOK_SECONDS)
        found = {"overview": overview}
        for name, query in LISTS.items():
            found[name] = await _timed(http, f"/api/admin/runs{query}", times)
        (newest, *_) = (await _get(http, "/api/admin/runs?state=failed"))["items"]
        found["a chat's"] = await _timed(http, f"/api/admin/runs?chat={newest['chat']}", times)
        found["one by its id"] = await _timed(http, f"/api/admin/runs?run={newest['id']}", times)
        found["a run's life"] = await _timed(http, f"/api/admin/runs/{newest['id']}", times)
        found["further pages"] = await _deep(http, times)
        return found


async def _timed(http: aiohttp.ClientSession, path: str, looks: int, *, pause: float = 0.0) -> Look:
    times = []
    for _ in range(looks):
        times.append(await _time(http, path))
        # A look that another one has asked for within the second costs nothing: this one shall cost what it costs.
        await asyncio.sleep(pause)
    return Look(round(median(times), 1), round(max(times), 1))


async def _time(http: aiohttp.ClientSession, path: str) -> float:
    begun = CLOCK.monotonic()
    await _get(http, path)
    return (CLOCK.monotonic() - begun) * 1000


async def _deep(http: aiohttp.ClientSession, pages: int) -> Look:
    """The pages behind the first."""
    path, times = "/api/admin/runs?state=done&limit=100", []
    page = await _get(http, path)
    for _ in range(pages):
        begun = CLOCK.monotonic()
        page = await _get(http, f"{path}&cursor={page['next']}")
        times.append((CLOCK.monotonic() - begun) * 1000)
    return Look(round(median(times), 1), round(max(times), 1))


# ── who is announced ──


@asynccontextmanager
async def _running(work: Any) -> AsyncIterator[None]:  # noqa: ANN401 — a coroutine
    async with asyncio.TaskGroup() as group:
        task = group.create_task(work)
        yield
        task.cancel()


async def _announce(store: Store) -> None:
    """Workers whose hearts beat each second, and gateways."""
    began = CLOCK.now()
    duties = {
        name: Duty(Announced(name, f"node-{number % 20}", "0.1.0", began), {"default": 16}, 16)
        for number in range(WORKERS)
        for name in [f"wk-{number}"]
    }
    rounds = 0
    while True:
        for name, duty in duties.items():
            await store.sweeps.heartbeat(name, slots=16, draining=False, duty=duty)
        if rounds % 5 == 0:
            for number in range(GATEWAYS):
                gateway = Announced(f"gw-{number}", f"node-{number}", "0.1.0", began)
                await store.operations.announce(gateway, sockets=500, watched=160, draining=False)
        rounds += 1
        await asyncio.sleep(1.0)
