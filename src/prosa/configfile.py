"""``prosa.toml`` as text: its values, and the line on which each stands, so that an error can point at it."""

import re
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from prosa.core.errors import BadConfig

_SYNTAX: Final = re.compile(r"^(?P<what>.*) \(at (?:line (?P<line>\d+), column \d+|end of document)\)$")
_HEADER: Final = re.compile(r"^\s*\[\[?\s*(?P<name>[^\]]+?)\s*\]")

MEANING: Final = {
    "name": "1 to 64 characters without blanks",
    "pool": "1 to 64 characters without blanks",
    "fallback": "the name of another model",
    "engine": "openai, local or scripted",
    "base_url": "begins with http:// or https://, such as http://127.0.0.1:11434/v1",
    "broker_url": "begins with amqp:// or amqps://",
    "otlp_endpoint": "begins with http:// or https://, such as http://127.0.0.1:4318",
}
"""What a setting takes, for a person, where the check itself could only show its pattern."""


class ConfigFile(msgspec.Struct, frozen=True):
    """A file that was read. Where there is none, ``values`` is empty."""

    path: Path
    text: str = ""
    values: dict[str, Any] = {}

    def line(self, keys: Sequence[str | int]) -> int:
        """The line of ``("port",)`` or ``("models", 1, "engine")``, or the nearest that can be told."""
        top = str(keys[0])
        if len(keys) == 1:
            return _find(self.text, top, 1)
        header = _nth_header(self.text, top, keys[1]) or _find(self.text, top, 1)
        return _find(self.text, str(keys[2]), header + 1, otherwise=header) if len(keys) > 2 else header

    def model(self, keys: Sequence[str | int]) -> str:
        """Which model ``("models", 0, "engine")`` is about, for a person; empty where it is about none."""
        if len(keys) < 2 or keys[0] != "models" or not isinstance(keys[1], int):
            return ""
        models = self.values.get("models")
        written = models[keys[1]] if isinstance(models, list) and keys[1] < len(models) else None
        name = written.get("name") if isinstance(written, dict) else None
        return f"the model {name!r}" if isinstance(name, str) else f"the {_ordinal(keys[1] + 1)} model"


def _ordinal(number: int) -> str:
    teen = 10 <= number % 100 <= 20
    return f"{number}{'th' if teen else {1: 'st', 2: 'nd', 3: 'rd'}.get(number % 10, 'th')}"


def read(path: Path) -> ConfigFile:
    """Raises BadConfig where the file cannot be read or is no TOML; the message names the line."""
    try:
        text = path.read_text("utf-8")
    except FileNotFoundError as error:
        raise BadConfig(f"The configuration file {path} does not exist. Create it, or correct PROSA_CONFIG.") from error
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is no text in UTF-8"
        way = "Make it a file that this user may read, or correct PROSA_CONFIG."
        raise BadConfig(f"The configuration file {path} cannot be read: {why}. {way}") from error
    try:
        return ConfigFile(path, text, tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise BadConfig(_syntax(path, text, str(error))) from error


def _syntax(path: Path, text: str, error: str) -> str:
    found = _SYNTAX.match(error)
    if found is None:
        return f"{path}: {error}. Correct it as TOML."
    line = int(found["line"] or max(len(text.splitlines()), 1))
    rows = text.splitlines()
    written = rows[line - 1].strip() if line <= len(rows) else ""
    key = written.partition("=")[0].strip() if "=" in written else written
    return f"{path}, line {line}: {found['what']}, at {key!r}. Correct it as TOML (text needs quotes)."


def _find(text: str, key: str, first: int, *, otherwise: int = 1) -> int:
    """The line of ``key`` from line ``first`` to the next table's header."""
    pattern = re.compile(rf"^\s*[\"']?{re.escape(key)}[\"']?\s*=")
    for number, row in enumerate(text.splitlines()[first - 1 :], first):
        if pattern.match(row):
            return number
        header = _HEADER.match(row)
        if header is not None:
            return number if header["name"] == key else otherwise
    return otherwise


def _nth_header(text: str, name: str, index: str | int) -> int | None:
    headers = [number for number, row in enumerate(text.splitlines(), 1) if _names(row, name)]
    return headers[index] if isinstance(index, int) and index < len(headers) else None


def _names(row: str, name: str) -> bool:
    header = _HEADER.match(row)
    return header is not None and header["name"] == name
