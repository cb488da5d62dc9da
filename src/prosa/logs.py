"""Structured logging: our own lines and everybody else's through one pipe, for people or for machines.

Whoever handles a run or a request binds its ids once (``structlog.contextvars.bound_contextvars(run=…, chat=…,
user=…)``); every line below then bears them. Contents of messages and secrets are never logged: values under
a name that means one are replaced, whoever logs them. Of libraries only warnings are shown: what theirs say below
that is what goes over their wires.
"""

import logging
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Final, TextIO

import structlog
from structlog.typing import EventDict, Processor

from prosa.lines import LineHandler, Lines, log_lines
from prosa.redaction import HIDDEN, hidden

log = structlog.get_logger()

PRIVATE: Final = frozenset(
    {"api_key", "authorization", "content", "cookie", "password", "prompt", "secret", "text", "token"}
)


def configure(form: str, level: str, stream: TextIO | None = None) -> None:
    """Send every log line to ``stream`` (stderr), as ``pretty`` text or one ``json`` object a line.

    ``level`` is for our own lines. Each is written before the call returns: that is for commands. See ``writing``.
    """
    stream = stream or sys.stderr
    _install(logging.StreamHandler(stream), _last(form, stream), level)


@contextmanager
def writing(form: str, level: str) -> Iterator[Lines]:
    """Like ``configure``, for a process that serves: nobody waits for who reads its log. See ``lines``."""
    stream = sys.stderr
    last = _last(form, stream)
    with log_lines(stream, lambda count: _gap(last, count)) as lines:
        _install(LineHandler(lines), last, level)
        threading.excepthook = lambda of: _unseen(of.exc_type, of.exc_value, of.exc_traceback)
        sys.unraisablehook = lambda of: _unseen(of.exc_type, of.exc_value, of.exc_traceback)
        yield lines


def _install(handler: logging.Handler, last: list[Processor], level: str) -> None:
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            structlog.stdlib.PositionalArgumentsFormatter(),
            *_shared(),
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )
    processors = [structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last]
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(foreign_pre_chain=_shared(), processors=processors))
    # No line says who wrote it, beyond its logger; to ask the system for the process's id takes longer than the rest.
    logging.logProcesses = logging.logThreads = logging.logMultiprocessing = False
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("prosa").setLevel(level.upper())
    logging.captureWarnings(True)


def _unseen(kind: type[BaseException], error: BaseException | None, trace: TracebackType | None) -> None:
    """An error that nobody can catch, of a thread or a finalizer: the interpreter would print it past the log."""
    if not issubclass(kind, SystemExit):
        log.error("process.unseen_error", exc_info=(kind, error or kind(), trace))


def _gap(last: list[Processor], lines: int) -> str:
    """The line that stands where others are missing."""
    event: Any = {
        "event": "logs.dropped",
        "level": "warning",
        "logger": __name__,
        "lines": lines,
        "way": f"{lines} log lines dropped: they came faster than they were read.",
    }
    stamped: list[Processor] = [structlog.processors.TimeStamper(fmt="iso", utc=True), *last]
    for processor in stamped:
        event = processor(None, "warning", event)
    return str(event)


def _shared() -> list[Processor]:
    return [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
        structlog.processors.UnicodeDecoder(),
    ]


def _last(form: str, stream: TextIO | None) -> list[Processor]:
    renderer: Processor = (
        structlog.processors.JSONRenderer(sort_keys=True, ensure_ascii=False)
        if form == "json"
        else structlog.dev.ConsoleRenderer(
            colors=stream is not None and stream.isatty(), exception_formatter=structlog.dev.plain_traceback
        )
    )
    # Tracebacks are plain, and text before they are cleaned: the rich ones print local variables, and those hold what
    # people wrote.
    return [structlog.processors.format_exc_info, _private, renderer]


def _private(_logger: object, _method: str, event: EventDict) -> EventDict:
    return {key: HIDDEN if key in PRIVATE else _clean(value) for key, value in event.items()}


def _clean(value: Any) -> Any:  # noqa: ANN401 — a log line may hold anything
    if isinstance(value, str):
        return hidden(value)
    if isinstance(value, Mapping):
        return {key: HIDDEN if key in PRIVATE else _clean(inner) for key, inner in value.items()}
    return value
