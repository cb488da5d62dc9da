"""A run's events as a stream: what is told, how it resumes, when it ends."""

import asyncio
from collections.abc import Sequence
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.types import Message

from prosa.core.cursor import told
from prosa.core.errors import StoreUnavailable
from prosa.core.events import RunEnded, RunStarted, TextAdded, TextWhole
from prosa.core.protocol import Delta, Queued, ServerMessage, Snapshot, Started
from prosa.core.relay import Relay, Row, change, heard, read
from prosa.core.run import End, Failure, Finish, RunState, Usage
from prosa.gateway import sse
from prosa.gateway.sse import START, Position
from tests.http.world import WORKER, Event, Person, Stream, World, following, problem

DONE = End(RunState.DONE, Finish.STOP, Usage(3, 2))
FAILED = End(RunState.FAILED, failure=Failure("model_broke", "The model broke.", True))
TEXT = "One é two ✨."


async def answered(world: World, ana: Person, end: End = DONE) -> str:
    run: str = (await ana.ask())["run"]
    await world.finish(await world.claim(run), TEXT, end)
    return run


def text_of(events: Sequence[Event], held: str = "") -> str:
    """What a reader puts together."""
    for event in events:
        if event.kind == "snapshot":
            held = event.data["text"]
        if event.kind == "delta":
            assert event.data["from"] == len(held) + 1
            held += event.data["text"]
            assert event.data["seq"] == len(held)
    return held


async def streamed(world: World, ana: Person, run: str, **headers: str) -> list[Event]:
    async with following(world.app, ana.client, run, **headers) as stream:
        assert await stream.status == 200
        return await stream.rest()


async def test_a_run_is_followed_from_its_queue_to_its_end(world: World, ana: Person) -> None:
    run = (await ana.ask())["run"]
    async with following(world.app, ana.client, run) as stream:
        assert stream.headers["content-type"] == "text/event-stream; charset=utf-8"
        assert (stream.headers["cache-control"], stream.headers["x-accel-buffering"]) == ("no-store", "no")
        assert "content-length" not in stream.headers
        claimant = await world.claim(run)
        world.say(RunStarted(claimant.run, 1, 1, "scripted"), TextAdded(claimant.run, 1, 1, 1, 4, TEXT[:4]))
        started, first = await stream.event(), await stream.event()
        world.say(TextAdded(claimant.run, 1, 1, 5, len(TEXT), TEXT[4:]))
        second = await stream.event()
        await world.finish(claimant, TEXT, DONE)
        world.say(RunEnded(claimant.run, 1, 1, len(TEXT), DONE))
        (end,) = await stream.rest()
    assert started is not None
    assert first is not None
    assert second is not None
    assert [event.kind for event in (started, first, second, end)] == ["started", "delta", "delta", "done"]
    assert [event.id for event in (started, first, second, end)] == ["0.0", "1.4", "1.12", "1.13"]
    assert text_of([first, second]) == TEXT
    assert (end.data["type"], end.data["seq"], end.data["finish"]) == ("done", 12, "stop")


async def test_a_run_that_is_over_is_told_whole(world: World, ana: Person) -> None:
    events = await streamed(world, ana, await answered(world, ana))
    assert text_of(events) == TEXT
    assert (events[-1].kind, events[-1].id) == ("done", "1.13")


async def test_a_failed_run_ends_with_its_reason(world: World, ana: Person) -> None:
    events = await streamed(world, ana, await answered(world, ana, FAILED))
    assert text_of(events) == TEXT
    assert (events[-1].kind, events[-1].data["code"]) == ("failed", "model_broke")


async def test_a_run_that_was_withdrawn_ends_with_nothing_said(world: World, ana: Person) -> None:
    run = (await ana.ask())["run"]
    await ana.client.post(f"/api/runs/{run}/stop")
    events = await streamed(world, ana, run)
    assert (events[-1].kind, events[-1].id, text_of(events)) == ("done", "0.1", "")
    answer = await ana.client.get(f"/api/runs/{run}/events", headers={"last-event-id": "0.1"})
    assert answer.status_code == 204


async def test_a_reader_resumes_behind_any_character(world: World, ana: Person) -> None:
    run = await answered(world, ana)
    for seq in range(len(TEXT) + 1):
        events = await streamed(world, ana, run, **{"last-event-id": f"1.{seq}"})
        assert "snapshot" not in {event.kind for event in events}
        assert text_of(events, TEXT[:seq]) == TEXT
        # Who has all the text but not the end still gets the end.
        assert (events[-1].kind, events[-1].id) == ("done", "1.13")


