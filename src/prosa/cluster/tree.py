"""A process and all that descends from it, as /proc tells."""

import os
import select
import signal
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Final

PROC: Final = Path("/proc")
ZOMBIE: Final = "Z"
"""The state of a process that has ended, and for which its parent has not waited."""


def parents() -> dict[int, int]:
    """Of each process that exists now: its parent."""
    found = {}
    for folder in PROC.iterdir():
        if folder.name.isdecimal() and (fields := stat_fields(int(folder.name))):
            found[int(folder.name)] = int(fields[1])
    return found


def stat_fields(pid: int) -> list[str]:
    """The fields of /proc/PID/stat from the third (its state) on; none if there is no such process.

    The second, the program's name, may contain spaces and parentheses.
    """
    try:
        return (PROC / str(pid) / "stat").read_text(errors="replace").rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return []


def family(pid: int, parents: dict[int, int]) -> list[int]:
    """The process and its descendants, parents before their children."""
    members = [pid]
    for member in members:
        members.extend(child for child, parent in parents.items() if parent == member)
    return members


def end_family(pid: int, seconds: float) -> bool:
    """SIGKILL to a child of ours and its descendants, whatever sessions they opened; blocks until they are gone.

    False: one did not go in time. The child itself is left to be reaped by whoever waits for it.
    """
    with ExitStack() as stack:
        root = list(_handles([pid], stack))
        # Frozen, it has no further children between our look at them and its end.
        _send(root, signal.SIGSTOP)
        everybody = root + list(_handles(family(pid, parents())[1:], stack))
        _send(everybody, signal.SIGKILL)
        return all([_gone(handle, seconds) for handle in everybody])


def _handles(pids: Iterable[int], stack: ExitStack) -> Iterator[int]:
    """File descriptors that stand for the processes, also if a number is given to another one in the meantime."""
    for pid in pids:
        with suppress(ProcessLookupError):
            handle = os.pidfd_open(pid)
            stack.callback(os.close, handle)
            yield handle


def _send(handles: Iterable[int], number: signal.Signals) -> None:
    for handle in handles:
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(handle, number)


def _gone(handle: int, seconds: float) -> bool:
    waiter = select.poll()
    waiter.register(handle, select.POLLIN)
    return bool(waiter.poll(seconds * 1000))
