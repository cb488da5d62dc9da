"""The store's transactions are measured in one place, each by the name of the port's method that asked."""

import ast
from pathlib import Path

import pytest
from sqlalchemy import Connection, text

from prosa.adapters.metrics import PrometheusMetrics
from prosa.adapters.sql import measured
from prosa.adapters.sql.measured import MeasuredDatabase, call_of
from prosa.adapters.sql.opening import open_database
from prosa.adapters.sql.store import open_store
from prosa.core.errors import NotFound, StoreUnavailable
from prosa.core.run import RunState
from tests.contract.scene import Scene

SOURCE = Path(measured.__file__).parent


def shown(metrics: PrometheusMetrics, start: str) -> dict[str, float]:
    rows = metrics.exposition().decode().splitlines()
    return {name: float(value) for name, value in (row.rsplit(" ", 1) for row in rows if row.startswith(start))}


def errors(metrics: PrometheusMetrics) -> dict[str, float]:
    """Those that were counted, by code: each is shown from the start, as 0."""
    found = shown(metrics, "prosa_store_errors_total{")
    return {name.split('"')[1]: value for name, value in found.items() if value}


def timed(metrics: PrometheusMetrics) -> dict[str, int]:
    """The number of transactions by call."""
    found = shown(metrics, "prosa_store_seconds_count{")
    return {name.split('"')[1]: int(value) for name, value in found.items()}


async def test_calls_are_named_as_the_ports_name_them_and_a_refusal_was_answered(url: str) -> None:
    metrics = PrometheusMetrics()
    async with open_store(url, metrics=metrics) as store:
        scene = Scene(store, url)
        scene.user = await scene.person("ana")
        receipt = await scene.send()
        claimant = await scene.hold(receipt.row.run)
        await scene.save(claimant, "It is")
        await scene.answer((await scene.send()).row.run)
        with pytest.raises(NotFound):
            await store.reads.own(await scene.person(), receipt.row.run)
        assert (await store.reads.counts())[RunState.RUNNING] == 1
        await store.sweeps.heartbeat("wk-1", slots=1, draining=False)
        await store.chats.page(scene.user, None, 10)
    calls = {"add": 2, "accept": 2, "claim": 2, "checkpoint": 1, "finish": 1, "own": 1, "counts": 1, "heartbeat": 1}
    assert timed(metrics) == calls | {"page": 1}
    assert shown(metrics, "prosa_store_connected") == {"prosa_store_connected": 1}
    assert errors(metrics) == {}


async def test_a_store_that_is_away_is_counted_and_not_timed() -> None:
    metrics = PrometheusMetrics()
    async with open_store("postgresql://nobody@127.0.0.1:1/nothing", metrics=metrics) as store:
        for _ in range(2):
            with pytest.raises(StoreUnavailable):
                await store.reads.counts()
    assert errors(metrics) == {"store_unavailable": 2}
    assert shown(metrics, "prosa_store_connected") == {"prosa_store_connected": 0}
    assert timed(metrics) == {}


async def test_a_mistake_of_ours_is_neither_an_outage_nor_a_time(url: str) -> None:
    metrics = PrometheusMetrics()

    def wrong(tx: Connection) -> None:
        tx.execute(text("NOT SQL"))

    async with open_database(url) as database:
        with pytest.raises(Exception, match="NOT SQL"):
            await MeasuredDatabase(database, metrics).write(wrong)
    assert timed(metrics) == errors(metrics) == {}


def test_every_transaction_of_the_store_has_a_name() -> None:
    """By which an operator finds it: work without one would be measured as something else."""
    works = [
        node.args[0]
        for path in SOURCE.glob("*.py")
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Call) and ast.unparse(node.func) in ("self._database.read", "self._database.write")
    ]
    named = (ast.Lambda, ast.Name)
    assert len(works) > 20
    assert [ast.unparse(work) for work in works if not isinstance(work, named)] == []
    assert call_of(_all) == "all"
    assert call_of(lambda _tx: None) == "test_every_transaction_of_the_store_has_a_name"


def _all(tx: Connection) -> None:
    """Work as a function of its own."""
