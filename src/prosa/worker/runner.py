"""A worker's process: slots, heartbeats, ticks and checkpoints around the streaming loop; and its drain."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from contextlib import suppress
from typing import Final, Literal
from uuid import UUID

import structlog
from structlog.contextvars import bind_contextvars

from prosa.app.generation import Generation
from prosa.app.outbox import Outbox
from prosa.app.sweep import Sweeper
from prosa.core.desk import Interruption
from prosa.core.errors import ProsaError, Unavailable
from prosa.core.events import Job, Listen, StopAsked, Unlisten
from prosa.core.operations import Duty, Process
from prosa.core.policy import Limits
from prosa.core.relay import Row
from prosa.core.run import Claimant
from prosa.core.work import Held
from prosa.ports import Bus, Clock, Deliveries, Delivery, Metrics, Runs, Tokens

log = structlog.get_logger()

FIRST_SAVE_SECONDS: Final = 0.25
SAVES_A_SECOND: Final = 4
GOODBYE_SECONDS: Final = 1.0
"""For the last heartbeat. A store that is away keeps nobody from ending."""
NEVER_SECONDS: Final = 86_400.0
"""A lease under which nobody counts as dead."""

Asker = Literal["signal", "administrator"]
"""Who wants a worker to drain."""


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
        process: Process,
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
        self._process = process
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

    def drain(self, asked_by: Asker = "signal") -> None:
        """Take no more, let runs finish until the deadline, then give back what is left. ``run`` returns then.

        Of itself it does so where its heartbeat finds that an administrator wants it.
        """
        if self._drain.is_set():
            return
        log.info("worker.draining", worker=self.name, asked_by=asked_by, runs=self.busy, seconds=self._drain_seconds)
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
            await self._say_goodbye()
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

    async def _say_goodbye(self) -> None:
        """That it left in order, and was not lost: without runs it may be gone before its next heartbeat."""
        try:
            async with asyncio.timeout(GOODBYE_SECONDS):
                await self._sweeper.beat(self._duty, draining=True)
        except (ProsaError, TimeoutError) as error:
            log.warning("worker.left_unsaid", worker=self.name, error=str(error))

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
        wanted = await self._sweeper.beat(self._duty, draining=self._drain.is_set())
        self._beaten.set()
        if wanted:
            self.drain("administrator")
        for pool, slots in self._pools.items():
            self._metrics.gauge("slots", slots, pool=pool)
            self._metrics.gauge("slots_used", self._busy[pool], pool=pool)

    @property
    def _duty(self) -> Duty:
        return Duty(self._process, self._pools, len(self._jobs))

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
            now = self._clock.monotonic()
            saves = self._outbox.desk.saves(everything=rounds % SAVES_A_SECOND == 0, now=now)
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
        # For every line from here on: the task is this job's own.
        bind_contextvars(run=str(job.run))
        try:
            return await self._answer(claimant, job, lease_seconds)
        except Unavailable as error:
            log.warning("run.left", error=str(error))
        except Exception:
            log.exception("run.broke")
        finally:
            self._taking.discard(job.run)
        return True

    async def _answer(self, claimant: Claimant, job: Job, lease_seconds: float) -> bool:
        held = await self._claim(claimant, lease_seconds)
        if held is None:
            return False
        if isinstance(held, Row):
            self._sweeper.over(held)
            return True
        if self._leaving:
            # The drain's round of interruptions was before this claim was answered.
            await self._generation.release(claimant, held, held.row.text)
            return True
        self._claimed(held)
        await self._generation.answer(claimant, held, job.origin)
        return True

    def _claimed(self, held: Held) -> None:
        bind_contextvars(chat=str(held.row.chat), user=str(held.row.user))
        if held.lost_by is None:
            log.debug("run.claimed", worker=self.name, attempt=held.row.attempt)
        else:
            log.info("run.taken_over", worker=self.name, lost_by=held.lost_by, attempt=held.row.attempt)
        first = held.row.attempt == 1
        self._metrics.count("claims_total", kind="first" if first else "again")
        if first:
            self._metrics.observe("queue_seconds", held.queued_seconds, pool=held.row.pool)

    async def _claim(self, claimant: Claimant, lease_seconds: float) -> Held | Row | None:
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