@pytest.mark.parametrize("known", ["1.13", "1.14", "1.999999999"])
async def test_past_the_end_there_is_nothing(world: World, ana: Person, known: str) -> None:
    run = await answered(world, ana)
    for headers, params in (({"last-event-id": known}, {}), ({}, {"last_event_id": known})):
        answer = await ana.client.get(f"/api/runs/{run}/events", headers=headers, params=params)
        assert (answer.status_code, answer.content) == (204, b"")


@pytest.mark.parametrize("known", ["0.0", "0.7", "2.3", "x", "", "1", "1.", "-1.2", "1.1.1", "9999999999.1"])
async def test_a_position_that_cannot_be_begins_anew(world: World, ana: Person, known: str) -> None:
    events = await streamed(world, ana, await answered(world, ana), **{"last-event-id": known})
    assert text_of(events) == TEXT


async def test_a_reader_of_an_earlier_attempt_gets_the_whole_text_of_the_new_one(world: World, ana: Person) -> None:
    run = (await ana.ask())["run"]
    first = await world.claim(run)
    assert await world.store.runs.release(first, "One")
    await world.finish(await world.claim(run, 2), TEXT, DONE)
    events = await streamed(world, ana, run, **{"last-event-id": "1.2"})
    assert [event.kind for event in events if event.kind != "started"] == ["snapshot", "done"]
    assert (text_of(events, "On"), events[-1].id) == (TEXT, "2.13")


async def test_a_gateway_that_knows_less_than_its_reader_does_not_make_the_text_shrink(
    world: World, ana: Person
) -> None:
    run = (await ana.ask())["run"]
    claimant = await world.claim(run)
    async with following(world.app, ana.client, run, **{"last-event-id": "1.7"}) as stream:
        world.say(TextWhole(claimant.run, 1, 1, TEXT[:3]))
        world.say(TextAdded(claimant.run, 1, 1, 4, 9, TEXT[3:9]))
        world.say(TextAdded(claimant.run, 1, 1, 10, len(TEXT), TEXT[9:]))
        await world.finish(claimant, TEXT, DONE)
        world.say(RunEnded(claimant.run, 1, 1, len(TEXT), DONE))
        events = await stream.rest()
    assert text_of(events, TEXT[:7]) == TEXT


async def test_a_reader_who_leaves_is_forgotten(world: World, ana: Person) -> None:
    run = (await ana.ask())["run"]
    async with following(world.app, ana.client, run) as stream:
        assert world.hub.relay(UUID(run)) is not None
        stream.leave()
        assert await stream.status == 200
    assert world.hub.relay(UUID(run)) is None


async def test_a_stream_ends_when_its_sign_in_is_revoked(world: World, ana: Person) -> None:
    run = (await ana.ask())["run"]
    claimant = await world.claim(run)
    async with following(world.app, ana.client, run) as stream:
        world.say(TextAdded(claimant.run, 1, 1, 1, 3, "One"))
        while (event := await stream.event()) is not None and event.kind != "delta":
            pass
        await world.store.users.set_disabled(ana.id, True)
        await world.clock.advance(sse.RECHECK_SECONDS)
        world.say(TextAdded(claimant.run, 1, 1, 4, 6, " se"))
        assert await stream.rest() == []
    problem(await ana.client.get(f"/api/runs/{run}/events"), 401, "not_signed_in")


# ── the response by itself ──


class Script:
    """A hub that yields what it is told to."""

    def __init__(self, *batches: list[ServerMessage]) -> None:
        self.batches = batches
        self.left = False

    async def __aenter__(self) -> "Script":
        return self

    async def __aexit__(self, *_error: object) -> None:
        self.left = True

    def __aiter__(self) -> "Script":
        self._next = iter(self.batches)
        return self

    async def __anext__(self) -> list[ServerMessage]:
        for batch in self._next:
            return batch
        raise StopAsyncIteration


async def fine() -> None:
    return


def yes() -> bool:
    return True


async def test_silence_is_filled_with_comments(world: World) -> None:
    stream = Stream()
    script = Script([], [], [])
    await sse.EventStream(lambda: script, START, world.clock, fine, ready=yes)({}, stream.receive, stream.send)
    assert await stream.rest() == []
    assert (stream.comments, script.left) == (3, True)


async def test_a_reader_who_takes_nothing_is_given_up(world: World) -> None:
    script = Script([], [])

    async def stuck(message: Message) -> None:
        if message["type"] == "http.response.body":
            await asyncio.Event().wait()

    response = sse.EventStream(lambda: script, START, world.clock, fine, ready=yes, send_seconds=0.01)
    await response({}, Stream().receive, stuck)


async def test_a_gateway_that_goes_away_ends_its_streams_so_that_they_resume_elsewhere(world: World) -> None:
    stream, states = Stream(), [True]
    held = world.hub.follow(sse.cursor(ROW, START))
    response = sse.EventStream(lambda: held, START, world.clock, fine, ready=lambda: states[-1])
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(response({}, stream.receive, stream.send))
        await stream.status
        states.append(False)
        await world.clock.advance(sse.READY_SECONDS)
        assert await stream.rest() == []


