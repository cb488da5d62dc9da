"""When a worker believes that another one is dead."""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from uuid import uuid4

from prosa.adapters.memory_bus import MemoryBus
from prosa.adapters.metrics import PrometheusMetrics
from prosa.app.outbox import Outbox
from prosa.app.sweep import Sweeper
from prosa.core.desk import Desk
from prosa.core.events import Job
from prosa.core.operations import Duty, Process
from prosa.core.policy import Limits
from prosa.core.relay import Row
from prosa.core.run import RunState
from prosa.testing import ManualClock

LIMITS = Limits()
DUTY = Duty(Process("wk-1", "node-1", "1.2.3", datetime(2026, 1, 1, tzinfo=UTC)), {"default": 1}, 0)
ORPHAN = Job(uuid4(), "default")


class Store:
    """Sweeps of a store with one orphan. It answers while ``there``; what was asked before waits for it."""

    def __init__(self) -> None:
        self.there = asyncio.Event()
        self.there.set()
        self.wanted = False
        self.told: Duty | None = None

    async def heartbeat(
        self, worker: str, *, slots: int, draining: bool, alone: bool = False, duty: Duty | None = None
    ) -> bool:
        await self.there.wait()
        self.told = duty
        return self.wanted

    async def orphans(self, worker: str, lease_seconds: float, limit: int) -> Sequence[Job]:
        await self.there.wait()
        return [ORPHAN]

    async def undispatched(self, pool: str, ready: int, limits: Limits) -> Sequence[Job]:
        return ()

    async def promote(self, limits: Limits, limit: int) -> Sequence[Job]:
        return ()

    async def expire(self, limits: Limits, limit: int) -> Sequence[Row]:
        return ()

    async def prune(self, before_seconds: float) -> None: ...

    async def counts(self) -> Mapping[RunState, int]:
        return {}


class Worker:
    """One worker's upkeep, and what it takes."""

    def __init__(self, *, alone: bool = False) -> None:
        self.store = Store()
        self.clock = ManualClock()
        self.taken: list[Job] = []
        self.metrics = metrics = PrometheusMetrics()
        bus = MemoryBus(metrics)
        self.sweeper = Sweeper(
            sweeps=self.store,
            bus=bus,
            outbox=Outbox("wk-1", Desk(), bus, self.clock, metrics),
            clock=self.clock,
            limits=LIMITS,
            metrics=metrics,
            pools=("default",),
            alone=alone,
        )

    async def beat(self) -> bool:
        return await self.sweeper.beat(DUTY, draining=False)

    async def sweep(self) -> None:
        await self.sweeper.sweep(1, self.taken.append)


async def test_a_worker_takes_over_while_its_own_heart_beats() -> None:
    worker = Worker()
    await worker.beat()
    await worker.sweep()
    assert worker.taken == [ORPHAN]


async def test_who_was_without_a_store_waits_a_full_lease_before_it_takes_anyone_for_dead() -> None:
    worker = Worker()
    await worker.beat()
    await worker.clock.advance(5)
    await worker.sweep()
    await worker.beat()
    await worker.sweep()
    assert worker.taken == []
    for _ in range(7):
        await worker.clock.advance(LIMITS.heartbeat_seconds)
        await worker.beat()
    await worker.sweep()
    assert worker.taken == [ORPHAN]


async def test_orphans_that_a_store_names_when_it_is_back_are_not_believed() -> None:
    """The question was asked before the outage; all heartbeats are as old as that by now."""
    worker = Worker()
    await worker.beat()
    worker.store.there.clear()
    async with asyncio.TaskGroup() as group:
        group.create_task(worker.sweep())
        await worker.clock.advance(5)
        worker.store.there.set()
    assert worker.taken == []


async def test_the_only_worker_there_is_takes_everything_at_once() -> None:
    worker = Worker(alone=True)
    await worker.clock.advance(60)
    assert worker.sweeper.lease_seconds == 0
    await worker.sweep()
    assert worker.taken == [ORPHAN]


async def test_a_late_heartbeat_shows_what_was_left_of_the_lease() -> None:
    worker = Worker()
    for late, left in ((0.5, 2.5), (2.0, 1.0), (4.0, -1.0)):
        await worker.clock.advance(late)
        await worker.beat()
        assert f"prosa_lease_margin_seconds {left}" in worker.metrics.exposition().decode()


async def test_a_heartbeat_tells_of_the_worker_and_hears_that_it_is_wanted_to_drain() -> None:
    worker = Worker()
    assert not await worker.beat()
    assert worker.store.told == DUTY
    worker.store.wanted = True
    assert await worker.beat()


async def test_the_only_worker_is_never_wanted_to_drain() -> None:
    worker = Worker(alone=True)
    worker.store.wanted = True
    assert not await worker.beat()
