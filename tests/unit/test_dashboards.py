"""Dashboards say what they show, in which unit, and ask for metrics that exist."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from prosa.adapters.metrics import METRICS, PREFIX, Kind
from tools.observability.files import BOARDS, DEPLOY, alerts
from tools.observability.panels import WIDTH
from tools.observability.rules import Scale

ROOT = Path(__file__).parents[2]
FILES = sorted((DEPLOY / "grafana" / "dashboards").glob("*.json"))
PARTS = {Kind.OBSERVE: ("_bucket", "_sum", "_count")}
NAMES = {PREFIX + metric.name + part for metric in METRICS for part in PARTS.get(metric.kind, ("",))}


def panels(path: Path) -> Iterator[dict[str, Any]]:
    yield from (panel for panel in json.loads(path.read_text("utf-8"))["panels"] if panel["type"] != "row")


def asked(text: str) -> set[str]:
    """Every name of one of our metrics in a query or a page. Recorded series have colons, and are none."""
    return set(re.findall(r"(?<![\w:/.\"-])prosa_\w+(?![\w:])", text))


def test_there_is_a_file_for_each_dashboard() -> None:
    assert [path.stem for path in FILES] == sorted(board.uid for board in BOARDS)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.stem))
def test_every_panel_says_what_it_shows_and_in_which_unit(path: Path) -> None:
    found = list(panels(path))
    assert found
    for panel in found:
        assert panel["title"]
        assert panel["description"].endswith((".", ". "))
        assert panel["fieldConfig"]["defaults"]["unit"]
        assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
        assert panel["targets"]
        assert [target for target in panel["targets"] if not target["expr"]] == []
    assert len({panel["title"] for panel in found}) == len(found)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.stem))
def test_no_panel_lies_upon_another(path: Path) -> None:
    cells = [
        (column, line)
        for panel in json.loads(path.read_text("utf-8"))["panels"]
        for place in [panel["gridPos"]]
        for column in range(place["x"], place["x"] + place["w"])
        for line in range(place["y"], place["y"] + place["h"])
    ]
    assert len(cells) == len(set(cells))
    assert max(column for column, _ in cells) < WIDTH


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.stem))
def test_a_panel_asks_for_metrics_that_exist(path: Path) -> None:
    found = {name for panel in panels(path) for target in panel["targets"] for name in asked(target["expr"])}
    assert found
    assert found - NAMES == set()


def test_an_alert_asks_for_metrics_that_exist() -> None:
    rules = "".join(path.read_text("utf-8") for path in (DEPLOY / "prometheus" / "rules").glob("*.yml"))
    assert len(asked(rules)) > 10
    assert asked(rules) - NAMES == set()


def test_a_runbook_names_metrics_that_exist() -> None:
    books = {path.name: asked(path.read_text("utf-8")) - NAMES for path in (ROOT / "docs" / "runbooks").glob("*.md")}
    assert {name: unknown for name, unknown in books.items() if unknown} == {}


def test_a_runbook_names_dashboards_that_exist() -> None:
    titles = {board.title for board in BOARDS}
    for alert in alerts(Scale()):
        named = re.findall(r"\*(Prosa:\s[^*]+)\*", (ROOT / alert.runbook).read_text("utf-8"))
        assert {" ".join(title.split()) for title in named} - titles == set()
