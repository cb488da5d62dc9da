"""The one place where ends of runs are counted and told to the operator, by whoever committed them."""

from collections.abc import Iterable
from typing import Final

import structlog

from prosa.core.errors import EngineFailed, Failed, InternalFailure, NoWorker, RunTimeout, WorkerLost
from prosa.core.relay import Row
from prosa.core.run import End, RunState
from prosa.ports import Metrics

log = structlog.get_logger()

FAILURES: Final[tuple[type[Failed], ...]] = (
    *EngineFailed.__subclasses__(),
    NoWorker,
    RunTimeout,
    WorkerLost,
    InternalFailure,
)
"""How a run may fail."""


def show_no_failures(metrics: Metrics, models: Iterable[str]) -> None:
    """Of each kind, before there is one: a rate does not see the first of a series that begins with it.

    A model that fails once at each worker would otherwise never have failed.
    """
    for model in models:
        for failure in FAILURES:
            metrics.count("runs_ended_total", 0, state=RunState.FAILED.value, finish="", code=failure.code, model=model)


def note_end(metrics: Metrics, row: Row, end: End, seconds: float | None = None) -> None:
    """One run is over. Its worker, the sweep or the gateway calls this: who wrote the end, and only then.

    ``seconds``: since its claim, where it ended under one.
    """
    finish = end.finish.value if end.finish else ""
    code = end.failure.code if end.failure else ""
    metrics.count("runs_ended_total", state=end.state.value, finish=finish, code=code, model=row.model)
    log.info(
        "run.ended",
        run=str(row.run),
        chat=str(row.chat),
        user=str(row.user),
        state=end.state.value,
        finish=finish,
        code=code,
        model=row.model,
        attempt=row.attempt,
        seconds=None if seconds is None else round(seconds, 3),
    )
