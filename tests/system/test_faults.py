"""A whole Prosa inside this process, with what may fail made to fail: the bus, the store, a worker, an engine."""

import asyncio
import sqlite3
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, closing
from pathlib import Path
from uuid import UUID

import msgspec
import pytest
from sqlalchemy import make_url
from structlog.testing import capture_logs
from uuid_utils.compat import uuid7

from prosa import bootstrap
from prosa.adapters.clock import SystemClock
from prosa.adapters.memory_bus import MemoryBus
from prosa.adapters.metrics import PrometheusMetrics
from prosa.adapters.scripted_engine import ScriptedEngine, expected_reply
from prosa.adapters.sql import migrate
from prosa.adapters.sql.store import open_store
from prosa.adapters.tokens import SystemTokens
from prosa.app.access import Access
from prosa.app.intake import Intake
from prosa.catalog import ModelSettings
from prosa.core import protocol
from prosa.core.cursor import Cursor
from prosa.core.errors import ModelUnreachable, Refused, Unavailable
from prosa.core.model import Chunk, Piece, Prompt
from prosa.core.policy import Limits
from prosa.core.protocol import Regenerate, Send
from prosa.core.run import Claimant, End, Finish, RunState
from prosa.core.work import Held
from prosa.gateway.hub import Hub
from prosa.ports import Engine
from prosa.settings import Settings
from prosa.testing import FaultyRuns, KeptTraces, LossyBus
from prosa.worker.runner import Runner
from tests.reader import StrictReader

LIMITS = Limits()
OTHER = ModelSettings(name="other", engine="openai", base_url="http://127.0.0.1:9/v1")


class House:
    """Gateway and worker of one process, without sockets, and the levers to break them."""

    def __init__(self, common: bootstrap.Common, runs: FaultyRuns, bus: LossyBus, user: UUID) -> None:
        self.common = common
        self.runs = runs
        self.bus = bus
        self.user = user
        self.working: asyncio.Task[None]
        access = Access(common.store.sign_ins, common.tokens, common.clock)
        self.hub: Hub = bootstrap.make_hub(common, access)
        self.intake: Intake = bootstrap.make_intake(common, self.hub)

    async def ask(self, text: str, chat: UUID | None = None, model: str | None = None) -> UUID:
        send = Send(id=uuid7(), chat=chat or uuid7(), text=text, model=model)
        return (await self.intake.send(self.user, send, origin=self.hub.name)).row.run

    async def answer(self, run: UUID, seconds: float = 15) -> StrictReader:
        """Follow the run as a client would."""
        reader = StrictReader()
        async with asyncio.timeout(seconds), self.hub.follow(Cursor(run)) as batches:
            async for batch in batches:
                for message in batch:
                    reader.take(msgspec.json.decode(protocol.encode(message)))
        return reader

    async def stopped(self, run: UUID) -> bool:
        return (await self.stored(run))[0] is RunState.STOPPED

    async def stored(self, run: UUID) -> tuple[RunState, str, int]:
        (row,) = await self.common.store.reads.rows([run])
        return row.state, row.text, row.attempt


@asynccontextmanager
async def house(
    folder: Path, engines: Mapping[str, Engine] | None = None, *, alone: bool = True, **options: object
) -> AsyncIterator[tuple[House, Runner]]:
    """A house whose worker works until the test is over."""
    metrics, clock, tokens = PrometheusMetrics(), SystemClock(), SystemTokens()
    settings = Settings.model_validate({"data_dir": folder, "scripted": True, "local": False, **options})
    await migrate.migrate(settings.database_url)
    async with open_store(settings.database_url) as store:
        user = await store.users.add(uuid7(), f"user-{uuid7().hex[-8:]}", None, role=None)
        runs, bus = FaultyRuns(store.runs), LossyBus(MemoryBus(metrics))
        faulty = msgspec.structs.replace(store, runs=runs)
        common = bootstrap.Common(settings, clock, tokens, metrics, bus, faulty, KeptTraces())
        built = House(common, runs, bus, user.id)
        worker = bootstrap.make_worker(common, engines or {"scripted": ScriptedEngine(clock)}, alone=alone)
        async with asyncio.TaskGroup() as group:
            listening, working = group.create_task(built.hub.run()), group.create_task(worker.run())
            built.working = working
            await asyncio.sleep(0.05)
            yield built, worker
            worker.drain()
            await working
            listening.cancel()


async def until(true: Callable[[], bool], seconds: float = 5) -> None:
    async with asyncio.timeout(seconds):
        while not true():  # noqa: ASYNC110 — a worker tells nobody how it stands
            await asyncio.sleep(0.02)


