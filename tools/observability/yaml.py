"""As much of YAML as a rule file needs, written so that people can read it: queries as blocks of lines."""

import json
from collections.abc import Iterator

PLAIN = (int, float)


def rendered(value: object) -> str:
    """Of mappings, lists, strings and numbers."""
    return "".join(f"{line}\n" for line in _lines(value))


def _lines(value: object) -> Iterator[str]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _entry(f"{key}:", inner)
    elif isinstance(value, list):
        for inner in value:
            first, *rest = _lines(inner)
            yield f"- {first}"
            yield from (f"  {line}" for line in rest)
    else:
        yield _scalar(value)


def _entry(key: str, value: object) -> Iterator[str]:
    if isinstance(value, str) and ("\n" in value or key == "expr:"):
        yield f"{key} |-"
        yield from (f"  {line}" for line in value.splitlines())
    elif isinstance(value, dict | list):
        yield key
        yield from (f"  {line}" for line in _lines(value))
    else:
        yield f"{key} {_scalar(value)}"


def _scalar(value: object) -> str:
    if isinstance(value, str) and value.replace("-", "").replace("_", "").replace(":", "").isalnum():
        return value
    return json.dumps(value, ensure_ascii=False)
