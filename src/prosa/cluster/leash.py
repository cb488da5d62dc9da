"""A child that does not outlive its parent, however that one ends: ``kill -9`` included.

This file is also a program, which becomes the command that it is given. It needs nothing but Python itself. On Linux
the kernel then kills the command when its parent is gone, frozen or not; elsewhere this does nothing.
"""

import ctypes
import os
import signal
import sys
from collections.abc import Sequence
from typing import Final

PR_SET_PDEATHSIG: Final = 1


def leashed(command: Sequence[str]) -> list[str]:
    """The command line that runs a command on a leash. To be started by the thread that lives longest: the kernel
    looks at the thread which started a process, and that is the main one of a program with one event loop."""
    return [sys.executable, "-I", "-S", __file__, str(os.getpid()), *command]


def _become(parent: int, command: list[str]) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, ctypes.c_ulong(signal.SIGKILL))
    if os.getppid() != parent:
        # It was gone before the kernel knew of our wish.
        return
    try:
        os.execvp(command[0], command)  # noqa: S606 — no shell is meant
    except OSError as error:
        sys.exit(f"{command[0]} cannot be run: {error.strerror}.")


if __name__ == "__main__":
    _become(int(sys.argv[1]), sys.argv[2:])
