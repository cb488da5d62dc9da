"""Every alert fires where it should and ends afterwards: played to Prometheus' own rule engine by `promtool`."""

import json
import shutil
import subprocess
from pathlib import Path

import msgspec
import pytest

from tools.observability.files import DEPLOY, alerts, made, rules
from tools.observability.rules import Scale

RULES = DEPLOY / "prometheus" / "rules"


def promtool(*arguments: str | Path) -> str:
    """What it prints. A failure is a failed test."""
    program = shutil.which("promtool")
    assert program, "The tests need promtool. Install it: sudo apt-get install prometheus"
    ended = subprocess.run([program, *arguments], capture_output=True, text=True, check=False, timeout=60)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


class Scene(msgspec.Struct, frozen=True, kw_only=True):
    """Series as promtool writes them: bad at ``fires``, well again at ``over``, and nothing at ``before``."""

    alert: str
    series: dict[str, str]
    before: str = "0m"
    fires: str
    over: str
    interval: str = "15s"
    labels: str = ""


DONE = 'prosa_runs_ended_total{state="done",finish="stop",code="",model="m",instance="w1"}'
FAILED = 'prosa_runs_ended_total{state="failed",finish="",code="model_broke",model="m",instance="w1"}'
REFUSED = 'prosa_refused_total{code="store_unavailable",instance="g1"}'
TOO_LONG = 'prosa_runs_ended_total{state="failed",finish="",code="prompt_too_long",model="m",instance="w1"}'
FIRST = 'prosa_first_token_seconds_count{model="m",instance="w1"}'
IN_TIME = 'prosa_first_token_seconds_bucket{model="m",instance="w1",le="2.5"}'
STORE = 'prosa_store_seconds_%s{call="accept",instance="g1"%s}'
LAG = 'prosa_loop_lag_seconds_bucket{instance="g1",le="%s"}'
DISK = 'node_filesystem_%s_bytes{instance="n1",mountpoint="/",fstype="ext4"}'


