"""Logs: one pipe for everybody's lines, with ids, without secrets or contents."""

import io
import json
import logging
import warnings
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from prosa import logs

SECRETS = {
    "password": "hunter2",
    "text": "hunter2",
    "url": "postgresql://u:hunter2@h/x",
    "header": "Authorization: Bearer hunter2",
    "nested": {"token": "hunter2", "address": "amqp://u:hunter2@h/"},
}
REFUSED_ROW = (
    "null value at postgresql://u:hunter2@h/x\nDETAIL:  Failing row contains (1, what people\nwrote).\n[SQL: INSERT]"
)


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    root, ours = logging.getLogger(), logging.getLogger("prosa")
    before = (root.handlers, root.level, ours.level)
    yield
    root.handlers, root.level, ours.level = before
    logging.captureWarnings(False)
    structlog.reset_defaults()


class Lines:
    """A logger of ours and what came out of the pipe."""

    def __init__(self, form: str, level: str = "info") -> None:
        self.stream = io.StringIO()
        logs.configure(form, level, self.stream)
        self.log = structlog.get_logger("prosa.test")

    @property
    def text(self) -> str:
        return self.stream.getvalue()

    @property
    def last(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.text.splitlines()[-1])
        return found


def test_a_line_is_one_json_object_with_what_happened_and_when() -> None:
    lines = Lines("json")
    lines.log.info("run.claimed", attempt=2)
    assert lines.last["event"] == "run.claimed"
    assert lines.last["attempt"] == 2
    assert lines.last["level"] == "info"
    assert lines.last["logger"] == "prosa.test"
    assert lines.last["timestamp"].endswith("Z")


def test_every_line_bears_the_ids_that_were_bound() -> None:
    lines = Lines("json")
    with structlog.contextvars.bound_contextvars(run="r-1", user="u-1"):
        lines.log.info("inside")
        assert (lines.last["run"], lines.last["user"]) == ("r-1", "u-1")
        logging.getLogger("uvicorn.error").warning("theirs")
        assert lines.last["run"] == "r-1"
    lines.log.info("outside")
    assert "run" not in lines.last


def test_the_lines_of_libraries_go_through_the_same_pipe() -> None:
    lines = Lines("json")
    logging.getLogger("uvicorn.error").warning("bound to %s", "postgresql://u:hunter2@h/x")
    assert lines.last["event"] == "bound to postgresql://u:***@h/x"
    logging.getLogger("uvicorn.error").info("not shown")
    assert "not shown" not in lines.text


def test_warnings_are_lines_too() -> None:
    lines = Lines("json")
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.warn("careful", UserWarning, stacklevel=1)
    assert "careful" in lines.last["event"]


@pytest.mark.parametrize("form", ["json", "pretty"])
def test_no_secret_and_no_content_is_written(form: str) -> None:
    lines = Lines(form)
    lines.log.warning("connect.failed", **SECRETS)
    assert "connect.failed" in lines.text
    assert "hunter2" not in lines.text


@pytest.mark.parametrize("form", ["json", "pretty"])
def test_a_traceback_says_where_and_not_what_people_wrote(form: str) -> None:
    lines = Lines(form)
    question = "what people " + "wrote"
    try:
        int(question[:0])
    except ValueError:
        lines.log.exception("run.broke")
    assert "test_logs.py" in lines.text
    assert "ValueError" in lines.text
    assert question not in lines.text


def test_what_is_below_the_level_is_not_shown() -> None:
    lines = Lines("json", "warning")
    lines.log.info("quiet")
    assert lines.text == ""
    loud = Lines("json", "debug")
    loud.log.debug("loud")
    assert loud.last["event"] == "loud"


@pytest.mark.parametrize("name", ["sqlalchemy.engine.Engine", "uvicorn.error", "websockets.server", "aiormq"])
def test_what_goes_over_the_wires_of_libraries_is_shown_at_no_level(name: str) -> None:
    lines = Lines("json", "debug")
    assert not logging.getLogger(name).isEnabledFor(logging.INFO)
    logging.getLogger(name).debug("< TEXT what people wrote")
    assert lines.text == ""


@pytest.mark.parametrize("form", ["json", "pretty"])
def test_a_databases_error_is_told_without_its_values_and_its_address(form: str) -> None:
    lines = Lines(form)
    try:
        raise ValueError(REFUSED_ROW)
    except ValueError:
        lines.log.exception("request.broke")
    assert "null value" in lines.text
    assert "[SQL: INSERT]" in lines.text
    for secret in ("hunter2", "what people", "wrote"):
        assert secret not in lines.text


def test_people_get_text() -> None:
    lines = Lines("pretty")
    lines.log.info("run.claimed", attempt=2)
    assert "run.claimed" in lines.text
    assert "attempt=2" in lines.text
    assert not lines.text.startswith("{")
