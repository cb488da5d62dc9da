"""What is counted of the life of runs, in a whole Prosa inside this process: each end once, by whoever wrote it."""

import asyncio
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import uuid4

from prosa.adapters.scripted_engine import ScriptedEngine
from prosa.core.errors import ModelUnreachable
from prosa.core.model import Chunk, Prompt
from prosa.core.run import RunState
from prosa.ports import Engine
from prosa.testing import ManualClock
from tests.system.test_faults import OTHER, House, house

FAST = "hello [[n=3 r=50]]"


class Unreachable:
    """An engine that nobody reaches."""

    continues = False

    @asynccontextmanager
    async def stream(self, prompt: Prompt) -> AsyncIterator[AsyncIterator[Chunk]]:
        raise ModelUnreachable("Nobody is there.")
        yield

    async def check(self) -> str:
        return ""


def values(prosa: House, name: str) -> Mapping[str, float]:
    """The series of a metric by their labels."""
    text = prosa.common.metrics.exposition().decode()
    found = re.findall(rf"^prosa_{name}(?:{{(.*)}})? (\S+)$", text, re.MULTILINE)
    return {labels: float(value) for labels, value in found}


def ends(prosa: House) -> Mapping[str, float]:
    return values(prosa, "runs_ended_total")


async def test_an_answer_is_counted_and_timed_from_the_queue_to_its_end(tmp_path: Path) -> None:
    async with house(tmp_path) as (prosa, _):
        await prosa.answer(await prosa.ask(FAST))
        assert ends(prosa) == {'code="",finish="stop",model="scripted",state="done"': 1}
        assert values(prosa, "engine_calls_total") == {'model="scripted",outcome="ok"': 1}
        assert values(prosa, "first_token_seconds_count") == {'model="scripted"': 1}
        assert values(prosa, "queue_seconds_count") == {'pool="default"': 1}
        assert values(prosa, "accept_seconds_count") == {"": 1}
        assert values(prosa, "engine_first_seconds_count") == {'model="scripted"': 1}
        queued, first = (values(prosa, f"{name}_seconds_sum") for name in ("queue", "first_token"))
        called = values(prosa, "engine_first_seconds_sum")
        assert sum(queued.values()) + sum(called.values()) <= sum(first.values()) < 5
        assert values(prosa, "slots") == {'pool="default"': prosa.common.settings.slots}


async def test_a_run_that_is_stopped_before_it_began_is_counted_once_by_the_gateway(tmp_path: Path) -> None:
    async with house(tmp_path) as (prosa, _):
        prosa.bus.idle = True
        run = await prosa.ask(FAST)
        for _ in range(2):
            assert (await prosa.intake.stop(prosa.user, run)).state is RunState.STOPPED
        assert ends(prosa) == {'code="",finish="stopped",model="scripted",state="stopped"': 1}
        assert values(prosa, "first_token_seconds_count") == {}


async def test_a_stop_of_a_running_answer_is_counted_once_by_its_worker(tmp_path: Path) -> None:
    async with house(tmp_path) as (prosa, _):
        run = await prosa.ask("long [[n=1000 r=20]]")
        async with asyncio.TaskGroup() as group:
            reading = group.create_task(prosa.answer(run))
            await asyncio.sleep(0.3)
            await prosa.intake.stop(prosa.user, run)
        assert reading.result().end is not None
        assert ends(prosa) == {'code="",finish="stopped",model="scripted",state="stopped"': 1}
        assert values(prosa, "engine_calls_total") == {'model="scripted",outcome="stopped"': 1}


async def test_what_no_worker_takes_in_time_is_counted_once_by_the_sweep(tmp_path: Path) -> None:
    async with house(tmp_path, start_seconds=0.2) as (prosa, _):
        prosa.bus.idle = True
        await prosa.answer(await prosa.ask(FAST))
        assert ends(prosa) == {'code="no_worker",finish="",model="scripted",state="failed"': 1}
        assert values(prosa, "expired_total") == {"": 1}


async def test_calls_are_counted_of_the_model_that_was_called(tmp_path: Path) -> None:
    engines: Mapping[str, Engine] = {"other": Unreachable(), "scripted": ScriptedEngine(ManualClock())}
    models = [OTHER.model_copy(update={"fallback": "scripted"})]
    async with house(tmp_path, engines, models=models) as (prosa, _):
        await prosa.answer(await prosa.ask("[[n=1 r=0]]", uuid4(), "other"))
        calls = values(prosa, "engine_calls_total")
        assert calls == {'model="other",outcome="model_unreachable"': 1, 'model="scripted",outcome="ok"': 1}
        assert ends(prosa) == {'code="",finish="stop",model="other",state="done"': 1}
