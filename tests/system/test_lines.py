"""What the log tells of a run: each line about it bears its ids, and its end is told once, by whoever wrote it."""

import asyncio
import io
import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
import structlog

from prosa import logs
from prosa.core.errors import ModelUnreachable
from prosa.core.run import Claimant
from tests.system.test_faults import LIMITS, OTHER, Broken, House, house


class Log:
    """Everything that is said, at the level debug."""

    def __init__(self) -> None:
        self._stream = io.StringIO()
        logs.configure("json", "debug", self._stream)

    def said(self, event: str) -> list[dict[str, Any]]:
        lines = [json.loads(line) for line in self._stream.getvalue().splitlines()]
        return [line for line in lines if line["event"] == event]

    async def until(self, event: str, seconds: float = 10) -> dict[str, Any]:
        """The first line of this event."""
        async with asyncio.timeout(seconds):
            while not (found := self.said(event)):  # noqa: ASYNC110 — a log has no event of ours
                await asyncio.sleep(0.01)
        return found[0]


@pytest.fixture
def log() -> Iterator[Log]:
    root, ours = logging.getLogger(), logging.getLogger("prosa")
    before = (root.handlers, root.level, ours.level)
    yield Log()
    root.handlers, root.level, ours.level = before
    logging.captureWarnings(False)
    structlog.reset_defaults()


def ids(line: dict[str, Any]) -> tuple[Any, ...]:
    return line["run"], line["chat"], line["user"]


async def of(prosa: House, run: UUID) -> tuple[str, str, str]:
    (row,) = await prosa.common.store.reads.rows([run])
    return str(run), str(row.chat), str(row.user)


async def test_an_answers_life_is_told_with_its_ids_and_how_it_ended(tmp_path: Path, log: Log) -> None:
    async with house(tmp_path) as (prosa, worker):
        run = await prosa.ask("hello [[n=3 r=50]]")
        await prosa.answer(run)
        ended = await log.until("run.ended")
        expected = await of(prosa, run)
        for line in (*log.said("run.accepted"), *log.said("run.claimed"), ended):
            assert ids(line) == expected
        assert [line["worker"] for line in log.said("run.claimed")] == [worker.name]
        assert (ended["state"], ended["finish"], ended["code"]) == ("done", "stop", "")
        assert (ended["model"], ended["attempt"], ended["level"]) == ("scripted", 1, "info")
        assert 0 < ended["seconds"] < 5
        # Whatever else was said in between was said of nobody.
        assert {line["event"] for line in map(json.loads, log._stream.getvalue().splitlines()) if "run" in line} == {
            "run.accepted",
            "run.claimed",
            "run.ended",
        }


async def test_a_models_failure_is_told_with_the_ids_of_its_run_and_of_no_other(tmp_path: Path, log: Log) -> None:
    engines = {OTHER.name: Broken(ModelUnreachable("The model is away."))}
    async with house(tmp_path, engines, models=[OTHER.model_dump()]) as (prosa, _):
        runs = [await prosa.ask("who answers?", model=OTHER.name) for _ in range(3)]
        for run in runs:
            await prosa.answer(run)
        failed, ended = log.said("model.failed"), log.said("run.ended")
        assert sorted(map(ids, failed)) == sorted(map(ids, ended)) == sorted([await of(prosa, run) for run in runs])
        assert {(line["code"], line["model"], line["attempt"]) for line in failed} == {
            ("model_unreachable", "other", 1)
        }
        assert {(line["state"], line["code"], line["finish"]) for line in ended} == {
            ("failed", "model_unreachable", "")
        }


async def test_a_takeover_says_from_which_worker_and_the_loser_why_it_let_go(tmp_path: Path, log: Log) -> None:
    async with house(tmp_path, alone=False) as (prosa, worker):
        run = await prosa.ask("whose is it [[n=1000 r=50]]")
        await log.until("run.claimed")
        thief = Claimant(run, "wk-other", 4711)
        await prosa.common.store.sweeps.heartbeat(thief.worker, slots=1, draining=False)
        assert await prosa.runs.claim(thief, lease_seconds=0, continues=(), limits=LIMITS)
        let_go = await log.until("run.let_go")
        assert (let_go["reason"], let_go["attempt"]) == ("lost", 1)
        # The thief is silent from now on: the worker takes the run back when its lease is over.
        taken = await log.until("run.taken_over", 15)
        assert (taken["lost_by"], taken["worker"], taken["attempt"]) == ("wk-other", worker.name, 3)
        assert ids(taken) == ids(let_go) == await of(prosa, run)
        await prosa.intake.stop(prosa.user, run)
        assert (await log.until("run.ended"))["attempt"] == 3


async def test_a_drain_tells_of_each_run_that_was_given_back(tmp_path: Path, log: Log) -> None:
    async with house(tmp_path) as (prosa, worker):
        run = await prosa.ask("longer than a drain [[n=1000 r=50]]")
        await log.until("run.claimed")
        worker.drain()
        await prosa.working
        (line,) = log.said("run.let_go")
        assert (line["reason"], ids(line)) == ("drain", await of(prosa, run))
        assert log.said("run.ended") == []


async def test_a_withdrawn_message_ends_at_the_gateway_and_is_told_once(tmp_path: Path, log: Log) -> None:
    async with house(tmp_path) as (prosa, _):
        prosa.bus.idle = True
        run = await prosa.ask("never mind [[n=3]]")
        for _ in range(2):
            await prosa.intake.stop(prosa.user, run)
        (line,) = log.said("run.ended")
        assert (line["state"], line["attempt"], line["seconds"]) == ("stopped", 0, None)
        assert ids(line) == await of(prosa, run)
