"""Prometheus on a faster clock is the one of ``deploy/prometheus`` in all but time and targets."""

from pathlib import Path

import pytest

from tests.unit.test_alerts import promtool
from tools.observability.files import DEPLOY, rules
from tools.observability.rules import Scale
from tools.observability.server import laid_out, shortened

FOLDER = DEPLOY / "prometheus"
TARGETS = {path.stem: [f"127.0.0.1:{port}"] for port, path in enumerate((FOLDER / "targets").glob("*.yml"), 9000)}


def test_only_the_clock_of_the_configuration_is_changed() -> None:
    before = (FOLDER / "prometheus.yml").read_text("utf-8").splitlines()
    after = shortened("\n".join(before)).splitlines()
    changed = {old.strip(): new.strip() for old, new in zip(before, after, strict=True) if old != new}
    assert changed == {
        "scrape_interval: 15s": "scrape_interval: 1s",
        "scrape_timeout: 10s": "scrape_timeout: 1s",
        "evaluation_interval: 15s": "evaluation_interval: 1s",
    }


def test_prometheus_takes_what_is_laid_out(tmp_path: Path) -> None:
    for name, text in laid_out(TARGETS, Scale(1 / 60)).items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text, "utf-8")
    assert "SUCCESS" in promtool("check", "config", tmp_path / "prometheus.yml")


def test_at_full_length_it_is_the_rules_of_production() -> None:
    files = laid_out(TARGETS, Scale())
    assert {name for name in files if name.startswith("rules/")} == {f"rules/{name}" for name in rules(Scale())}
    assert all(files[f"rules/{path.name}"] == path.read_text("utf-8") for path in (FOLDER / "rules").glob("*.yml"))


@pytest.mark.parametrize("names", [{"gateways"}, {*TARGETS, "others"}])
def test_a_job_without_targets_and_targets_without_a_job_are_refused(names: set[str]) -> None:
    with pytest.raises(KeyError, match="files of targets are"):
        laid_out({name: ["127.0.0.1:9000"] for name in names}, Scale())