async def test_with_every_frame_and_bulletin_lost_answers_still_appear_whole(tmp_path: Path) -> None:
    """L6: the database is the truth."""
    async with house(tmp_path) as (prosa, _):
        prosa.bus.deaf = True
        texts = [f"into the void {n} [[n=10 r=50]]" for n in range(3)]
        for text in texts:
            reader = await prosa.answer(await prosa.ask(text))
            assert reader.text == expected_reply(text)


async def test_a_job_that_the_bus_lost_is_dispatched_again(tmp_path: Path) -> None:
    """L6, and the sweep's first two seconds."""
    async with house(tmp_path) as (prosa, _):
        prosa.bus.idle = True
        run = await prosa.ask("lost on the way [[n=3 r=50]]")
        prosa.bus.idle = False
        assert (await prosa.answer(run)).text == expected_reply("lost on the way [[n=3 r=50]]")


async def test_a_stop_whose_nudge_is_lost_works_within_a_second_and_a_half(tmp_path: Path) -> None:
    async with house(tmp_path) as (prosa, _):
        run = await prosa.ask("stop me [[n=1000 r=20]]")
        await asyncio.sleep(0.3)
        prosa.bus.deaf = True
        await prosa.intake.stop(prosa.user, run)
        async with asyncio.timeout(1.5):
            while not await prosa.stopped(run):
                await prosa.common.clock.sleep(0.02)


async def test_a_store_that_is_away_refuses_to_accept_and_keeps_nothing(tmp_path: Path) -> None:
    """L1: without a commit there is no acknowledgement; the same message can be sent again."""
    async with house(tmp_path) as (prosa, _):
        send = Send(id=uuid7(), chat=uuid7(), text="patience [[n=2 r=50]]")
        prosa.runs.away = True
        with pytest.raises(Unavailable) as refused:
            await prosa.intake.send(prosa.user, send)
        assert refused.value.retryable
        prosa.runs.away = False
        receipt = await prosa.intake.send(prosa.user, send)
        assert not receipt.repeated
        assert (await prosa.answer(receipt.row.run)).text == expected_reply("patience [[n=2 r=50]]")


async def test_an_accept_whose_answer_was_lost_is_found_again_by_its_id(tmp_path: Path) -> None:
    """L10."""
    async with house(tmp_path) as (prosa, _):
        send = Send(id=uuid7(), chat=uuid7(), text="heard? [[n=2 r=50]]")
        prosa.runs.forgetful = 1
        with pytest.raises(Unavailable):
            await prosa.intake.send(prosa.user, send)
        again = await prosa.intake.send(prosa.user, send)
        assert again.repeated
        assert (await prosa.answer(again.row.run)).text == expected_reply("heard? [[n=2 r=50]]")


async def test_what_was_accepted_stays_accepted_under_a_lower_limit_and_without_its_model(tmp_path: Path) -> None:
    """L10: the same request at any time; a new one is refused."""
    send = Send(id=uuid7(), chat=uuid7(), text="a text of many bytes [[n=1]]", model="scripted")
    async with house(tmp_path) as (prosa, _):
        first = await prosa.intake.send(prosa.user, send)
        await prosa.answer(first.row.run)
        for changed in ({"text_bytes": 5}, {"models": [OTHER], "scripted": False}):
            settings = prosa.common.settings.model_copy(update=changed)
            later = bootstrap.make_intake(msgspec.structs.replace(prosa.common, settings=settings), prosa.hub)
            assert (await later.send(prosa.user, send)).row.run == first.row.run
            with pytest.raises(Refused):
                await later.send(prosa.user, msgspec.structs.replace(send, id=uuid7()))


async def test_while_the_store_is_away_a_worker_streams_on_and_commits_once_it_is_back(tmp_path: Path) -> None:
    async with house(tmp_path) as (prosa, _):
        text = "through the outage [[n=20 r=20]]"
        run = await prosa.ask(text)
        await asyncio.sleep(0.3)
        prosa.runs.away = True
        async with asyncio.TaskGroup() as group:
            reading = group.create_task(prosa.answer(run))
            await asyncio.sleep(1.2)
            assert not reading.done()
            prosa.runs.away = False
        assert reading.result().text == expected_reply(text)
        assert await prosa.stored(run) == (RunState.DONE, expected_reply(text), 1)


@pytest.mark.parametrize("lost", [1, 2])
async def test_a_claim_or_commit_whose_answer_was_lost_is_still_this_workers(tmp_path: Path, lost: int) -> None:
    """L2: commit outcome unknown; the second try finds its own end, and there is one attempt."""
    async with house(tmp_path) as (prosa, _):
        run = await prosa.ask("once only [[n=3 r=50]]")
        prosa.runs.forgetful = lost
        assert (await prosa.answer(run)).text == expected_reply("once only [[n=3 r=50]]")
        assert (await prosa.stored(run))[0] is RunState.DONE


