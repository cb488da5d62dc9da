"""Lines to a terminal or a pipe, which may be as slow as it likes: nobody waits for it."""

import os
import select
import threading
from collections import deque
from collections.abc import Callable
from typing import Final

MOST_LINES: Final = 2_000
FAREWELL_SECONDS: Final = 1.0


class Printer:
    """Writes to a file descriptor from a thread of its own, in order.

    Of more than ``most`` lines that wait the oldest are dropped; ``missing`` says how many in a line in their place.
    Within the context only; leaving it waits at most a second for what is not written yet. Who reads may go away.
    """

    def __init__(self, descriptor: int, missing: Callable[[int], str], most: int = MOST_LINES) -> None:
        self._descriptor = descriptor
        self._missing = missing
        self._most = most
        self._waiting: deque[str] = deque()
        self._dropped = 0
        self._over = False
        self._changed = threading.Condition()
        # A daemon: a terminal that was stopped must not keep the process from ending.
        self._thread = threading.Thread(target=self._run, name="printer", daemon=True)

    def __enter__(self) -> "Printer":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        with self._changed:
            self._over = True
            self._changed.notify()
        self._thread.join(FAREWELL_SECONDS)

    def put(self, line: str) -> None:
        with self._changed:
            if len(self._waiting) >= self._most:
                self._waiting.popleft()
                self._dropped += 1
            self._waiting.append(line)
            self._changed.notify()

    def _run(self) -> None:
        while lines := self._take():
            try:
                self._write("".join(f"{line}\n" for line in lines).encode(errors="replace"))
            except OSError:
                return

    def _take(self) -> list[str]:
        """All that waits; nothing when it is over."""
        with self._changed:
            while not (self._waiting or self._over):
                self._changed.wait()
            lines = [self._missing(self._dropped)] if self._dropped else []
            lines.extend(self._waiting)
            self._waiting.clear()
            self._dropped = 0
            return lines

    def _write(self, data: bytes) -> None:
        # Past Python's own buffers: at exit they would wait for a lock that a blocked thread holds.
        while data:
            try:
                data = data[os.write(self._descriptor, data) :]
            except BlockingIOError:
                select.select([], [self._descriptor], [])
