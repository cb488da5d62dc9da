"""A real Prometheus watches a real cluster: every query finds something, and alerts fire and resolve as they should.

One cluster for all tests, in this order: what is well first, then one trouble after the other, each mended again.
"""

import asyncio
import json
import re
import signal
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import msgspec
import pytest

from tests.system.cluster import House, Nodes, house, until
from tests.system.harness import Person
from tests.system.prometheus import RATE_INTERVAL, SCALE, Prometheus, watched
from tests.system.test_bench import connected, ended, start
from tools.observability.files import DEPLOY, alerts

ROOT = Path(__file__).parents[2]
PATIENT_SECONDS = 40.0
"""Alerts fire within 3 to 10 s here: a lease of 3 s, a census each 5 s, a minute's hold of 1 s."""
LOAD = ("--users", "3", "--seconds", "300", "--words", "10", "--rate", "20", "--think", "1.5", "--spread", "1")
SLOW = ("--users", "16", "--chats", "4", "--ahead", "4", "--seconds", "60", "--start", "back-to-back", "--ttft", "2.6")
CONFIGURATION = """\
default_model = "scripted"
worker_pools = "default"

[[models]]
name = "slow"
engine = "scripted"

[[models]]
name = "parked"
engine = "scripted"
pool = "parked"
"""
MODEL_OF_NOBODY = "parked"
PROVOKED = {
    ("Prosa: overview", "Alerts"): "nothing fires while all is well: looked at while a worker is dead",
    ("Prosa: life of runs", "Failed"): "no answer fails while all is well: looked at after some were made to fail",
}
"""Panels that show something only in a state that a test here provokes, and when they are looked at."""


class Query(msgspec.Struct, frozen=True):
    """``where``: the dashboard and panel, the alert or the runbook that asks."""

    where: tuple[str, str]
    expr: str


def panels() -> Iterator[Query]:
    for path in sorted((DEPLOY / "grafana" / "dashboards").glob("*.json")):
        board = json.loads(path.read_text("utf-8"))
        for panel in board["panels"]:
            for target in panel.get("targets", ()):
                expr = target["expr"].replace("$__rate_interval", RATE_INTERVAL)
                yield Query((board["title"], panel["title"]), expr)


def bounds() -> Iterator[Query]:
    """What alerts hold against their bounds: the bound itself cut off, there must be a number."""
    for alert in alerts(SCALE):
        for term in alert.terms:
            yield Query((alert.name, term.bound), term.value)


def runbooks() -> Iterator[Query]:
    """Those that an operator is told to ask, one a line, without the bound that hides what is none."""
    for path in sorted((ROOT / "docs" / "runbooks").glob("*.md")):
        for block in re.findall(r"```promql\n(.*?)```", path.read_text("utf-8"), re.DOTALL):
            lines = (line.strip().removesuffix(" > 0") for line in block.splitlines())
            yield from (Query((path.stem, "runbook"), line) for line in lines if line)


def provoked(*where: str) -> list[str]:
    """The queries of one of those panels."""
    assert where in PROVOKED
    return [query.expr for query in panels() if query.where == where]


class Scene(msgspec.Struct, frozen=True):
    """A cluster under load, and the Prometheus beside it."""

    house: House
    prometheus: Prometheus
    bench: asyncio.subprocess.Process
    configuration: Path


@pytest.fixture(scope="module")
async def scene(nodes: Nodes, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Scene]:
    await nodes.heal()
    made = tmp_path_factory.mktemp("observed")
    config = made / "prosa.toml"
    config.write_text(CONFIGURATION)
    async with house(nodes, proxied=False, config=str(config)) as cluster, watched(cluster) as prometheus:
        bench = await start(made, "--url", cluster.base, *LOAD)
        try:
            yield Scene(cluster, prometheus, bench, config)
        finally:
            if bench.returncode is None:
                bench.kill()
                await bench.wait()


async def test_every_target_answers_and_every_query_finds_something(scene: Scene) -> None:
    jobs = ["node", "postgres", *["prosa-gateway"] * 2, *["prosa-worker"] * 3, "rabbitmq", "rabbitmq-queues"]

    async def all_up() -> bool:
        found = await scene.prometheus.targets()
        return sorted(found) == [(job, "up", "") for job in jobs]

    await until(all_up, PATIENT_SECONDS)
    queries = [*panels(), *bounds(), *runbooks()]
    assert {query.where for query in queries} >= set(PROVOKED)
    asked = {query.expr for query in queries if query.where not in PROVOKED}
    missing = await scene.prometheus.without_data(asked, PATIENT_SECONDS)
    assert [query for query in queries if query.expr in missing] == []
    assert await scene.prometheus.broken_rules() == []
    assert [one for one in await scene.prometheus.alerts() if one["severity"] == "page"] == []
    await scene.prometheus.becomes('max(prosa_workers{state="alive"})', 3, PATIENT_SECONDS)
    await scene.prometheus.becomes("sum(prosa_slots)", 300, PATIENT_SECONDS)


