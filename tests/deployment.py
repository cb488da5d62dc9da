"""What is deployed, as tests read it: the compose file with its variables put in, and the commands of this Prosa."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import yaml
from typer.main import get_command

from prosa.cli.app import app
from prosa.settings import OTHER_VARIABLES, PREFIX, Settings

ROOT: Final = Path(__file__).parents[1]
COMPOSE: Final = ROOT / "compose.yaml"
_VARIABLE: Final = re.compile(r"\$\{(\w+)(?::-([^}]*))?\}")

Service = dict[str, Any]


def compose(variables: Mapping[str, str] | None = None) -> dict[str, Any]:
    """The file as ``docker compose`` reads it: anchors, merges, and ``${VARIABLE:-default}``."""
    given = variables or {}
    text = _VARIABLE.sub(lambda found: given.get(found[1]) or found[2] or "", COMPOSE.read_text("utf-8"))
    loaded: dict[str, Any] = yaml.safe_load(text)
    return loaded


def variables_of(text: str) -> dict[str, str]:
    """The names that a compose file takes from its surroundings, with their defaults."""
    return {found[1]: found[2] or "" for found in _VARIABLE.finditer(text)}


def seconds(duration: str) -> float:
    """``90s`` or ``1m30s``."""
    parts = re.findall(r"([\d.]+)(h|m|s)", duration)
    return sum(float(number) * {"h": 3600, "m": 60, "s": 1}[unit] for number, unit in parts)


def is_setting(variable: str) -> bool:
    """A variable that Prosa reads, or that names the file of one."""
    known = {PREFIX + key.upper() for key in Settings.model_fields} | OTHER_VARIABLES
    return variable.removesuffix("_FILE") in known


def is_command(words: list[str]) -> bool:
    """Words behind ``prosa`` that name a command of it, with options that it has."""
    found = get_command(app)
    commands: Mapping[str, Any] = getattr(found, "commands", {})
    if not words or words[0] not in commands:
        return False
    options = {name for option in commands[words[0]].params for name in option.opts}
    return {word.partition("=")[0] for word in words[1:] if word.startswith("-")} <= options