async def test_a_worker_that_lost_its_claim_stops_and_changes_nothing(tmp_path: Path) -> None:
    """L3: another claim commits other text; the first worker's checkpoint and commit change no row."""
    async with house(tmp_path, alone=False) as (prosa, _):
        run = await prosa.ask("whose is it [[n=100 r=20]]")
        async with asyncio.TaskGroup() as group:
            reading = group.create_task(prosa.answer(run))
            await asyncio.sleep(0.6)
            thief = Claimant(run, "wk-other", 4711)
            await prosa.common.store.sweeps.heartbeat("wk-other", slots=1, draining=False)
            held = await prosa.runs.claim(thief, lease_seconds=0, continues=(), limits=LIMITS)
            assert isinstance(held, Held)
            assert held.row.attempt == 2
            await asyncio.sleep(1.5)
            committed = await prosa.runs.finish(thief, "the other's text", End(RunState.DONE, Finish.STOP), LIMITS)
            assert committed.mine
        assert reading.result().text == "the other's text"
        assert await prosa.stored(run) == (RunState.DONE, "the other's text", 2)


async def test_a_run_past_its_deadline_fails_with_timeout_and_keeps_its_text(tmp_path: Path) -> None:
    async with house(tmp_path, run_seconds=0.6) as (prosa, _):
        text = "too long [[n=1000 r=20]]"
        run = await prosa.ask(text)
        reader = await prosa.answer(run)
        assert reader.end is not None
        assert reader.end["code"] == "timeout"
        assert reader.text
        assert expected_reply(text).startswith(reader.text)


async def test_an_engines_failure_ends_the_run_with_its_reason_and_the_partial_text(tmp_path: Path) -> None:
    async with house(tmp_path) as (prosa, _):
        text = "break it [[n=50 r=200 fail=5]]"
        reader = await prosa.answer(await prosa.ask(text))
        assert reader.end is not None
        assert (reader.end["type"], reader.end["code"], reader.end["retryable"]) == ("failed", "model_broke", True)
        assert len(reader.text.split()) == 5


class Broken:
    """An engine that breaks its contract: what it raises is none of ours."""

    continues = False

    def __init__(self, error: Exception) -> None:
        self._error = error

    @asynccontextmanager
    async def _stream(self) -> AsyncGenerator[AsyncIterator[Chunk]]:
        yield self._chunks()

    async def _chunks(self) -> AsyncGenerator[Chunk]:
        if isinstance(self._error, ModelUnreachable):
            raise self._error
        yield Piece("half ")
        raise self._error

    def stream(self, prompt: Prompt) -> AbstractAsyncContextManager[AsyncIterator[Chunk]]:
        return self._stream()

    async def check(self) -> str:
        raise self._error


async def test_an_engine_that_breaks_its_contract_ends_its_run_and_no_other(tmp_path: Path) -> None:
    models: dict[str, Engine] = {"scripted": Broken(RuntimeError("a bug"))}
    async with house(tmp_path, models) as (prosa, _):
        for _ in range(2):
            reader = await prosa.answer(await prosa.ask("?"))
            assert reader.end is not None
            assert (reader.end["code"], reader.text) == ("internal", "half ")


async def test_a_model_that_cannot_be_reached_is_answered_for_by_its_fallback(tmp_path: Path) -> None:
    down = ModelSettings(name="down", engine="openai", base_url="http://127.0.0.1:9/v1", fallback="scripted")
    models: dict[str, Engine] = {
        "down": Broken(ModelUnreachable("The model down is away.")),
        "scripted": ScriptedEngine(SystemClock()),
    }
    async with house(tmp_path, models, models=[down.model_dump()]) as (prosa, _):
        reader = await prosa.answer(await prosa.ask("anyone? [[n=3 r=50]]", model="down"))
        assert reader.text == expected_reply("anyone? [[n=3 r=50]]")


async def test_the_first_question_can_be_edited_a_branch_from_the_root(tmp_path: Path) -> None:
    async with house(tmp_path) as (prosa, _):
        chat = uuid7()
        await prosa.answer(await prosa.ask("first try [[n=2 r=50]]", chat))
        edit = Send(id=uuid7(), chat=chat, text="second try [[n=2 r=50]]", parent=chat)
        await prosa.answer((await prosa.intake.send(prosa.user, edit)).row.run)
        history = await prosa.common.store.chats.history(prosa.user, chat, None, 50)
        questions = [message for message in history.messages if message.role == "user"]
        assert [(message.text, message.parent) for message in questions] == [
            ("first try [[n=2 r=50]]", None),
            ("second try [[n=2 r=50]]", None),
        ]


