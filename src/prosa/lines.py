"""Lines on their way out. A thread writes them, so that who has something to say never waits for who reads it.

A pipe that nobody reads is full after 64 KiB, and whoever writes on waits; in an event loop everybody waits with it.
Here lines wait in a bounded line instead. When that is full the oldest are dropped and counted: the newest say how
things are. Who ends the process waits for what is left, but not for long.
"""

import logging
import os
import select
import threading
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from io import UnsupportedOperation
from queue import SimpleQueue
from types import TracebackType
from typing import IO, Final, Self, TextIO

WAITING_CHARACTERS: Final = 4_000_000
"""Of a log: some 10,000 lines, or a few hundred with tracebacks."""
OVERHEAD_CHARACTERS: Final = 100
"""What a line takes besides its characters: empty ones are bounded, too."""
BATCH_CHARACTERS: Final = 64_000
"""Written at once: what a pipe holds on Linux."""
GATHER_SECONDS: Final = 0.02
CLOSE_SECONDS: Final = 2.0
"""What the last lines may take of a process's end."""
WAKE: Final = ""


class Lines:
    """Writes to ``descriptor``, within the context; None: there is no place to write to, and every line is dropped.

    ``missing`` words the line that stands where so many were dropped. At most ``most`` characters wait.
    """

    def __init__(
        self, descriptor: int | None, missing: Callable[[int], str], *, most: int = WAITING_CHARACTERS
    ) -> None:
        self.dropped = 0
        """Lines that were never written, since the start."""
        self._descriptor = descriptor
        self._missing = missing
        self._most = most
        # Garbage collection may log in the midst of any of this: queue and lock can be entered twice by one thread.
        self._waiting: SimpleQueue[str] = SimpleQueue()
        self._counting = threading.RLock()
        self._size = 0
        self._untold = 0
        self._ending = False
        self._hurry = threading.Event()
        # A daemon: who does not read must not keep a process from its end.
        self._thread = threading.Thread(target=self._run, name="lines", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.finish()

    @property
    def stuck(self) -> bool:
        """Whether there is still something to write, behind the context: nobody reads it."""
        return self._ending and self._thread.is_alive()

    def put(self, line: str) -> None:
        """Without its end of line. Behind the context it is written at once."""
        line += "\n"
        if not self._thread.is_alive():
            self._write([line], 0)
            return
        with self._counting:
            self._waiting.put(line)
            self._size += _cost(line)
            while self._size > self._most:
                self._forget()

    def finish(self, seconds: float = CLOSE_SECONDS) -> None:
        """Write what waits, unless that takes longer: then it is left."""
        self._ending = True
        self._hurry.set()
        self._waiting.put(WAKE)
        self._thread.join(seconds)

    def _forget(self) -> None:
        """Drop the oldest line."""
        if self._waiting.empty():
            self._size = 0
            return
        oldest = self._waiting.get_nowait()
        self._size -= _cost(oldest)
        self._lost(oldest != WAKE)

    def _lost(self, lines: int) -> None:
        with self._counting:
            self.dropped += lines
            self._untold += lines

    # ── in the thread ────────────────────────────────────────────────────────────────────────────────────────

    def _run(self) -> None:
        while not (self._ending and self._waiting.empty()):
            self._write(*self._take())
            # What comes close behind goes together: each wake-up of this thread takes the others out of their turn.
            self._hurry.wait(GATHER_SECONDS)

    def _take(self) -> tuple[list[str], int]:
        """Some lines, once there is one; and how many are missing before them."""
        lines = [self._waiting.get()]
        size = _cost(lines[0])
        with self._counting:
            while size < BATCH_CHARACTERS and not self._waiting.empty():
                lines.append(self._waiting.get_nowait())
                size += _cost(lines[-1])
            self._size = 0 if self._waiting.empty() else self._size - size
            missing, self._untold = self._untold, 0
        return [line for line in lines if line != WAKE], missing

    def _write(self, lines: Sequence[str], missing: int) -> None:
        gap = [self._missing(missing) + "\n"] if missing else []
        try:
            write(self._descriptor, "".join((*gap, *lines)))
        except OSError:
            self._lost(len(lines))
            with self._counting:
                self._untold += missing


def _cost(line: str) -> int:
    return len(line) + OVERHEAD_CHARACTERS


class LineHandler(logging.Handler):
    """Where Python's logging hands its records over."""

    def __init__(self, lines: Lines) -> None:
        super().__init__()
        self._lines = lines

    def emit(self, record: logging.LogRecord) -> None:
        try:
            line = self.format(record)
        except Exception:  # noqa: BLE001 - what cannot be worded is a fault to be told of, and no reason to stop
            line = traceback.format_exc().rstrip()
        self._lines.put(line)


def write(descriptor: int | None, text: str) -> None:
    """Write all of it, however long that takes. Raises OSError.

    Past Python's own buffer: a thread that waits with that one's lock breaks the interpreter's end.
    """
    if descriptor is None:
        raise OSError("there is nothing to write to")
    data = text.encode(errors="backslashreplace")
    while data:
        try:
            data = data[os.write(descriptor, data) :]
        except BlockingIOError:
            _writable(descriptor, None)


def offer(stream: TextIO | None, text: str) -> None:
    """Write a short text if that is possible at once. Who is not there or does not read goes without."""
    descriptor = descriptor_of(stream)
    with suppress(OSError):
        if descriptor is not None and _writable(descriptor, 0):
            write(descriptor, text)


def _writable(descriptor: int, milliseconds: int | None) -> bool:
    """Whether some 4 KiB can be written without waiting, or fail."""
    asked = select.poll()
    asked.register(descriptor, select.POLLOUT)
    return bool(asked.poll(milliseconds))


def descriptor_of(stream: IO[str] | None) -> int | None:
    """None: there is none. (A process that is started without standard error has no stream for it.)"""
    with suppress(UnsupportedOperation, ValueError, AttributeError):
        return stream.fileno() if stream is not None else None
    return None


@contextmanager
def log_lines(stream: TextIO | None, missing: Callable[[int], str]) -> Iterator[Lines]:
    """Lines of a whole process, of which the last are out when this is left, or CLOSE_SECONDS later.

    If nobody reads then, the stream's descriptor leads nowhere from then on: the interpreter itself would wait
    there with its last words.
    """
    descriptor = descriptor_of(stream)
    lines = Lines(descriptor, missing)
    try:
        with lines:
            yield lines
    finally:
        if lines.stuck and descriptor is not None:
            mute(descriptor)


def mute(descriptor: int) -> None:
    """What is written to it goes nowhere from now on."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, descriptor)
    os.close(nowhere)