SCENES = (
    # One in two fails; one in fifty is refused; one in two hundred fails.
    Scene(
        alert="ProsaAnswersFailing",
        labels='burn="fast",severity="page"',
        series={DONE: "0+30x600", FAILED: "0x40 0+30x80 2400x120"},
        before="9m",
        fires="25m",
        over="37m",
    ),
    Scene(
        alert="ProsaAnswersFailing",
        labels='burn="slow",severity="page"',
        interval="1m",
        series={DONE: "0+100x400", REFUSED: "0x60 0+2x120 240x120"},
        before="59m",
        fires="2h50m",
        over="3h40m",
    ),
    Scene(
        alert="ProsaAnswersFailing",
        labels='burn="leak",severity="ticket"',
        interval="2m",
        series={DONE: "0+200x600", FAILED: "0x60 0+1x240 240x300"},
        before="1h58m",
        fires="9h",
        over="16h30m",
    ),
    Scene(
        alert="ProsaFirstTokenSlow",
        labels='burn="fast",severity="page"',
        series={FIRST: "0+30x600", IN_TIME: "0+30x4 120+1x80 200+30x120"},
        fires="15m",
        over="30m",
    ),
    Scene(
        alert="ProsaFirstTokenSlow",
        labels='burn="slow",severity="page"',
        interval="1m",
        series={FIRST: "0+100x400", IN_TIME: "0+100x60 6000+50x120 12000+100x120"},
        before="59m",
        fires="2h50m",
        over="3h40m",
    ),
    Scene(
        alert="ProsaFirstTokenSlow",
        labels='burn="leak",severity="ticket"',
        interval="2m",
        series={FIRST: "0+100x600", IN_TIME: "0+100x60 6000+90x240 27600+100x300"},
        before="1h58m",
        fires="9h",
        over="16h30m",
    ),
    Scene(
        alert="ProsaNoWorkers",
        series={
            'prosa_workers{state="alive",instance="g1"}': "3x20 0x20 3x40",
            'prosa_workers{state="alive",instance="g2"}': "3x20 0x20 3x40",
        },
        before="5m",
        fires="8m",
        over="12m",
    ),
    Scene(
        alert="ProsaQueueOld",
        series={'prosa_oldest_run_seconds{state="queued",instance="g1"}': "0x20 0+15x40 0x40"},
        before="5m",
        fires="10m",
        over="17m",
    ),
    Scene(
        alert="ProsaSlotsFull",
        series={
            'prosa_slots{pool="gpu",instance="w1"}': "10x400",
            'prosa_slots_used{pool="gpu",instance="w1"}': "3x40 10x100 9x100",
            'prosa_slots{pool="cloud",instance="w1"}': "10x400",
            'prosa_slots_used{pool="cloud",instance="w1"}': "0x400",
        },
        labels='pool="gpu"',
        before="20m",
        fires="30m",
        over="40m",
    ),
    Scene(
        alert="ProsaModelFailing",
        series={
            'prosa_engine_calls_total{model="m",outcome="ok",instance="w1"}': "0+4x400",
            'prosa_engine_calls_total{model="m",outcome="model_timeout",instance="w1"}': "0x80 0+4x80 320x200",
            'prosa_engine_calls_total{model="n",outcome="ok",instance="w1"}': "0+4x400",
            'prosa_engine_calls_total{model="n",outcome="prompt_too_long",instance="w1"}': "0+4x400",
        },
        labels='model="m"',
        before="20m",
        fires="35m",
        over="1h",
    ),
    Scene(
        alert="ProsaDeadLetters",
        series={'rabbitmq_detailed_queue_messages{queue="prosa.dead.v1",vhost="/"}': "0x20 2x20 0x20"},
        before="5m",
        fires="8m",
        over="11m",
    ),
    Scene(
        alert="ProsaFencingStorm",
        series={'prosa_fenced_total{instance="w1"}': "0x20 0+5x20 100x60"},
        before="5m",
        fires="10m",
        over="17m",
    ),
    Scene(
        alert="ProsaWorkerSilent",
        series={'prosa_workers{state="silent",instance="g1"}': "0x20 1x20 0x20"},
        before="5m",
        fires="8m",
        over="11m",
    ),
    Scene(
        alert="ProsaLeaseThin",
        series={
            'prosa_lease_margin_seconds{instance="w1"}': "0x4 2.4x16 0.2x20 2.4x60",
            'prosa_lease_margin_seconds{instance="g1"}': "0x120",
        },
        labels='instance="w1"',
        before="5m",
        fires="8m",
        over="17m",
    ),
    Scene(
        alert="ProsaLoopSlow",
        series={LAG % "0.1": "0+60x20 1200+54x60 4440+60x60", LAG % "0.5": "0+60x200", LAG % "+Inf": "0+60x200"},
        labels='instance="g1"',
        before="5m",
        fires="17m",
        over="27m",
    ),
    Scene(
        alert="ProsaTargetDown",
        series={
            'up{job="prosa-worker",instance="w1"}': "1x20 0x20 1x20",
            'up{job="prosa-worker",instance="w2"}': "1x60",
        },
        labels='instance="w1"',
        before="5m",
        fires="9m",
        over="11m",
    ),
    Scene(
        alert="ProsaDatabaseAway",
        series={
            'prosa_store_connected{instance="g1"}': "1x60",
            'prosa_store_connected{instance="g2"}': "1x20 0x20 1x20",
        },
        before="5m",
        fires="8m",
        over="11m",
    ),
    Scene(
        alert="ProsaDatabaseAway",
        series={'prosa_store_errors_total{code="store_unavailable",instance="g1"}': "0x20 0+15x20 300x60"},
        before="5m",
        fires="9m",
        over="17m",
    ),
    Scene(
        alert="ProsaDatabaseSlow",
        series={
            STORE % ("count", ""): "0+60x200",
            STORE % ("bucket", ',le="+Inf"'): "0+60x200",
            STORE % ("bucket", ',le="1.0"'): "0+60x200",
            STORE % ("bucket", ',le="0.5"'): "0+60x20 1200+30x60 3000+60x60",
        },
        labels='call="accept"',
        before="5m",
        fires="17m",
        over="27m",
    ),
    Scene(
        alert="ProsaBrokerAway",
        series={
            'prosa_bus_connected{instance="g1"}': "1x60",
            'prosa_bus_connected{instance="w1"}': "1x20 0x20 1x20",
        },
        before="5m",
        fires="8m",
        over="11m",
    ),
    Scene(
        alert="ProsaBrokerAlarm",
        series={'rabbitmq_alarms_memory_used_watermark{instance="mq"}': "0x20 1x20 0x20"},
        before="5m",
        fires="8m",
        over="11m",
    ),
    Scene(
        alert="ProsaBrokerAlarm",
        series={'rabbitmq_alarms_free_disk_space_watermark{instance="mq"}': "0x20 1x20 0x20"},
        before="5m",
        fires="8m",
        over="11m",
    ),
    Scene(
        alert="ProsaDiskFull",
        series={'prosa_store_errors_total{code="storage_full",instance="g1"}': "0x20 0+1x20 20x60"},
        before="5m",
        fires="7m",
        over="17m",
    ),
    Scene(
        alert="ProsaDiskLow",
        series={DISK % "size": "1000x200", DISK % "avail": "500x20 60x80 500x60"},
        labels='instance="n1"',
        before="5m",
        fires="20m",
        over="27m",
    ),
    Scene(
        alert="ProsaDiskLow",
        series={
            'rabbitmq_disk_space_available_bytes{instance="mq"}': "9000x20 3000x80 9000x60",
            'rabbitmq_disk_space_available_limit_bytes{instance="mq"}': "1000x200",
        },
        labels='instance="mq"',
        before="5m",
        fires="20m",
        over="27m",
    ),
)


