"""One bench from its accounts to its report."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final
from uuid import UUID

import msgspec
from uuid_utils.compat import uuid7

from prosa.adapters.clock import SystemClock
from prosa.bootstrap.server import raise_open_files
from prosa.load import counters, parts, report
from prosa.load.accounts import people
from prosa.load.crowd import Cast, Crowd, Harvest, merged
from prosa.load.histogram import Spread
from prosa.load.meters import Gauge, Meter, Sample, synced_commits
from prosa.load.parts import Part
from prosa.load.plan import Plan
from prosa.load.report import Report

LEAD_SECONDS: Final = 0.3
"""From the last word before the start to the start."""
TELL_SECONDS: Final = 5.0

Tell = Callable[[str], None]


class Job(msgspec.Struct, frozen=True):
    """What to do. ``urls``: HTTP addresses of one deployment. ``tokens_file``: where accounts are kept."""

    plan: Plan
    urls: tuple[str, ...]
    out: Path
    tokens_file: Path
    disk_folder: Path
    command: str
    processes: int = 1


class Watched(msgspec.Struct, frozen=True):
    """The deployment's processes: ids by name (asked each second), what they use, and where their metrics are."""

    pids: Callable[[], Mapping[str, int]]
    meter: Meter
    addresses: tuple[str, ...] = ()
    metrics_token: str | None = None


class World(msgspec.Struct, frozen=True):
    """Time, ids, and whom to tell how it goes. ``stop`` is set by who does not want to wait."""

    clock: Callable[[], float]
    ids: Callable[[], UUID]
    tell: Tell
    stop: asyncio.Event


def world(tell: Tell) -> World:
    """That of this machine."""
    return World(SystemClock().monotonic, uuid7, tell, asyncio.Event())


class Outcome(msgspec.Struct, frozen=True):
    """The report, and what the plots are drawn from."""

    report: Report
    harvest: Harvest
    samples: tuple[Sample, ...]


async def bench(job: Job, watched: Watched, world: World) -> Outcome:
    """Run it. Raises Refused and Unavailable where the deployment lets nobody in or is not there."""
    raise_open_files()
    world.tell(f"Accounts for {job.plan.users} people …")
    accounts = await people(job.urls, job.plan.users, job.tokens_file, world.ids)
    commit = await asyncio.to_thread(synced_commits, job.disk_folder, world.clock)
    gauge = Gauge(watched.pids, watched.meter, world.clock)
    before = await counters.published(watched.addresses, watched.metrics_token)
    cast = Cast(job.urls, tuple(account.token for account in accounts))
    async with sampled(gauge):
        harvest = await (_play if job.processes == 1 else _spread)(job, cast, gauge, world)
    after = await counters.published(watched.addresses, watched.metrics_token)
    published = None if before is None or after is None else after - before
    samples = tuple(report.window(gauge.samples, harvest.began, harvest.ended))
    return Outcome(_report(job, harvest, samples, (published, commit)), harvest, samples)


def _report(job: Job, harvest: Harvest, samples: tuple[Sample, ...], measured: tuple[float | None, Spread]) -> Report:
    published, commit = measured
    answers, tally = harvest.answers, harvest.tally
    flow = report.flow(harvest, job.plan)
    return Report(
        command=job.command,
        urls=job.urls,
        plan=job.plan,
        verdict=report.verdict(answers, tally, harvest.unread_chats),
        times=report.times(job.plan, answers, tally),
        flow=flow,
        disturbance=report.disturbance(answers, tally),
        cost=report.cost(samples, flow, published),
        generator=report.generator(harvest, job.processes),
        synced_commit=commit,
        evidence=report.evidence(answers),
    )


async def _play(job: Job, cast: Cast, gauge: Gauge, world: World) -> Harvest:
    crowd = Crowd(job.plan, cast, world.ids, world.clock)
    async with crowd.connected():
        world.tell(f"{len(cast.tokens)} people are connected.")
        await gauge.sample()  # neither the connecting before nor the verifying behind is of the load
        async with beside(_told(crowd, world)), beside(_stopped(crowd, world)):
            crowd.start(world.clock() + LEAD_SECONDS)
            await crowd.finished()
        await gauge.sample()
    world.tell("Holding every chat against the history …")
    return await crowd.harvest()


async def _spread(job: Job, cast: Cast, gauge: Gauge, world: World) -> Harvest:
    """The same with the people in several processes, which begin at the same moment."""
    async with parts.opened([Part(job.plan, some) for some in cast.parts(job.processes)]) as opened:
        world.tell(f"{len(cast.tokens)} people are connected in {len(opened)} processes.")
        await gauge.sample()
        at = world.clock() + LEAD_SECONDS
        for one in opened:
            one.start(at)
        async with beside(parts.stopped(opened, world.stop)):
            return merged([await one.harvest() for one in opened])


async def _told(crowd: Crowd, world: World) -> None:
    while True:
        await asyncio.sleep(TELL_SECONDS)
        asked = [one for person in crowd.people for one in person.dialogue.asked]
        world.tell(f"{sum(one.fate is not None for one in asked)} of {len(asked)} messages have their end.")


async def _stopped(crowd: Crowd, world: World) -> None:
    await world.stop.wait()
    world.tell("Stopping: what has no end yet is left out.")
    crowd.stop()


@asynccontextmanager
async def sampled(gauge: Gauge) -> AsyncIterator[None]:
    """Sample the processes meanwhile, and once behind."""
    async with beside(gauge.run()):
        yield
    await gauge.sample()


@asynccontextmanager
async def beside(work: Coroutine[None, None, None]) -> AsyncIterator[None]:
    """Do something meanwhile, and no longer."""
    async with asyncio.TaskGroup() as group:
        task = group.create_task(work)
        yield
        task.cancel()
