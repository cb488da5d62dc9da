"""Failures are shown before there are any, so that a rate sees the first one."""

import re
from collections.abc import Iterator

from prosa.adapters.metrics import PrometheusMetrics
from prosa.app.endings import show_no_failures
from prosa.core.errors import EngineFailed, Failed


def kinds(error: type[Failed]) -> Iterator[str]:
    """The codes of the tree's leaves."""
    below = error.__subclasses__()
    yield from (code for one in below for code in kinds(one))
    if not below:
        yield error.code


def test_each_kind_of_failure_of_each_model_is_there_with_0() -> None:
    metrics = PrometheusMetrics()
    show_no_failures(metrics, ["quick", "slow"])
    series = r'^prosa_runs_ended_total\{code="(\w+)",finish="",model="(\w+)",state="failed"\} 0\.0$'
    shown = re.findall(series, metrics.exposition().decode(), re.MULTILINE)
    codes = set(kinds(Failed))
    assert codes > set(kinds(EngineFailed))
    assert sorted(shown) == sorted((code, model) for code in codes for model in ("quick", "slow"))
