"""The relay on the table of cases that the page's reducer passes too (``web/test/relay_cases.test.ts``).

A case names no claims: attempt n has claim n, as every claim begins its own attempt.
"""

import json
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from prosa.core.events import RunEnded, RunEvent, RunStarted, TextAdded, TextWhole
from prosa.core.relay import Relay, Row, heard
from prosa.core.run import End, Failure, Finish, RunState

RUN = UUID(int=1)
OTHER = UUID(int=2)
WORKER = "wk-1"
CASES: list[dict[str, Any]] = json.loads((Path(__file__).parents[1] / "relay_cases.json").read_text(encoding="utf-8"))


def _relay(given: dict[str, Any]) -> Relay:
    state = RunState(given["state"])
    attempt: int = given["attempt"]
    claim = attempt or None
    row = Row(RUN, OTHER, OTHER, OTHER, OTHER, "pool", "m", 1, state, attempt, claim, text=given["text"])
    return Relay(RUN, row, state, attempt, claim, text=given["text"])


def _event(event: dict[str, Any]) -> RunEvent:
    attempt: int = event["attempt"]
    match event["type"]:
        case "started":
            return RunStarted(RUN, attempt, attempt, event["model"])
        case "delta":
            return TextAdded(RUN, attempt, attempt, event["from"], event["seq"], event["text"])
        case "snapshot":
            return TextWhole(RUN, attempt, attempt, event["text"])
        case _:
            return RunEnded(RUN, attempt, attempt, event["seq"], _end(event))


def _end(event: dict[str, Any]) -> End:
    if event["type"] == "failed":
        return End(RunState.FAILED, failure=Failure(event["code"], event["message"], event["retryable"]))
    finish = Finish(event["finish"])
    return End(RunState.STOPPED if finish is Finish.STOPPED else RunState.DONE, finish)


@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
def test_the_relay_does_what_the_shared_table_says(case: dict[str, Any]) -> None:
    relay, asked = _relay(case["given"]), False
    for event in case["events"]:
        relay, actions = heard(relay, WORKER, _event(event))
        asked = asked or bool(actions)
    found = {"attempt": relay.attempt, "state": relay.state, "text": relay.text, "seq": relay.seq, "asked": asked}
    assert found == case["expect"]


@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
def test_the_table_itself_counts_in_code_points(case: dict[str, Any]) -> None:
    for event in case["events"]:
        if event["type"] == "delta":
            assert len(event["text"]) == event["seq"] - event["from"] + 1
        if event["type"] == "snapshot":
            assert len(event["text"]) == event["seq"]


def test_every_case_has_its_own_name() -> None:
    assert len({case["name"] for case in CASES}) == len(CASES)
