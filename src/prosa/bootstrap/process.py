"""A process's frame: its log, its sockets, its event loop, and the wish that it end."""

import asyncio
import gc
import signal
import socket
from collections.abc import Coroutine, Iterator, Sequence
from contextlib import contextmanager
from typing import Final

import structlog
import uvloop

from prosa import logs
from prosa.adapters.clock import SystemClock
from prosa.adapters.tokens import SystemTokens
from prosa.bootstrap.server import listening, raise_open_files
from prosa.core.errors import SetupError
from prosa.lines import Lines
from prosa.ports import Clock
from prosa.settings import Settings

log = structlog.get_logger()

NEW_OBJECTS: Final = 20_000
"""Between two looks for garbage among new objects. Python's 700 costs a busy process a tenth of its CPU."""


class Process:
    """``told_to_end`` is set by SIGTERM or SIGINT; a second one ends the process at once."""

    def __init__(
        self, settings: Settings, lines: Lines, listeners: list[socket.socket], runner: asyncio.Runner
    ) -> None:
        self.settings = settings
        self.lines = lines
        self.listeners = listeners
        self.clock: Clock = SystemClock()
        self.told_to_end = asyncio.Event()
        self._runner = runner

    def run(self, main: Coroutine[None, None, None]) -> None:
        """Run until it ends. What an operator must mend comes out as one SetupError."""
        try:
            self._runner.run(self._watched(main))
        except BaseExceptionGroup as group:
            wrong = first(group)
            if wrong is None:
                raise
            raise wrong from None

    async def _watched(self, main: Coroutine[None, None, None]) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._told, number)
        await main

    def _told(self, number: int) -> None:
        if self.told_to_end.is_set():
            # Asked twice: whoever asks does not want to wait. What is not saved is taken over by others.
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)
        self.told_to_end.set()


def first(group: BaseExceptionGroup[BaseException]) -> SetupError | None:
    """The first SetupError among what ended a process's tasks."""
    for error in group.exceptions:
        found = first(error) if isinstance(error, BaseExceptionGroup) else error
        if isinstance(found, SetupError):
            return found
    return None


@contextmanager
def process(settings: Settings, port: int, inherited: Sequence[int], *, option: str = "--port") -> Iterator[Process]:
    """Open the log and the sockets. Raises PortTaken and BadConfig."""
    with logs.writing(settings.log_format, settings.log_level) as lines:
        for warning in settings.warnings:
            log.warning("settings.noted", warning=warning)
        raise_open_files()
        # What was imported lives as long as the process: nothing there is ever garbage.
        gc.freeze()
        gc.set_threshold(NEW_OBJECTS)
        with (
            listening(settings.host, port, inherited, option) as listeners,
            asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
        ):
            yield Process(settings, lines, listeners, runner)


def name_of(kind: str) -> str:
    """A name for the life of a process: ``gw-…`` or ``wk-…``."""
    return f"{kind}-{SystemTokens().uuid().hex[-12:]}"
