"""What a process and all that descends from it cost: CPU time and memory, as Linux's /proc tells."""

import os
import re
from pathlib import Path
from typing import Final

import msgspec

from prosa.cluster.tree import PROC, family, parents, stat_fields

TICKS_PER_SECOND: Final = os.sysconf("SC_CLK_TCK")
PAGE_BYTES: Final = os.sysconf("SC_PAGE_SIZE")
SHARE: Final = re.compile(r"^Pss:\s+(\d+) kB$", re.MULTILINE)

TIMES: Final = slice(11, 15)
"""Of `stat_fields`: user and system time of a process, and of its children that ended and were waited for."""


class Usage(msgspec.Struct, frozen=True):
    """``cpu_seconds``: since each process began, those that ended included; so it only grows, and two differ by what
    was spent in between. ``resident_bytes``: now; a page that several share counts for each as its share of it."""

    cpu_seconds: float
    resident_bytes: int


def usage(pid: int) -> Usage:
    """Of the process and its descendants. Raises ProcessLookupError if it does not exist (any more)."""
    if not stat_fields(pid):
        raise ProcessLookupError(f"There is no process {pid}.")
    members = family(pid, parents())
    return Usage(
        cpu_seconds=sum(_ticks(stat_fields(member)) for member in members) / TICKS_PER_SECOND,
        resident_bytes=sum(_resident_bytes(PROC / str(member)) for member in members),
    )


def _ticks(fields: list[str]) -> int:
    return sum(int(field) for field in fields[TIMES])


def _resident_bytes(process: Path) -> int:
    """Its share of memory where we may see it, else all that it has mapped; nothing if it has just ended."""
    try:
        return share_bytes((process / "smaps_rollup").read_text())
    except PermissionError:
        return _mapped_bytes(process)
    except (FileNotFoundError, ProcessLookupError):
        return 0


def share_bytes(rollup: str) -> int:
    found = SHARE.search(rollup)
    return int(found[1]) * 1024 if found else 0


def _mapped_bytes(process: Path) -> int:
    try:
        return int((process / "statm").read_text().split()[1]) * PAGE_BYTES
    except (FileNotFoundError, ProcessLookupError):
        return 0
