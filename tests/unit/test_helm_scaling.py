"""How many processes there are: what is asked of Prometheus, how fast it follows, and what upgrades leave standing."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import pytest
import yaml

from prosa.adapters.metrics import METRICS, Kind
from prosa.adapters.rabbitmq_bus.topology import jobs_queue
from tests.chart import NAMESPACE, SETS, Object, component, of_kind, rendered, template, variables
from tests.deployment import ROOT
from tests.unit.test_alerts import promtool

SCALED: Final = ["pools", "production"]
BEHAVIOURS: Final = [name for name in SETS if name != "bare"]


def scalers(name: str) -> dict[str, Object]:
    return of_kind(rendered(name), "ScaledObject")


def queries(name: str) -> dict[str, str]:
    """By Deployment and trigger."""
    return {
        f"{owner} {trigger['name']}": trigger["metadata"]["query"]
        for owner, one in scalers(name).items()
        for trigger in one["spec"]["triggers"]
    }


def behaviour(one: Object) -> Object:
    spec: Object = one["spec"]
    found: Object = spec.get("behavior") or spec["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]
    return found


# ── what is asked ──


def asked(folder: Path, series: dict[str, str], wanted: Mapping[str, float | None]) -> None:
    """Prometheus' own answers, after five minutes of these series; None: it finds nothing."""
    test = {
        "interval": "15s",
        "input_series": [{"series": name, "values": values} for name, values in series.items()],
        "promql_expr_test": [
            {
                "expr": query,
                "eval_time": "5m",
                "exp_samples": [] if value is None else [{"labels": "{}", "value": value}],
            }
            for query, value in wanted.items()
        ],
    }
    script = folder / "queries.yml"
    script.write_text(json.dumps({"rule_files": [], "evaluation_interval": "15s", "tests": [test]}))
    assert "SUCCESS" in promtool("test", "rules", script)


def of(metric: str, **labels: str) -> str:
    every = {"namespace": NAMESPACE, **labels}
    return metric + "{" + ",".join(f'{name}="{value}"' for name, value in every.items()) + "}"


def test_demand_is_what_waits_and_runs_counted_once_and_only_of_this_release(tmp_path: Path) -> None:
    found = queries("production")
    series = {
        of("prosa_runs", state="queued", instance="g1"): "30x40",
        of("prosa_runs", state="queued", instance="g2"): "31x40",
        of("prosa_runs", state="running", instance="g1"): "10x40",
        of("prosa_runs", state="waiting", instance="g1"): "500x40",
        of("prosa_oldest_run_seconds", state="queued", instance="g1"): "12x40",
        of("prosa_oldest_run_seconds", state="waiting", instance="g1"): "900x40",
        of("prosa_runs", state="queued", instance="g1", namespace="other"): "7000x40",
        of("prosa_oldest_run_seconds", state="queued", instance="g1", namespace="other"): "800x40",
    }
    asked(tmp_path, series, {found["prosa-worker demand"]: 41, found["prosa-worker age"]: 12})


def test_the_demand_for_a_pool_is_its_queue_and_its_age_that_of_whom_it_served_last(tmp_path: Path) -> None:
    found = queries("pools")
    queue = "rabbitmq_detailed_queue_messages"
    bucket = "prosa_queue_seconds_bucket"
    series = {
        of(queue, queue=jobs_queue("gpu")): "12x40",
        of(queue, queue=jobs_queue("gpu-2")): "100x40",
        of(queue, queue=jobs_queue("cloud")): "5x40",
        of(queue, queue=jobs_queue("local")): "2x40",
        of(queue, queue="prosa.dead.v1"): "9000x40",
        of(bucket, pool="gpu", le="10"): "0+0x40",
        of(bucket, pool="gpu", le="30"): "0+10x40",
        of(bucket, pool="gpu", le="+Inf"): "0+10x40",
        of(bucket, pool="cloud", le="10"): "7x40",
        of(bucket, pool="cloud", le="+Inf"): "7x40",
    }
    wanted = {
        found["prosa-worker-gpu demand"]: 12.0,
        found["prosa-worker-rest demand"]: 7.0,
        found["prosa-worker-gpu age"]: 29.0,
        found["prosa-worker-rest age"]: 0.0,
    }
    asked(tmp_path, series, wanted)


def test_where_nothing_is_scraped_demand_is_unknown_and_not_nothing(tmp_path: Path) -> None:
    """KEDA is told to take that as an error, by which an autoscaler takes no workers away."""
    found = queries("production") | queries("pools")
    asked(tmp_path, {"up": "1x40"}, {query: None for name, query in found.items() if name.endswith("demand")})
    for name in SCALED:
        for one in scalers(name).values():
            assert [trigger["metadata"]["ignoreNullValues"] for trigger in one["spec"]["triggers"]] == ["false"] * 2


