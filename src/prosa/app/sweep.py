"""The sweeper: what keeps every promise that a message on the bus, a worker or a gateway forgot."""

from collections.abc import Callable, Sequence
from typing import Final

from prosa.app.endings import note_end
from prosa.app.outbox import Outbox
from prosa.core.events import Job, Over
from prosa.core.operations import Duty
from prosa.core.policy import Limits
from prosa.core.relay import Row
from prosa.ports import Bus, Clock, Metrics, Sweeps

BATCH: Final = 200
PRUNE_SECONDS: Final = 60.0
FORGET_SECONDS: Final = 3600.0


class Sweeper:
    """One worker's upkeep, safe beside any number of others.

    Whoever had no store for longer than a heartbeat waits a full lease before it treats anyone as dead: the
    others' heartbeats could not be written either.
    """

    def __init__(  # noqa: PLR0913 — what a sweep needs, by keyword only
        self,
        *,
        sweeps: Sweeps,
        bus: Bus,
        outbox: Outbox,
        clock: Clock,
        limits: Limits,
        metrics: Metrics,
        pools: Sequence[str],
        alone: bool,
    ) -> None:
        self._sweeps = sweeps
        self._bus = bus
        self._outbox = outbox
        self._clock = clock
        self._limits = limits
        self._metrics = metrics
        self._pools = pools
        self._alone = alone
        self._trusted_from = clock.monotonic()
        self._seen = clock.monotonic()
        self._pruned = clock.monotonic()

    @property
    def lease_seconds(self) -> float:
        """How old a heartbeat must be. Zero for the only process on a locked data folder: all others are dead."""
        return 0.0 if self._alone else self._limits.lease_seconds

    @property
    def trusts(self) -> bool:
        """Whether another worker's old heartbeat means its death, and not that nobody could write one."""
        if self._alone:
            return True
        return self.silent_seconds <= self._missed_seconds and self._clock.monotonic() >= self._trusted_from

    @property
    def _missed_seconds(self) -> float:
        """A silence of our own that is longer comes from the store: others were not heard either."""
        return 2 * self._limits.heartbeat_seconds + 1

    @property
    def silent_seconds(self) -> float:
        """Since this worker's last heartbeat that was written."""
        return self._clock.monotonic() - self._seen

    async def beat(self, duty: Duty, *, draining: bool) -> bool:
        """Say that this worker lives. Whether an administrator wants it to drain, and it is not the only one.

        Raises Unavailable.
        """
        slots = sum(duty.pools.values())
        wanted = await self._sweeps.heartbeat(
            self._outbox.name, slots=slots, draining=draining, alone=self._alone, duty=duty
        )
        now = self._clock.monotonic()
        self._metrics.gauge("lease_margin_seconds", self._limits.lease_seconds - (now - self._seen))
        if now - self._seen > self._missed_seconds:
            self._trusted_from = now + self._limits.lease_seconds
        self._seen = now
        return wanted and not self._alone

    async def sweep(self, room: int, take: Callable[[Job], None]) -> None:
        """One round: take over at most ``room`` orphans, promote, dispatch again, expire, prune. Raises Unavailable."""
        await self._take_over(room, take)
        for job in await self._sweeps.promote(self._limits, BATCH):
            self._bus.dispatch(job)
        for pool in self._pools:
            await self._dispatch_again(pool)
        for row in await self._sweeps.expire(self._limits, BATCH):
            self.over(row)
            self._metrics.count("expired_total")
        await self._prune()

    def over(self, row: Row) -> None:
        """This worker ended a run that nobody answers any more."""
        self._outbox.announce(Over(row.run, row.chat, row.user))
        if row.end is not None:
            note_end(self._metrics, row, row.end)

    async def _take_over(self, room: int, take: Callable[[Job], None]) -> None:
        if room < 1 or not self.trusts:
            return
        jobs = await self._sweeps.orphans(self._outbox.name, self.lease_seconds, room)
        # The answer may have waited for a store that was away.
        for job in jobs if self.trusts else ():
            take(job)
            self._metrics.count("takeovers_total")

    async def _dispatch_again(self, pool: str) -> None:
        ready = await self._bus.backlog(pool)
        if ready is None:
            return
        for job in await self._sweeps.undispatched(pool, ready, self._limits):
            self._bus.dispatch(job)
            self._metrics.count("dispatched_again_total")

    async def _prune(self) -> None:
        if self._clock.monotonic() - self._pruned < PRUNE_SECONDS:
            return
        self._pruned = self._clock.monotonic()
        await self._sweeps.prune(FORGET_SECONDS)
