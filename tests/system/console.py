"""Commands that a page shows, run by a shell, and what the page says that they print.

In a block, a line that begins with ``$ `` is a command, the lines below it are what it prints, ``…`` stands for
anything, and no line stands for anything too. A page's commands run in one shell, in order.
"""

import re
from itertools import pairwise
from pathlib import Path
from typing import Final

FENCE: Final = re.compile(r"^```([\w-]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
MARK: Final = "\x1e"

Commands = list[tuple[str, str]]
"""Each command with what the page says that it prints."""


def blocks(page: Path, kind: str) -> list[str]:
    return [body for found, body in FENCE.findall(page.read_text("utf-8")) if found == kind]


def commands(page: Path, kind: str) -> Commands:
    lines = "".join(blocks(page, kind)).splitlines()
    starts = [number for number, line in enumerate(lines) if line.startswith("$ ")]
    return [(lines[first][2:], "\n".join(lines[first + 1 : after])) for first, after in pairwise([*starts, len(lines)])]


def script(shown: Commands) -> str:
    """For a shell; ``check`` reads what it prints."""
    return "".join(f"{command}\nprintf '{MARK}%d{MARK}' $?\n" for command, _ in shown)


def check(shown: Commands, output: str) -> None:
    parts = output.split(MARK)
    assert len(parts) == 2 * len(shown) + 1, output
    for (command, promised), printed, code in zip(shown, parts[::2], parts[1::2], strict=False):
        assert code == "0", f"{command}\n{printed}"
        assert not promised or fits(promised, printed), f"{command}\nprinted:\n{printed}\npromised:\n{promised}"


def fits(promised: str, printed: str) -> bool:
    """Whether it printed that; runs of blanks count as one, and blank lines not."""
    pattern = ".*".join(re.escape(part) for part in _squeezed(promised).split("…"))
    return re.fullmatch(pattern, _squeezed(printed), re.DOTALL) is not None


def _squeezed(text: str) -> str:
    lines = (" ".join(line.split()) for line in text.splitlines())
    return "\n".join(line for line in lines if line)
