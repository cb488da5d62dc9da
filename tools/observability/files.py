"""Every file of ``deploy/`` that is made from code, and its text."""

from pathlib import Path
from typing import Final

from tools.observability.alerts import watching
from tools.observability.boards.load import LOAD
from tools.observability.boards.overview import OVERVIEW
from tools.observability.boards.postgresql import POSTGRESQL
from tools.observability.boards.rabbitmq import RABBITMQ
from tools.observability.boards.runs import RUNS
from tools.observability.boards.workers import WORKERS
from tools.observability.grafana import rendered as drawn
from tools.observability.objectives import burning, recordings
from tools.observability.rules import Alert, Group, Scale, document
from tools.observability.yaml import rendered

DEPLOY: Final = Path(__file__).parents[2] / "deploy"
HEAD: Final = "# Made by `python -m tools.observability` from tools/observability. Do not edit: run it again.\n"

BOARDS: Final = (OVERVIEW, RUNS, WORKERS, RABBITMQ, POSTGRESQL, LOAD)


def groups(scale: Scale) -> dict[str, tuple[Group, ...]]:
    """By the name of their file."""
    return {"objectives.yml": (recordings(scale), burning(scale)), "alerts.yml": watching(scale)}


def alerts(scale: Scale) -> list[Alert]:
    known = (rule for some in groups(scale).values() for group in some for rule in group.rules)
    return [rule for rule in known if isinstance(rule, Alert)]


def rules(scale: Scale) -> dict[str, str]:
    """The rule files by name. A scale below 1 shortens every span of time in them."""
    return {name: HEAD + rendered(document(some, scale)) for name, some in groups(scale).items()}


def made() -> dict[str, str]:
    """Path below ``deploy/``, and text."""
    files = {f"prometheus/rules/{name}": text for name, text in rules(Scale()).items()}
    return files | {f"grafana/dashboards/{board.uid}.json": drawn(board) for board in BOARDS}
