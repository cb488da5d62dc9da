"""What a process measures of itself and of the deployment."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from prosa.adapters.metrics import PrometheusMetrics
from prosa.app.vitals import CENSUS_SECONDS, PULSE_SECONDS, Vitals
from prosa.core.errors import ProsaError, SchemaOutdated, StoreUnavailable
from prosa.core.run import RunState
from prosa.core.work import Census
from prosa.testing import ManualClock


class Store:
    """A census of one run that waits; an error while it is ``away``."""

    def __init__(self) -> None:
        self.away: ProsaError | None = None
        self.asked = 0

    async def census(self, lease_seconds: float) -> Census:
        self.asked += 1
        if self.away:
            raise self.away
        return Census({RunState.WAITING: self.asked}, {RunState.WAITING: 12.5}, {"alive": 3, "silent": 0})


class Late(ManualClock):
    """Whose sleepers are woken late."""

    late = 0.0

    async def sleep(self, seconds: float) -> None:
        await super().sleep(seconds)
        self._elapsed += self.late


@asynccontextmanager
async def measured(clock: ManualClock, store: Any) -> AsyncIterator[PrometheusMetrics]:  # noqa: ANN401 — stands in for Reads
    metrics = PrometheusMetrics()
    async with asyncio.TaskGroup() as group:
        running = group.create_task(Vitals(clock, metrics, store, 3.0).run())
        await clock.asleep()
        yield metrics
        running.cancel()


async def test_the_deployment_is_counted_every_five_seconds() -> None:
    clock, store = ManualClock(), Store()
    async with measured(clock, store) as metrics:
        text = metrics.exposition().decode()
        assert 'prosa_runs{state="waiting"} 1.0' in text
        assert 'prosa_oldest_run_seconds{state="waiting"} 12.5' in text
        assert 'prosa_workers{state="alive"} 3.0' in text
        await clock.advance(CENSUS_SECONDS * 2)
        assert store.asked == 3
        assert 'prosa_runs{state="waiting"} 3.0' in metrics.exposition().decode()


@pytest.mark.parametrize("error", [StoreUnavailable("away"), SchemaOutdated("no tables")])
async def test_a_store_that_is_away_leaves_the_numbers_as_they_were_and_is_asked_again(error: ProsaError) -> None:
    clock, store = ManualClock(), Store()
    async with measured(clock, store) as metrics:
        store.away = error
        await clock.advance(CENSUS_SECONDS)
        assert 'prosa_runs{state="waiting"} 1.0' in metrics.exposition().decode()
        store.away = None
        await clock.advance(CENSUS_SECONDS)
        assert 'prosa_runs{state="waiting"} 3.0' in metrics.exposition().decode()


async def test_a_loop_that_wakes_its_tasks_late_shows_by_how_much() -> None:
    clock = Late()
    async with measured(clock, None) as metrics:
        await clock.advance(PULSE_SECONDS)
        clock.late = 0.3
        await clock.advance(PULSE_SECONDS)
        text = metrics.exposition().decode()
        assert "prosa_loop_lag_seconds_count 2.0" in text
        assert 'prosa_loop_lag_seconds_bucket{le="0.25"} 1.0' in text
        assert 'prosa_loop_lag_seconds_bucket{le="0.5"} 2.0' in text


async def test_log_lines_that_were_dropped_are_counted_once() -> None:
    clock, metrics, dropped = ManualClock(), PrometheusMetrics(), [3]
    async with asyncio.TaskGroup() as group:
        vitals = Vitals(clock, metrics, None, 3.0, dropped_lines=lambda: dropped[0])
        running = group.create_task(vitals.run())
        for count in (3, 3, 10):
            dropped[0] = count
            await clock.asleep()
            await clock.advance(PULSE_SECONDS)
            assert metrics.registry.get_sample_value("prosa_log_lines_dropped_total") == count
        running.cancel()