def test_a_pool_is_asked_for_by_the_name_that_its_queue_has(tmp_path: Path) -> None:
    """Whatever the characters in it."""
    pool = "a.b+c"
    objects = template(*SETS["pools"], "--set-json", f'pools.odd={{"pools":["{pool}"]}}')
    (trigger, age) = of_kind(objects, "ScaledObject")["prosa-worker-odd"]["spec"]["triggers"]
    series = {
        of("rabbitmq_detailed_queue_messages", queue=jobs_queue(pool)): "3x40",
        of("rabbitmq_detailed_queue_messages", queue=jobs_queue("aXbbc")): "100x40",
        of("prosa_queue_seconds_bucket", pool=pool, le="10"): "0+10x40",
        of("prosa_queue_seconds_bucket", pool=pool, le="+Inf"): "0+10x40",
    }
    asked(tmp_path, series, {trigger["metadata"]["query"]: 3.0, age["metadata"]["query"]: 9.5})


@pytest.mark.parametrize("name", SCALED)
def test_every_metric_that_is_asked_for_exists_with_these_labels(name: str) -> None:
    suffixes = {Kind.OBSERVE: "_bucket", Kind.COUNT: "", Kind.GAUGE: ""}
    ours = {f"prosa_{one.name}{suffixes[one.kind]}": {*one.labels, "le"} for one in METRICS}
    # Scraped queue by queue, as deploy/prometheus does; the alerts read it too.
    theirs = {"rabbitmq_detailed_queue_messages": {"queue"}}
    alerts = (ROOT / "deploy" / "prometheus" / "rules" / "alerts.yml").read_text("utf-8")
    assert all(f"{metric}{{" in alerts for metric in theirs)
    for query in queries(name).values():
        found = re.findall(r"((?:prosa|rabbitmq)_\w+)\{([^}]*)\}", query)
        assert found, query
        for metric, where in found:
            labels = set(re.findall(r"(\w+)=", where)) - {"namespace"}
            assert labels <= (ours | theirs)[metric], query


def test_a_worker_more_for_each_four_fifths_of_its_slots() -> None:
    thresholds = {
        owner: [(one["metricType"], float(one["metadata"]["threshold"])) for one in found["spec"]["triggers"]]
        for name in SCALED
        for owner, found in scalers(name).items()
    }
    assert thresholds == {
        "prosa-worker": [("AverageValue", 51.2), ("Value", 10)],
        "prosa-worker-gpu": [("AverageValue", 6.4), ("Value", 10)],
        "prosa-worker-rest": [("AverageValue", 60), ("Value", 10)],
    }


def test_a_prometheus_that_wants_to_know_who_asks_is_told() -> None:
    more = ("--set", "keda.prometheus.authenticationRef.name=prometheus,keda.prometheus.authModes=bearer")
    (one,) = of_kind(template(*SETS["production"], *more), "ScaledObject").values()
    for trigger in one["spec"]["triggers"]:
        assert trigger["authenticationRef"] == {"name": "prometheus"}
        assert trigger["metadata"]["authModes"] == "bearer"


# ── how fast ──


@pytest.mark.parametrize("name", BEHAVIOURS)
def test_whoever_goes_goes_alone_and_after_a_quiet_time(name: str) -> None:
    found = of_kind(rendered(name), "HorizontalPodAutoscaler", "ScaledObject")
    assert {one["spec"]["scaleTargetRef"]["name"] for one in found.values()} == {
        *of_kind(rendered(name), "Deployment"),
    }, "each is scaled, and by one autoscaler"
    for one in found.values():
        down, up = behaviour(one)["scaleDown"], behaviour(one)["scaleUp"]
        assert down["stabilizationWindowSeconds"] >= 300
        assert down["policies"] == [{"type": "Pods", "value": 1, "periodSeconds": 60}]
        assert up["stabilizationWindowSeconds"] == 0


def test_keda_scales_workers_and_cpu_does_where_there_is_none() -> None:
    with_keda, without = (rendered(name) for name in ("production", "production-without-keda"))
    assert of_kind(with_keda, "HorizontalPodAutoscaler").keys() == {"prosa-gateway"}
    assert of_kind(without, "HorizontalPodAutoscaler").keys() == {"prosa-gateway", "prosa-worker"}
    scaled = of_kind(with_keda, "ScaledObject")["prosa-worker"]["spec"]
    plain = of_kind(without, "HorizontalPodAutoscaler")["prosa-worker"]["spec"]
    assert (
        (scaled["minReplicaCount"], scaled["maxReplicaCount"])
        == (plain["minReplicas"], plain["maxReplicas"])
        == (3, 20)
    )
    # Whoever turns KEDA on has that one until then: it is taken over under its name.
    assert scaled["advanced"]["horizontalPodAutoscalerConfig"]["name"] == "prosa-worker"


