"""What a run leaves behind as spans, in a whole Prosa inside this process."""

import asyncio
from collections import Counter
from pathlib import Path
from uuid import UUID

from prosa.adapters.clock import SystemClock
from prosa.adapters.scripted_engine import ScriptedEngine
from prosa.catalog import ModelSettings
from prosa.core.errors import ModelUnreachable
from prosa.core.run import Claimant
from prosa.core.trace import Span, SpanName
from prosa.ports import Engine
from prosa.testing import KeptTraces
from tests.system.test_faults import LIMITS, Broken, House, house

EVERY = Counter(SpanName)


async def spans(prosa: House, run: UUID, count: int) -> dict[SpanName, list[Span]]:
    """All spans of a run, once there are so many."""
    traces = prosa.common.traces
    assert isinstance(traces, KeptTraces)
    async with asyncio.timeout(10):
        while len([span for span in traces.spans if span.run == run]) < count:
            await prosa.common.clock.sleep(0.01)
    found: dict[SpanName, list[Span]] = {}
    for span in traces.spans:
        if span.run == run:
            found.setdefault(span.name, []).append(span)
    return found


async def test_an_answered_run_leaves_one_span_of_each_kind_with_ids_and_without_contents(tmp_path: Path) -> None:
    async with house(tmp_path) as (prosa, worker):
        run = await prosa.ask("what nobody may read [[n=6 r=50 ttft=0.1]]")
        reader = await prosa.answer(run)
        found = await spans(prosa, run, 6)
        one = {name: spans[0] for name, spans in found.items()}
        assert Counter({name: len(spans) for name, spans in found.items()}) == EVERY
        for span in one.values():
            assert span.attributes["run"] == str(run)
            assert span.attributes["user"] == str(prosa.user)
            assert (span.attributes["model"], span.attributes["pool"]) == ("scripted", "default")
            assert span.code == ""
        assert one[SpanName.ACCEPT].attributes["gateway"] == one[SpanName.DELIVER].place == prosa.hub.name
        assert one[SpanName.ATTEMPT].attributes["worker"] == worker.name
        assert one[SpanName.ATTEMPT].attributes["finish"] == one[SpanName.DELIVER].attributes["finish"] == "stop"
        assert one[SpanName.ATTEMPT].attributes["characters"] == len(reader.text)
        said = " ".join(str(value) for span in one.values() for value in span.attributes.values())
        assert "nobody may read" not in said
        assert reader.text[:5] not in said


async def test_spans_lie_in_time_as_their_run_went(tmp_path: Path) -> None:
    async with house(tmp_path) as (prosa, _):
        before = prosa.common.clock.now().timestamp()
        run = await prosa.ask("one after the other [[n=20 r=20 ttft=0.5]]")
        await prosa.answer(run)
        one = {name: spans[0] for name, spans in (await spans(prosa, run, 6)).items()}
        after = prosa.common.clock.now().timestamp()
        accept, queue, attempt = one[SpanName.ACCEPT], one[SpanName.QUEUE], one[SpanName.ATTEMPT]
        model, commit, deliver = one[SpanName.MODEL], one[SpanName.COMMIT], one[SpanName.DELIVER]
        # A busy machine may take its time between a look at one clock and at the other.
        slack = 0.2
        assert before - slack <= accept.begun <= accept.ended <= attempt.begun + slack
        assert accept.begun - slack <= queue.begun <= queue.ended <= attempt.begun + slack
        assert attempt.begun - slack <= model.begun <= model.events["first_text"] <= model.ended
        assert model.events["first_text"] - model.begun >= 0.5 - slack
        assert model.ended - slack <= commit.begun <= commit.ended <= attempt.ended + slack
        assert attempt.begun - slack <= deliver.begun <= deliver.ended <= after + slack


async def test_a_failure_is_told_by_its_code_where_it_happened_and_where_it_was_shown(tmp_path: Path) -> None:
    async with house(tmp_path) as (prosa, _):
        run = await prosa.ask("break it [[n=50 r=200 fail=5]]")
        await prosa.answer(run)
        found = await spans(prosa, run, 6)
        codes = {name: spans[0].code for name, spans in found.items() if spans[0].code}
        assert codes == dict.fromkeys((SpanName.MODEL, SpanName.ATTEMPT, SpanName.DELIVER), "model_broke")


async def test_a_model_that_falls_back_leaves_a_span_for_each_that_was_called(tmp_path: Path) -> None:
    down = ModelSettings(name="down", engine="openai", base_url="http://127.0.0.1:9/v1", fallback="scripted")
    models: dict[str, Engine] = {
        "down": Broken(ModelUnreachable("The model down is away.")),
        "scripted": ScriptedEngine(SystemClock()),
    }
    async with house(tmp_path, models, models=[down.model_dump()]) as (prosa, _):
        run = await prosa.ask("who answers? [[n=3 r=50]]", model="down")
        await prosa.answer(run)
        called = (await spans(prosa, run, 7))[SpanName.MODEL]
        assert [(span.place, span.code) for span in called] == [("down", "model_unreachable"), ("scripted", "")]
        assert called[0].id != called[1].id
        assert called[0].parent == called[1].parent


async def test_a_worker_that_lost_its_claim_tells_of_its_attempt_and_not_of_an_end(tmp_path: Path) -> None:
    async with house(tmp_path, alone=False) as (prosa, _):
        run = await prosa.ask("whose is it [[n=1000 r=50]]")
        await asyncio.sleep(0.6)
        thief = Claimant(run, "wk-other", 4711)
        await prosa.common.store.sweeps.heartbeat("wk-other", slots=1, draining=False)
        assert await prosa.runs.claim(thief, lease_seconds=0, continues=(), limits=LIMITS)
        (attempt,) = (await spans(prosa, run, 4))[SpanName.ATTEMPT]
        assert (attempt.attempt, attempt.attributes["state"], attempt.attributes["reason"]) == (1, "left", "lost")
        assert "finish" not in attempt.attributes


async def test_an_end_that_came_from_the_database_is_delivered_too(tmp_path: Path) -> None:
    async with house(tmp_path) as (prosa, _):
        prosa.bus.deaf = True
        run = await prosa.ask("into the void [[n=3 r=50]]")
        await prosa.answer(run)
        assert len((await spans(prosa, run, 6))[SpanName.DELIVER]) == 1


async def test_who_opens_an_old_answer_is_delivered_nothing_new(tmp_path: Path) -> None:
    async with house(tmp_path) as (prosa, _):
        run = await prosa.ask("once [[n=3 r=50]]")
        await prosa.answer(run)
        await prosa.answer(run)
        assert len((await spans(prosa, run, 6))[SpanName.DELIVER]) == 1


async def test_a_withdrawn_message_was_accepted_and_never_attempted(tmp_path: Path) -> None:
    async with house(tmp_path) as (prosa, _):
        prosa.bus.idle = True
        run = await prosa.ask("never mind [[n=3]]")
        async with asyncio.TaskGroup() as group:
            reading = group.create_task(prosa.answer(run))
            await asyncio.sleep(0.2)
            await prosa.intake.stop(prosa.user, run)
        assert reading.result().end is not None
        found = await spans(prosa, run, 2)
        assert set(found) == {SpanName.ACCEPT, SpanName.DELIVER}
        assert found[SpanName.DELIVER][0].attributes["state"] == "stopped"