async def test_a_dead_worker_and_a_frozen_one_are_told_of_until_they_are_back(scene: Scene) -> None:
    prometheus, cluster = scene.prometheus, scene.house.cluster
    dead, frozen = scene.house.workers[:2]
    cluster.kill(dead)
    await cluster.stop(dead)
    cluster.freeze(frozen)
    try:
        for name in (dead, frozen):
            instance = scene.house.at(name).removeprefix("http://")
            await prometheus.fires(PATIENT_SECONDS, alertname="ProsaTargetDown", job="prosa-worker", instance=instance)
        await prometheus.fires(PATIENT_SECONDS, alertname="ProsaWorkerSilent", severity="ticket")
        alerting = provoked("Prosa: overview", "Alerts")
        assert await prometheus.without_data(alerting, PATIENT_SECONDS) == set()
    finally:
        cluster.thaw(frozen)
    await cluster.start(dead)
    await prometheus.resolves(PATIENT_SECONDS, alertname="ProsaTargetDown")
    await prometheus.becomes('max(prosa_workers{state="silent"})', 1, PATIENT_SECONDS)
    # The frozen one is heard of again. The dead one has a successor with another name, and is forgotten after an
    # hour: here at once.
    await scene.house.ask("DELETE FROM workers WHERE alive_at < clock_timestamp() - interval '3 s'")
    await prometheus.resolves(PATIENT_SECONDS, alertname="ProsaWorkerSilent")
    scene.bench.send_signal(signal.SIGINT)
    code, output = await ended(scene.bench)
    assert (code, "lost 0   duplicated 0   corrupted 0   reordered 0" in output) == (0, True), output


async def test_a_queue_that_nobody_serves_is_told_of_until_somebody_does(scene: Scene) -> None:
    prometheus, cluster = scene.prometheus, scene.house.cluster
    person = await Person.sign_up(scene.house.base)
    async with person.socket() as tab:
        parked = await tab.ask("[[n=3 r=100]]", model=MODEL_OF_NOBODY)
        await prometheus.fires(PATIENT_SECONDS, alertname="ProsaQueueOld", severity="page")
        queue = f'{{queue="prosa.jobs.v1.{MODEL_OF_NOBODY}"}}'
        await prometheus.becomes(f"rabbitmq_detailed_queue_messages_ready{queue}", 1, PATIENT_SECONDS)
        await prometheus.becomes(f"rabbitmq_detailed_queue_consumers{queue}", 0, PATIENT_SECONDS)
        scene.configuration.write_text(CONFIGURATION.replace('"default"', f'"default,{MODEL_OF_NOBODY}"'))
        await cluster.restart(scene.house.workers[-1])
        end = (await tab.answer(parked["run"])).end
        assert end is not None
        assert end["type"] == "done"
    await prometheus.resolves(PATIENT_SECONDS, alertname="ProsaQueueOld")


async def test_a_failing_model_is_shown_with_its_code(scene: Scene) -> None:
    person = await Person.sign_up(scene.house.base)
    async with person.socket() as tab:
        failing = await tab.ask("[[n=3 r=100 fail=1]]")
        await tab.answer(failing["run"])
    # The very first one: a rate sees it only where its series was there before it, with 0.
    assert await scene.prometheus.without_data(provoked("Prosa: life of runs", "Failed"), PATIENT_SECONDS) == set()
    calls = 'prosa_engine_calls_total{model="scripted",outcome="model_broke"}'
    await scene.prometheus.becomes(f"sum({calls})", 1, PATIENT_SECONDS)


async def test_a_slow_model_is_told_of_until_it_is_quick(scene: Scene, tmp_path: Path) -> None:
    prometheus = scene.prometheus
    bench = await start(tmp_path, "--url", scene.house.base, "--model", "slow", "--words", "2", *SLOW)
    try:
        await connected(bench)
        fired = await prometheus.fires(PATIENT_SECONDS, alertname="ProsaFirstTokenSlow", burn="fast")
        assert fired["severity"] == "page"
    finally:
        bench.kill()
        await bench.wait()
    await prometheus.resolves(PATIENT_SECONDS, alertname="ProsaFirstTokenSlow", burn="fast")


async def test_what_prometheus_has_counted_is_what_the_database_holds(scene: Scene) -> None:
    """Of accepts: the gateways have lived through all of it."""
    (row,) = await scene.house.ask("SELECT count(*) FROM runs")
    await scene.prometheus.becomes("sum(prosa_accepted_total)", row["count"], PATIENT_SECONDS)