@pytest.mark.parametrize("name", SETS)
def test_there_are_two_gateways_at_least_and_what_is_scaled_is_not_counted(name: str) -> None:
    objects = rendered(name)
    scaled = of_kind(objects, "HorizontalPodAutoscaler", "ScaledObject")
    for owner, deployment in of_kind(objects, "Deployment").items():
        assert ("replicas" in deployment["spec"]) == (owner not in scaled), owner
    (gateway,) = (owner for owner in of_kind(objects, "Deployment") if owner.endswith("-gateway"))
    least = (
        scaled[gateway]["spec"]["minReplicas"]
        if scaled
        else of_kind(objects, "Deployment")[gateway]["spec"]["replicas"]
    )
    assert least >= 2


# ── what stands meanwhile ──


@pytest.mark.parametrize("name", BEHAVIOURS)
def test_an_upgrade_and_a_drained_node_leave_enough_standing(name: str) -> None:
    objects = rendered(name)
    budgets = of_kind(objects, "PodDisruptionBudget")
    for owner, deployment in of_kind(objects, "Deployment").items():
        assert deployment["spec"]["strategy"]["rollingUpdate"] == {"maxUnavailable": 0, "maxSurge": 1}, owner
        assert budgets[owner]["spec"]["maxUnavailable"] in (1, "25%"), owner
        assert budgets[owner]["spec"]["selector"] == deployment["spec"]["selector"], owner
    for made in (*component(objects, "gateway"), *component(objects, "worker")):
        spread = made.spec["topologySpreadConstraints"]
        wanted = ["kubernetes.io/hostname", "topology.kubernetes.io/zone"]
        assert [one["topologyKey"] for one in spread] == wanted, made.owner
        how = "DoNotSchedule" if name == "gateway-api" else "ScheduleAnyway"
        assert {one["whenUnsatisfiable"] for one in spread} == {how}, made.owner


@pytest.mark.parametrize("given", [(), SETS["pools"], ("--set", "settings.database_connections=4")])
def test_the_bundled_database_takes_the_connections_of_all_processes(given: tuple[str, ...]) -> None:
    objects = template(*given)
    (database,) = component(objects, "postgresql")
    (most,) = (
        int(found[1]) for word in database.containers[0]["args"] if (found := re.match(r"max_connections=(\d+)", word))
    )
    each = (
        int(variables(component(objects, "gateway")[0].spec["containers"][0]).get("PROSA_DATABASE_CONNECTIONS", 10)) + 1
    )
    needed = 0
    for one in of_kind(objects, "HorizontalPodAutoscaler", "ScaledObject").values():
        replicas = one["spec"].get("maxReplicas") or one["spec"]["maxReplicaCount"]
        needed += (replicas + 1) * each
    assert most >= max(100, needed + 3)


# ── who watches ──


def test_what_is_scraped_is_called_as_alerts_and_dashboards_call_it() -> None:
    objects = rendered("pools")
    monitors = of_kind(objects, "ServiceMonitor")
    jobs = {
        relabeling["replacement"]: endpoint
        for one in monitors.values()
        for endpoint in one["spec"]["endpoints"]
        for relabeling in endpoint["relabelings"]
    }
    plain = yaml.safe_load((ROOT / "deploy" / "prometheus" / "prometheus.yml").read_text("utf-8"))["scrape_configs"]
    assert jobs.keys() == {job["job_name"] for job in plain} - {"postgres", "node"}
    for job in (one for one in plain if one["job_name"] in jobs):
        found = jobs[job["job_name"]]
        assert found["path"] == job.get("metrics_path", "/metrics")
        assert found.get("params") == job.get("params")
        relabelings = [
            {re.sub("_(.)", lambda part: part[1].upper(), key): value for key, value in one.items()}
            for one in job.get("metric_relabel_configs", ())
        ]
        assert found.get("metricRelabelings", []) == relabelings
    for one in monitors.values():
        wanted = one["spec"]["selector"]["matchLabels"]
        services = [
            each
            for each in of_kind(objects, "Service").values()
            if wanted.items() <= each["metadata"]["labels"].items()
        ]
        assert len(services) == 1, "each is scraped once"
        for endpoint in one["spec"]["endpoints"]:
            assert endpoint["port"] in [port["name"] for port in services[0]["spec"]["ports"]]
            assert ("authorization" in endpoint) == (one["metadata"]["name"] != "prosa-rabbitmq")
