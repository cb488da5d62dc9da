"""A program that outlives its parent for a moment, to end what that one has left behind.

It needs nothing but Python itself. It is told process ids, one a line, on its standard input; when that ends, for
whatever reason, it kills those of them that still live. Each is held by a file descriptor from the moment it is named:
a number that the system gives to another process later is safe.
"""

import os
import select
import signal
import sys
from collections.abc import Iterable, Iterator
from contextlib import suppress


def guard(told: Iterable[str]) -> None:
    handles: list[int] = []
    for line in told:
        handles = list(_living(handles))
        with suppress(ProcessLookupError):
            handles.append(os.pidfd_open(int(line)))
    for handle in handles:
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(handle, signal.SIGKILL)


def _living(handles: list[int]) -> Iterator[int]:
    """Those whose process has not ended; the others are closed, so that they do not add up."""
    for handle in handles:
        waiter = select.poll()
        waiter.register(handle, select.POLLIN)
        if waiter.poll(0):
            os.close(handle)
        else:
            yield handle


if __name__ == "__main__":
    guard(sys.stdin)
