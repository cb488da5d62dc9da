"""What a process measures of itself and of the whole deployment while it does its work."""

import asyncio
from collections.abc import Callable
from typing import Final

import structlog

from prosa.core.errors import ProsaError
from prosa.core.work import Census
from prosa.ports import Clock, Metrics, Reads

log = structlog.get_logger()

PULSE_SECONDS: Final = 0.25
CENSUS_SECONDS: Final = 5.0
STORE_SECONDS: Final = 5.0


class Vitals:
    """``reads``: of a process that takes the census of the deployment; None for one that leaves it to others.

    ``dropped_lines``: how many lines its log has dropped.
    """

    def __init__(
        self,
        clock: Clock,
        metrics: Metrics,
        reads: Reads | None,
        lease_seconds: float,
        *,
        dropped_lines: Callable[[], int] = int,
    ) -> None:
        self._clock = clock
        self._metrics = metrics
        self._reads = reads
        self._lease_seconds = lease_seconds
        self._dropped_lines = dropped_lines
        self._told_lines = 0

    async def run(self) -> None:
        """Measure until cancelled. A store that cannot be asked leaves its gauges as they were."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._pulse())
            if self._reads is not None:
                group.create_task(self._counting(self._reads))

    async def _pulse(self) -> None:
        """How late the event loop wakes who asked for a moment: what every answer here waits for, too."""
        while True:
            due = self._clock.monotonic() + PULSE_SECONDS
            await self._clock.sleep(PULSE_SECONDS)
            self._metrics.observe("loop_lag_seconds", max(self._clock.monotonic() - due, 0.0))
            self._count_lines()

    def _count_lines(self) -> None:
        dropped = self._dropped_lines()
        if dropped > self._told_lines:
            self._metrics.count("log_lines_dropped_total", dropped - self._told_lines)
            self._told_lines = dropped

    async def _counting(self, reads: Reads) -> None:
        while True:
            try:
                async with asyncio.timeout(STORE_SECONDS):
                    self._show(await reads.census(self._lease_seconds))
            except (ProsaError, TimeoutError) as error:
                # Whatever is wrong with the store, who serves people with it says so, and decides what that means.
                log.debug("census.left_out", error=str(error))
            await self._clock.sleep(CENSUS_SECONDS)

    def _show(self, census: Census) -> None:
        for state, number in census.runs.items():
            self._metrics.gauge("runs", number, state=state.value)
        for state, seconds in census.oldest_seconds.items():
            self._metrics.gauge("oldest_run_seconds", seconds, state=state.value)
        for standing, number in census.workers.items():
            self._metrics.gauge("workers", number, state=standing)
