"""Structured logging: our own lines and everybody else's through one pipe, for people or for machines.

Whoever handles a run or a request binds its ids once (``structlog.contextvars.bound_contextvars(run=…, chat=…,
user=…)``); every line below then bears them. Contents of messages and secrets are never logged: values under
a name that means one are replaced, whoever logs them.
"""

import logging
import sys
from collections.abc import Mapping
from typing import Any, Final, TextIO

import structlog
from structlog.typing import EventDict, Processor

from prosa.redaction import HIDDEN, hidden

PRIVATE: Final = frozenset(
    {"api_key", "authorization", "content", "cookie", "password", "prompt", "secret", "text", "token"}
)


def configure(form: str, level: str, stream: TextIO | None = None) -> None:
    """Send every log line to ``stream`` (stderr), as ``pretty`` text or one ``json`` object a line.

    ``level`` is for our own lines; of libraries only warnings are shown, unless it is ``debug``.
    """
    stream = stream or sys.stderr
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
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(foreign_pre_chain=_shared(), processors=_last(form, stream.isatty()))
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(logging.DEBUG if level == "debug" else logging.WARNING)
    logging.getLogger("prosa").setLevel(level.upper())
    logging.captureWarnings(True)


def _shared() -> list[Processor]:
    return [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
        structlog.processors.UnicodeDecoder(),
    ]


def _last(form: str, colours: bool) -> list[Processor]:
    # Tracebacks are plain: the rich ones print local variables, and those hold what people wrote.
    plain = structlog.dev.plain_traceback
    renderer: Processor = (
        structlog.processors.JSONRenderer(sort_keys=True, ensure_ascii=False)
        if form == "json"
        else structlog.dev.ConsoleRenderer(colors=colours, exception_formatter=plain)
    )
    before: list[Processor] = [structlog.stdlib.ProcessorFormatter.remove_processors_meta]
    if form == "json":
        before.append(structlog.processors.format_exc_info)
    return [*before, _private, renderer]


def _private(_logger: object, _method: str, event: EventDict) -> EventDict:
    return {key: HIDDEN if key in PRIVATE else _clean(value) for key, value in event.items()}


def _clean(value: Any) -> Any:  # noqa: ANN401 — a log line may hold anything
    if isinstance(value, str):
        return hidden(value)
    if isinstance(value, Mapping):
        return {key: HIDDEN if key in PRIVATE else _clean(inner) for key, inner in value.items()}
    return value
