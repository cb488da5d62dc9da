"""Many users on the scripted engine in one embedded process: `prosa bench` on a server of its own."""

from pathlib import Path

import msgspec

from benchmarks.people import people
from prosa.cluster.usage import usage
from prosa.load import bench
from prosa.load.accounts import Account, save
from prosa.load.bench import Job, Watched
from prosa.load.meters import Used
from prosa.load.plan import Plan
from prosa.load.report import Report
from tests.system.harness import Served


class Load(msgspec.Struct):
    """What the load showed. Times are in milliseconds."""

    users: int
    whole: int
    accepted_median: float | None
    first_median: float | None
    first_p99: float | None
    gap_p99: float | None
    locked: int
    cpu_seconds: float
    seconds: float


async def load(folder: Path, users: int, words: int, rate: int, spread: float) -> Load:
    """Start a process, let ``users`` each ask once within ``spread`` seconds, and verify every reply."""
    accounts = folder.parent / f"{folder.name}-accounts.json"
    save(accounts, [Account(f"bench {number}", token) for number, token in enumerate(await people(folder, users))])
    served = Served(folder, {"PROSA_SLOTS": str(users + 10)})
    await served.start()
    try:
        plan = Plan(users=users, words=words, rate=rate, spread_seconds=spread, model="scripted")
        job = Job(plan, (served.base,), folder.parent, accounts, folder.parent, "python -m benchmarks load")
        outcome = await bench.bench(job, Watched(lambda: {"prosa": served.pid}, _used), bench.world(lambda _: None))
        return _figures(outcome.report, served.log.count("locked"))
    finally:
        served.kill()


def _used(pid: int) -> Used:
    spent = usage(pid)
    return Used(spent.cpu_seconds, spent.resident_bytes)


def _figures(report: Report, locked: int) -> Load:
    found, times = report.verdict, report.times
    return Load(
        users=report.plan.users,
        whole=found.answered if found.flawless else 0,
        accepted_median=times.accepted.median,
        first_median=times.first_added.median,
        first_p99=times.first_added.p99,
        gap_p99=times.gaps.p99,
        locked=locked,
        cpu_seconds=report.cost.cpu_seconds,
        seconds=report.flow.seconds,
    )
