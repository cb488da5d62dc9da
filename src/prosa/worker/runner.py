"""A worker's process: slots, heartbeats, ticks and checkpoints around the streaming loop; and its drain."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from contextlib import suppress
from typing import Final
from uuid import UUID

import structlog

from prosa.app.generation import Generation
from prosa.app.outbox import Outbox
from prosa.app.sweep import Sweeper
from prosa.core.desk import Interruption
from prosa.core.errors import Unavailable
from prosa.core.events import Job, Listen, StopAsked, Unlisten
from prosa.core.policy import Limits
from prosa.core.run import Claimant
from prosa.core.work import Held
from prosa.ports import Bus, Clock, Deliveries, Delivery, Metrics, Runs, Tokens

log = structlog.get_logger()

FIRST_SAVE_SECONDS: Final = 0.25
SAVES_A_SECOND: Final = 4
NEVER_SECONDS: Final = 86_400.0
"""A lease under which nobody counts as dead."""


class Runner:
    """Claims jobs of its pools (name → slots) with free slots and answers them until it is told to drain."""

    def __init__(  # noqa: PLR0913 — a worker's parts, by keyword only
        self,
        *,
        runs: Runs,
        bus: Bus,
        tokens: Tokens,
        clock: Clock,
        limits: Limits,
        metrics: Metrics,
        outbox: Outbox,
        generation: Generation,
        sweeper: Sweeper,
        pools: Mapping[str, int],
        drain_seconds: float,
    ) -> None:
        self.name = outbox.name
        self._runs = runs
        self._bus = bus
        self._tokens = tokens
        self._clock = clock
        self._limits = limits
        self._metrics = metrics
        self._outbox = outbox
        self._generation = generation
        self._sweeper = sweeper
        self._pools = pools
        self._drain_seconds = drain_seconds
        self._drain = asyncio.Event()
        self._freed = asyncio.Event()
        self._beaten = asyncio.Event()
        self._swept = asyncio.Event()
        self._busy: Counter[str] = Counter()
        self._jobs: set[asyncio.Task[object]] = set()
        self._taking: set[UUID] = set()
        self._leaving = False
        self._group = asyncio.TaskGroup()

    @property
    def slots(self) -> int:
        return sum(self._pools.values())

    @property
    def busy(self) -> int:
        """Runs held now."""
        return len(self._jobs)

    @property
    def draining(self) -> bool:
        return self._drain.is_set()

    @property
    def beats(self) -> bool:
        """Whether a heartbeat was written within the lease: else others take this worker for dead."""
        return self._swept.is_set() and self._sweeper.silent_seconds < self._limits.lease_seconds

    def drain(self) -> None:
        """Take no more, let runs finish until the deadline, then give back what is left. ``run`` returns then."""
        self._drain.set()

    async def run(self) -> None:
        async with self._group as group:
            loops = [
                group.create_task(self._every(self._limits.heartbeat_seconds, self._beat)),
                group.create_task(self._every(self._limits.heartbeat_seconds, self._sweep)),
                group.create_task(self._every(FIRST_SAVE_SECONDS, self._checkpointing())),
                group.create_task(self._outbox.run()),
                group.create_task(self._mail()),
                *(group.create_task(self._consume(pool, slots)) for pool, slots in self._pools.items()),
            ]
            await self._drain.wait()
            await self._drained()
            for loop in loops:
                loop.cancel()
        self._outbox.flush()

    async def _drained(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(self._drain_seconds):
                await self._until_idle()
                return
        self._leaving = True
        for work in self._outbox.desk:
            self._generation.interrupt(work, Interruption.DRAIN)
        with suppress(TimeoutError):
            async with asyncio.timeout(self._limits.lease_seconds):
                await self._until_idle()
        # What still hangs waits for a store that is away: its runs are taken over from what was saved.
        for job in self._jobs:
            job.cancel()

    async def _until_idle(self) -> None:
        while self._jobs:
            self._freed.clear()
            await self._freed.wait()

    # ── loops ────────────────────────────────────────────────────────────────────────────────────────────────

    async def _every(self, seconds: float, action: Callable[[], Awaitable[None]]) -> None:
        """Repeat an action. A store that is away is met again at the next round; anything else is logged."""
        while True:
            try:
                await action()
            except Unavailable as error:
                log.warning("store.away", error=str(error))
            except Exception:
                log.exception("worker.round_failed")
            await self._clock.sleep(seconds)

    async def _beat(self) -> None:
        """By itself: a sweep may wait for a broker that does not answer, and a heart must not."""
        await self._sweeper.beat(slots=self.slots, draining=self._drain.is_set())
        self._beaten.set()
        self._metrics.gauge("slots", self.slots)
        self._metrics.gauge("slots_used", len(self._jobs))

    async def _sweep(self) -> None:
        await self._beaten.wait()
        room = 0 if self._drain.is_set() else self.slots + self.slots // 4 - len(self._jobs)
        try:
            await self._sweeper.sweep(room, self._take)
        finally:
            self._swept.set()

    def _checkpointing(self) -> Callable[[], Awaitable[None]]:
        """Each round saves what was never saved; each fourth saves everything: after 250 ms, then each second."""
        rounds = 0

        async def checkpoint() -> None:
            nonlocal rounds
            rounds += 1
            saves = self._outbox.desk.saves(everything=rounds % SAVES_A_SECOND == 0)
            if not saves:
                return
            found = await self._runs.checkpoint(self.name, saves)
            for work, reason in self._outbox.desk.saved(saves, found):
                self._generation.interrupt(work, reason)

        return checkpoint

    async def _mail(self) -> None:
        async with self._bus.inbox(self.name, bulletins=False) as inbox:
            async for mail in inbox:
                match mail:
                    case Listen():
                        self._outbox.desk.listen(mail)
                    case Unlisten():
                        self._outbox.desk.unlisten(mail.gateway, mail.run)
                    case StopAsked():
                        self._stop(mail)
                    case _:
                        log.warning("worker.strange_mail", kind=type(mail).__name__)

    def _stop(self, mail: StopAsked) -> None:
        if work := self._outbox.desk.get(mail.run):
            self._generation.interrupt(work, Interruption.STOP)

    async def _consume(self, pool: str, slots: int) -> None:
        """Hand deliveries over until the drain. Then what was not begun goes to other workers at once; the context
        stays open so that running jobs can be acked."""
        async with self._bus.jobs(pool, slots) as deliveries, asyncio.TaskGroup() as group:
            puller = group.create_task(self._pull(pool, slots, deliveries))
            await self._drain.wait()
            puller.cancel()
            await deliveries.stop()
            await self._until_idle()

    async def _pull(self, pool: str, slots: int, deliveries: Deliveries) -> None:
        """Begin deliveries while the pool has free slots; one beyond them waits unclaimed. Orphans go first."""
        await self._swept.wait()
        async for delivery in deliveries:
            while self._busy[pool] >= slots:
                self._freed.clear()
                await self._freed.wait()
            lease = self._limits.redelivered_seconds if delivery.redelivered else self._limits.lease_seconds
            self._begin(pool, self._deliver(delivery, min(lease, self._sweeper.lease_seconds)))

    # ── one job ──────────────────────────────────────────────────────────────────────────────────────────────

    def _take(self, job: Job) -> None:
        """Take over an orphan at once. One that this worker is taking already is left alone."""
        if job.run in self._taking or self._holds(job):
            return
        self._begin(job.pool, self._serve(job, self._sweeper.lease_seconds))

    def _begin(self, pool: str, job: Coroutine[None, None, object]) -> None:
        task = self._group.create_task(job)
        self._busy[pool] += 1
        self._jobs.add(task)
        task.add_done_callback(lambda done: self._ended(pool, done))

    def _ended(self, pool: str, job: asyncio.Task[object]) -> None:
        self._busy[pool] -= 1
        self._jobs.discard(job)
        self._freed.set()

    def _holds(self, job: Job) -> bool:
        return self._outbox.desk.get(job.run) is not None

    async def _deliver(self, delivery: Delivery, lease_seconds: float) -> None:
        served = await self._serve(delivery.job, lease_seconds)
        if delivery.redelivered and not served and not self._holds(delivery.job) and not self._drain.is_set():
            # The broker noticed a death at once; the heartbeats show it when two of them are missed.
            await self._clock.sleep(lease_seconds)
            if not self._drain.is_set():
                await self._serve(delivery.job, lease_seconds)
        await delivery.ack()

    async def _serve(self, job: Job, lease_seconds: float) -> bool:
        """Whether the run was there to be taken."""
        claimant = Claimant(job.run, self.name, self._tokens.claim())
        self._taking.add(job.run)
        try:
            return await self._answer(claimant, job, lease_seconds)
        except Unavailable as error:
            log.warning("run.left", run=str(job.run), error=str(error))
        except Exception:
            log.exception("run.broke", run=str(job.run))
        finally:
            self._taking.discard(job.run)
        return True

    async def _answer(self, claimant: Claimant, job: Job, lease_seconds: float) -> bool:
        held = await self._claim(claimant, lease_seconds)
        if held is None:
            return False
        if self._leaving:
            # The drain's round of interruptions was before this claim was answered.
            await self._generation.release(claimant, held, held.row.text)
            return True
        self._metrics.count("claims_total", kind="first" if held.row.attempt == 1 else "again")
        await self._generation.answer(claimant, held, job.origin)
        return True

    async def _claim(self, claimant: Claimant, lease_seconds: float) -> Held | None:
        """Claim with one id until the store answers: a claim whose outcome is unknown may be ours already, and
        nobody else takes a run from a worker whose heart beats."""
        while True:
            lease = lease_seconds if self._sweeper.trusts else NEVER_SECONDS
            try:
                return await self._runs.claim(
                    claimant, lease_seconds=lease, continues=self._generation.continues, limits=self._limits
                )
            except Unavailable:
                if self._drain.is_set():
                    raise
                await self._clock.sleep(self._limits.heartbeat_seconds)
