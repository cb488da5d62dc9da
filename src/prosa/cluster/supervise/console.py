"""What `prosa up` prints: for people, or one JSON object a line for programs. It never waits for who reads."""

import os
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import msgspec

from prosa.cluster.supervise.topology import Description, Event, Role, sentence
from prosa.lines import Lines

OUR_NAME: Final = "prosa"
COLOURS: Final = (36, 33, 35, 32, 34, 96, 93, 95, 92, 94)
STDOUT: Final = 1
STDERR: Final = 2


class Prefix:
    """What stands before each line: who printed it, in a colour of its own if ``coloured``."""

    def __init__(self, names: Sequence[str], *, coloured: bool) -> None:
        width = max(len(name) for name in (OUR_NAME, *names))
        self._shown = {name: f"{name:{width}} │ " for name in (OUR_NAME, *names)}
        if coloured:
            for index, name in enumerate(names):
                colour = COLOURS[index % len(COLOURS)]
                self._shown[name] = f"\x1b[{colour}m{self._shown[name]}\x1b[0m"

    def __call__(self, name: str, line: str) -> str:
        return self._shown.get(name, f"{name} │ ") + line


def is_coloured(descriptor: int, environment: Mapping[str, str]) -> bool:
    return os.isatty(descriptor) and not environment.get("NO_COLOR") and environment.get("TERM") != "dumb"


class Console:
    """People read the logs on standard error and what matters on standard output; programs get JSON on the latter.

    As JSON: first ``ready`` with the description, then each event; nothing before.
    """

    def __init__(self, prefix: Prefix, folder: Path, *, as_json: bool) -> None:
        self._prefix = prefix
        self._as_json = as_json
        self._ready = False
        self._stack = ExitStack()
        self._logs = Lines(
            STDERR, lambda count: prefix(OUR_NAME, f"{count} lines are not shown; they are in {folder}/*.log.")
        )
        self._answers = Lines(STDOUT, _missing_events if as_json else _missing_lines)

    def __enter__(self) -> Self:
        for printer in (self._logs, self._answers):
            self._stack.enter_context(printer)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def say(self, line: str) -> None:
        """A line of our own among the logs."""
        self.printed(OUR_NAME, line)

    def printed(self, name: str, line: str) -> None:
        self._logs.put(self._prefix(name, line))

    def happened(self, event: Event) -> None:
        if self._as_json and self._ready:
            self._answers.put(msgspec.json.encode(event).decode())
        if line := sentence(event):
            self.say(line)

    def ready(self, description: Description) -> None:
        self._ready = True
        self._answers.put(_as_json(description) if self._as_json else greeting(description))


def greeting(description: Description) -> str:
    roles = [process.role for process in description.processes]
    gateways, workers = (_counted(roles.count(role), role) for role in (Role.GATEWAY, Role.WORKER))
    return f"Prosa is ready. Open {description.address} in a browser; {gateways} and {workers}; Ctrl-C ends it."


def _counted(count: int, role: Role) -> str:
    return f"{count} {role}" if count == 1 else f"{count} {role}s"


def _as_json(description: Description) -> str:
    return msgspec.json.encode({"event": "ready", **msgspec.structs.asdict(description)}).decode()


def _missing_events(count: int) -> str:
    return msgspec.json.encode({"event": "dropped", "count": count}).decode()


def _missing_lines(count: int) -> str:
    return f"({count} lines are not shown.)"
