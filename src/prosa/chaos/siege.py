"""One siege from its empty folder to its report."""

import asyncio
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import msgspec

from prosa.bootstrap.server import raise_open_files
from prosa.chaos import rows
from prosa.chaos.ground import Ground, ground
from prosa.chaos.hands import Hands
from prosa.chaos.ledger import Blow
from prosa.chaos.plots import plots
from prosa.chaos.report import Machine, Report, Siege, report
from prosa.chaos.schedule import Wish, schedule
from prosa.chaos.takeovers import takeovers
from prosa.chaos.workload import Workload
from prosa.cluster.usage import usage
from prosa.load import report as load
from prosa.load.accounts import people
from prosa.load.bench import World, beside, sampled
from prosa.load.crowd import Cast, Crowd, Harvest
from prosa.load.meters import Gauge, Used

BEGIN_SECONDS: Final = 1.2
TELL_SECONDS: Final = 10.0


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """What to do. ``environment`` is what the processes see; ``folder`` is for logs and data, ``out`` for results."""

    wish: Wish
    plan: Workload
    seed: int
    slots: int
    environment: Mapping[str, str]
    folder: Path
    command: str


class Outcome(msgspec.Struct, frozen=True):
    """The report, and what the plots are drawn from."""

    report: Report
    harvest: Harvest
    blows: tuple[Blow, ...]


async def siege(order: Order, world: World) -> Outcome:
    """Run it. Raises SetupError where a service or a process does not come up, Refused and Unavailable where the
    cluster lets nobody in. Whatever happens, nothing is left running."""
    raise_open_files()
    before = os.getloadavg()[0]
    hands = Hands(order.slots, world.clock, world.tell, world.stop)
    wish = order.wish
    world.tell(
        f"Starting PostgreSQL, RabbitMQ, {wish.workers} workers and {wish.gateways} gateways in {order.folder} …"
    )
    async with ground(wish, _environment(order), order.folder, hands.heard) as own:
        harvest, gauge = await _play(order, own, hands, world)
        world.tell("Reading the database …")
        found = await rows.every(own.database.url())
        samples = load.window(gauge.samples, harvest.began, harvest.ended)
    told = report(
        Siege(
            command=order.command,
            seed=order.seed,
            wish=wish,
            plan=order.plan,
            slots=order.slots,
            harvest=harvest,
            blows=hands.blows,
            rows=found,
            processes=load.processes(samples),
            machine=Machine(os.cpu_count() or 1, before, os.getloadavg()[0]),
        )
    )
    return Outcome(told, harvest, tuple(hands.blows))


def _environment(order: Order) -> dict[str, str]:
    """The scripted model for as many people as there are, from one address."""
    return {
        **order.environment,
        "PROSA_SCRIPTED": "true",
        "PROSA_LOCAL": "false",
        "PROSA_RATE_LIMITS": "off",
        "PROSA_SLOTS": str(order.slots),
        "PROSA_LOG_FORMAT": "json",
        "PROSA_DATA_DIR": str(order.folder / "data"),
    }


async def _play(order: Order, own: Ground, hands: Hands, world: World) -> tuple[Harvest, Gauge]:
    world.tell(f"Accounts for {order.plan.users} people …")
    accounts = await people((own.cluster.address,), order.plan.users, None, world.ids)
    crowd = Crowd(order.plan, Cast(own.doors, tuple(one.token for one in accounts)), world.ids, world.clock)
    gauge = Gauge(own.pids, _metered, world.clock)
    faults = schedule(order.wish, order.seed)
    async with crowd.connected(), sampled(gauge):
        world.tell(f"{order.plan.users} people are connected; {len(faults)} faults are to come (seed {order.seed}).")
        began = world.clock() + BEGIN_SECONDS
        async with beside(_told(crowd, world, began)), beside(_stopped(crowd, world)):
            crowd.start(began)
            await hands.deal(own, faults, began)
            await crowd.finished()
    world.tell("Holding every chat against the history …")
    return await crowd.harvest(), gauge


async def _told(crowd: Crowd, world: World, began: float) -> None:
    while True:
        await asyncio.sleep(TELL_SECONDS)
        asked = [one for person in crowd.people for one in person.dialogue.asked]
        done = sum(one.fate is not None for one in asked)
        flaws = sum(len(one.reading.findings) for one in asked)
        world.tell(f"      {done} of {len(asked)} messages have their end{f', {flaws} FLAWS' if flaws else ''}.")


async def _stopped(crowd: Crowd, world: World) -> None:
    await world.stop.wait()
    world.tell("Stopping: what is broken is mended, what has no end yet is left out.")
    crowd.stop()


def _metered(pid: int) -> Used | None:
    """What a process and its children have used; None where it is gone."""
    try:
        used = usage(pid)
    except ProcessLookupError:
        return None
    return Used(used.cpu_seconds, used.resident_bytes)


def write(outcome: Outcome, folder: Path) -> list[Path]:
    """``report.json`` and the plots, in place of those of the last siege. Returns what was written."""
    folder.mkdir(parents=True, exist_ok=True)
    found = takeovers(outcome.blows, outcome.harvest.answers)
    drawn = plots(outcome.harvest, outcome.blows, found)
    told = msgspec.json.format(msgspec.json.encode(outcome.report)) + b"\n"
    files = {"report.json": told, **{name: text.encode() for name, text in drawn.items()}}
    for name, data in files.items():
        (folder / name).write_bytes(data)
    return [folder / name for name in files]