def played(scene: Scene) -> dict[str, object]:
    labels = "".join(f",{label}" for label in (scene.labels,) if label)
    expr = f'count(ALERTS{{alertname="{scene.alert}",alertstate="firing"{labels}}})'

    def at(moment: str, count: int) -> dict[str, object]:
        return {
            "expr": expr,
            "eval_time": moment,
            "exp_samples": [{"labels": "{}", "value": count}] if count else [],
        }

    return {
        "name": f"{scene.alert} {scene.labels}",
        "interval": scene.interval,
        "input_series": [{"series": series, "values": values} for series, values in scene.series.items()],
        "promql_expr_test": [at(scene.before, 0), at(scene.fires, 1), at(scene.over, 0)],
    }


@pytest.mark.parametrize(("interval", "burns"), [("15s", False), ("15s", True), ("1m", True), ("2m", True)])
def test_every_alert_fires_and_ends(interval: str, burns: bool, tmp_path: Path) -> None:
    scenes = [scene for scene in SCENES if (scene.interval, "burn=" in scene.labels) == (interval, burns)]
    play(tmp_path, [played(scene) for scene in scenes], interval, burns=burns)


def play(folder: Path, tests: list[dict[str, object]], interval: str, *, burns: bool) -> None:
    script, files = folder / "scenes.yml", [str(RULES / ("objectives.yml" if burns else "alerts.yml"))]
    script.write_text(json.dumps({"rule_files": files, "evaluation_interval": interval, "tests": tests}))
    assert "SUCCESS" in promtool("test", "rules", script)


def test_every_alert_has_a_scene_at_each_of_its_speeds() -> None:
    known = {(alert.name, alert.severity, *alert.labels) for alert in alerts(Scale())}
    assert len(known) == len(alerts(Scale()))
    for name, severity, *labels in known:
        wanted = [f'{label}="{value}"' for label, value in labels]
        wanted += [f'severity="{severity}"'] if labels else []
        assert any(scene.alert == name and all(one in scene.labels for one in wanted) for scene in SCENES), name


def test_what_is_in_order_wakes_nobody(tmp_path: Path) -> None:
    """Questions that are too long, answers that were stopped, a single failure in a quiet night."""
    stopped = 'prosa_runs_ended_total{state="stopped",finish="stopped",code="",model="m",instance="w1"}'
    quiet = {TOO_LONG: "0+30x600", stopped: "0+30x600", FAILED: "0x240 1x360"}
    test: dict[str, object] = {
        "interval": "15s",
        "input_series": [{"series": series, "values": values} for series, values in quiet.items()],
        "promql_expr_test": [
            {"expr": 'count(ALERTS{alertstate="firing"})', "eval_time": moment, "exp_samples": []}
            for moment in ("59m", "1h2m", "1h10m")
        ],
    }
    play(tmp_path, [test], "15s", burns=True)


@pytest.mark.parametrize("name", made())
def test_what_is_committed_is_what_the_source_makes(name: str) -> None:
    assert (DEPLOY / name).read_text("utf-8") == made()[name], "Run: python -m tools.observability"


@pytest.mark.parametrize("factor", [1.0, 1 / 60, 1 / 300])
def test_prometheus_takes_the_rules_at_every_scale(factor: float, tmp_path: Path) -> None:
    for name, text in rules(Scale(factor)).items():
        (tmp_path / name).write_text(text, "utf-8")
        assert "SUCCESS" in promtool("check", "rules", tmp_path / name)


def test_a_scale_shortens_every_span_of_time() -> None:
    assert Scale().span(300) == "5m"
    assert Scale(1 / 60).span(300) == "5s"
    assert Scale(1 / 300).span(300) == "1s"
    assert Scale(1 / 100).span(30) == "300ms"
    short = "".join(rules(Scale(1 / 60)).values())
    assert [window for window in ("[5m]", "[1h]", "[6h]", "[3d]", "for: 15m", "* 3600") if window in short] == []