async def test_a_store_that_is_away_does_not_end_a_stream(world: World) -> None:
    stream = Stream()

    async def away() -> None:
        raise StoreUnavailable("The database is away.")

    response = sse.EventStream(lambda: Script([], []), START, world.clock, away, ready=yes)
    await world.clock.advance(sse.RECHECK_SECONDS)
    await response({}, stream.receive, stream.send)
    assert await stream.rest() == []
    assert stream.comments == 2


async def test_another_users_run_is_not_followed(world: World, ana: Person, bea: Person) -> None:
    run = (await ana.ask())["run"]
    problem(await bea.client.get(f"/api/runs/{run}/events"), 404, "not_found")


# ── positions, purely ──

RUN = UUID(int=1)
ROW = Row(RUN, UUID(int=2), UUID(int=3), UUID(int=4), UUID(int=5), "main", "scripted", 1, RunState.RUNNING, attempt=2)
OVER = change(ROW, state=RunState.DONE, text="abc", end=DONE)


@pytest.mark.parametrize(
    ("at", "row", "expected"),
    [
        (START, ROW, START),
        (Position(2, 5), ROW, Position(2, 5)),
        (Position(1, 5), ROW, Position(1, 5)),
        (Position(3, 0), ROW, START),
        (Position(0, 5), ROW, START),
        (Position(2, 3), OVER, Position(2, 3)),
        (Position(2, 4), OVER, None),
        (Position(2, 5), OVER, None),
        (Position(1, 4), OVER, Position(1, 4)),
        (Position(3, 4), OVER, START),
        (START, OVER, START),
    ],
)
def test_only_a_believable_position_is_resumed_from(at: Position, row: Row, expected: Position | None) -> None:
    assert sse.believable(at, row) == expected


def test_what_is_no_text_does_not_move_a_reader_on() -> None:
    # Were `started` of attempt 2 an id of its own, a resume behind it would skip the new attempt's beginning.
    for message in (Queued(RUN, 1), Started(RUN, UUID(int=2), 2, "scripted")):
        assert sse.after(Position(1, 5), message) == Position(1, 5)


words = st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\x00"), min_size=1, max_size=4), max_size=8)


class Reader:
    """A client that can only append, or replace by a snapshot, and checks what it is sent (L4)."""

    def __init__(self) -> None:
        self.at = START
        self.text = ""
        self.attempt = 0

    def take(self, each: ServerMessage) -> None:
        message = sse.beyond(self.at, each)
        match message:
            case None:
                return
            case Snapshot():
                assert message.attempt > self.attempt
                self.text, self.attempt = message.text, message.attempt
            case Delta():
                assert message.start == len(self.text) + 1
                assert message.attempt == self.attempt or not self.text
                self.text, self.attempt = self.text + message.text, message.attempt
        self.at = sse.after(self.at, message)


@given(words, words, st.data())
def test_however_often_a_reader_resumes_and_wherever_it_ends_with_the_whole_text(
    lost: list[str], kept: list[str], data: st.DataObject
) -> None:
    """Two attempts. After any message the reader may come to another gateway, which knows less or as much."""
    relays = _history(lost, kept)
    reader, cursor = Reader(), sse.cursor(ROW, START)
    step = resumed = 0
    while step < len(relays):
        cursor, messages = told(cursor, relays[step])
        for message in messages:
            reader.take(message)
        step += 1
        if step < len(relays) and resumed < 5 and data.draw(st.booleans()):
            step, resumed = data.draw(st.integers(0, step)), resumed + 1
            cursor = sse.cursor(ROW, reader.at)
    whole = "".join(kept)
    assert reader.text == whole
    assert reader.at == Position(2, len(whole) + 1)


def _history(lost: list[str], kept: list[str]) -> list[Relay]:
    """What a gateway knows, step by step: an attempt that is lost, and the one that ends."""
    relay, _ = read(Relay(RUN), change(ROW, attempt=0, state=RunState.QUEUED))
    found = [relay]
    for attempt, pieces in ((1, lost), (2, kept)):
        relay, _ = heard(relay, WORKER, TextWhole(RUN, attempt, attempt, ""))
        found.append(relay)
        for piece in pieces:
            start = relay.seq + 1
            event = TextAdded(RUN, attempt, attempt, start, relay.seq + len(piece), piece)
            relay, _ = heard(relay, WORKER, event)
            found.append(relay)
    relay, _ = heard(relay, WORKER, RunEnded(RUN, 2, 2, relay.seq, DONE))
    return [*found, relay]