async def test_a_regenerated_reply_is_a_sibling_and_the_first_one_stays(tmp_path: Path) -> None:
    async with house(tmp_path) as (prosa, _):
        chat = uuid7()
        first = await prosa.ask("again please [[n=3 r=50]]", chat)
        await prosa.answer(first)
        (row,) = await prosa.common.store.reads.rows([first])
        again = await prosa.intake.regenerate(prosa.user, Regenerate(id=uuid7(), reply=row.reply))
        await prosa.answer(again.row.run)
        history = await prosa.common.store.chats.history(prosa.user, chat, None, 50)
        question, one, two = history.messages
        assert one.parent == two.parent == question.id
        assert one.text == two.text == expected_reply("again please [[n=3 r=50]]")


async def test_a_drain_ends_though_the_store_stays_away(tmp_path: Path) -> None:
    """A full disk must not keep a process from ending; its runs go on from what was saved."""
    async with house(tmp_path) as (prosa, worker):
        await prosa.ask("never stored [[n=5 r=50]]")
        await asyncio.sleep(0.05)
        prosa.runs.away = True
        await asyncio.sleep(0.4)
        async with asyncio.timeout(8):
            worker.drain()
            await asyncio.shield(prosa.working)
    assert prosa.runs.away


async def test_an_administrators_wish_drains_a_worker_as_a_signal_does(tmp_path: Path) -> None:
    with capture_logs() as lines:
        async with house(tmp_path, alone=False) as (prosa, worker):
            text = "let me finish [[n=30 r=20]]"
            run = await prosa.ask(text)
            await asyncio.sleep(0.3)
            await prosa.common.store.operations.drain(worker.name)
            await until(lambda: worker.draining)
            late = await prosa.ask("too late [[n=1 r=20]]")
            reader = await prosa.answer(run)
            async with asyncio.timeout(5):
                await asyncio.shield(prosa.working)
            assert (reader.text, (await prosa.stored(run))[2]) == (expected_reply(text), 1)
            assert (await prosa.stored(late))[0] is RunState.QUEUED
    (said,) = [line for line in lines if line["event"] == "worker.draining"]
    assert (said["worker"], said["asked_by"], said["runs"]) == (worker.name, "administrator", 1)


async def test_a_worker_that_leaves_without_a_run_is_not_missed(tmp_path: Path) -> None:
    """It leaves between two heartbeats: only a last one tells that it was not lost."""
    async with house(tmp_path) as (prosa, worker):
        await until(lambda: worker.beats)
        worker.drain()
        async with asyncio.timeout(5):
            await asyncio.shield(prosa.working)
        assert (await prosa.common.store.reads.census(0.0)).workers["silent"] == 0
        (left,) = (await prosa.common.store.operations.standing([])).workers
        assert (left.name, left.draining, left.slots_used) == (worker.name, True, 0)


async def test_a_goodbye_that_the_store_does_not_take_keeps_nobody(tmp_path: Path) -> None:
    async with house(tmp_path) as (prosa, worker):
        await until(lambda: worker.beats)
        place = make_url(prosa.common.settings.database_url).database
        with closing(sqlite3.connect(place or "", isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            worker.drain()
            async with asyncio.timeout(3):
                await asyncio.shield(prosa.working)


async def test_a_claim_that_comes_after_the_drain_is_given_back(tmp_path: Path) -> None:
    async with house(tmp_path) as (prosa, worker):
        prosa.runs.slow_claims.clear()
        run = await prosa.ask("late [[n=200 r=20]]")
        await asyncio.sleep(0.1)
        worker.drain()
        await asyncio.sleep(1.5)
        prosa.runs.slow_claims.set()
        async with asyncio.timeout(5):
            await asyncio.shield(prosa.working)
        assert (await prosa.stored(run))[0] is RunState.QUEUED


async def test_a_worker_never_runs_more_than_its_slots_takeovers_included(tmp_path: Path) -> None:
    """Deliveries wait unclaimed while orphans of a dead worker hold the slots."""
    async with house(tmp_path, slots=4, user_limit=100) as (prosa, _):
        prosa.bus.idle = True
        for n in range(4):
            dead = Claimant(await prosa.ask(f"orphan {n} [[n=1000 r=10]]"), "wk-dead", n + 1)
            assert await prosa.runs.claim(dead, lease_seconds=3, continues=("scripted",), limits=LIMITS)
        await asyncio.sleep(1.0)
        prosa.bus.idle = False
        for n in range(4):
            await prosa.ask(f"newer {n} [[n=1000 r=10]]")
        await asyncio.sleep(1.0)
        counts = await prosa.common.store.reads.counts()
        assert (counts[RunState.RUNNING], counts[RunState.QUEUED]) == (4, 4)
