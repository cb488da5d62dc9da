"""Whoever is woken finds a page that says what to do."""

import re
from pathlib import Path

import pytest

from tools.observability.files import alerts
from tools.observability.rules import Alert, Scale

ROOT = Path(__file__).parents[2]
BOOKS = ROOT / "docs" / "runbooks"
ALERTS = {alert.name: alert for alert in alerts(Scale())}
SECTIONS = ["What people feel", "How to see it", "What to do", "When it is over"]


def test_every_alert_has_its_page_and_every_page_its_alert() -> None:
    assert {path.stem for path in BOOKS.glob("*.md")} - {"README"} == set(ALERTS)
    assert [alert.name for alert in ALERTS.values() if not (ROOT / alert.runbook).is_file()] == []


@pytest.mark.parametrize("name", ALERTS)
def test_a_page_says_what_is_felt_seen_done_and_when_it_is_over(name: str) -> None:
    head, *sections = re.split(r"^## ", (BOOKS / f"{name}.md").read_text("utf-8"), flags=re.MULTILINE)
    title, _, says = head.partition("\n")
    assert (title, bool(says.strip())) == (f"# {name}", True)
    assert [section.partition("\n")[0] for section in sections] == SECTIONS
    assert [section for section in sections if len(section.partition("\n")[2].split()) < 3] == []


@pytest.mark.parametrize("path", sorted(BOOKS.glob("*.md")), ids=lambda path: str(path.stem))
def test_a_page_links_to_what_is_there(path: Path) -> None:
    links = re.findall(r"\]\(([^)#]+)[^)]*\)", path.read_text("utf-8"))
    assert [link for link in links if not (path.parent / link).exists()] == []


@pytest.mark.parametrize("alert", ALERTS.values(), ids=lambda alert: str(alert.name))
def test_the_list_of_pages_says_what_the_alert_says(alert: Alert) -> None:
    severities = dict.fromkeys(one.severity for one in alerts(Scale()) if one.name == alert.name)
    row = f"| [{alert.name}]({alert.name}.md) | {alert.summary} | {', '.join(severities)} |"
    assert row in (BOOKS / "README.md").read_text("utf-8").splitlines()
    assert alert.description
