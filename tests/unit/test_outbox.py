"""What a worker sends, and when: frames are bounded whatever the number of replies, and first words hurry."""

import asyncio
from uuid import UUID, uuid4

import pytest

from prosa.adapters.metrics import NullMetrics
from prosa.app.outbox import EVENTS_A_SECOND, HURRY_SECONDS, TICK_SECONDS, Outbox, pause_seconds
from prosa.core import events
from prosa.core.desk import Desk, Work
from prosa.core.events import BulletinNotice, Frame, Job, Mail, Over
from prosa.core.relay import Row
from prosa.core.run import Claimant, RunState
from prosa.core.work import Held
from prosa.testing import ManualClock


class Wire:
    """A bus that keeps what was sent."""

    def __init__(self) -> None:
        self.sent: list[list[UUID] | str] = []

    def send(self, to: str, mail: Mail) -> None:
        assert isinstance(mail, Frame)
        known, _ = events.run_events(mail)
        self.sent.append([event.run for event in known])

    def announce(self, notices: list[BulletinNotice]) -> None:
        self.sent.append("bulletin")

    def dispatch(self, job: Job) -> None: ...


class Scene:
    def __init__(self) -> None:
        self.wire, self.clock = Wire(), ManualClock()
        self.outbox = Outbox("wk-1", Desk(), self.wire, self.clock, NullMetrics())  # type: ignore[arg-type]

    def work(self) -> Work:
        """A run whose gateway knows that it has started."""
        run = uuid4()
        row = Row(run, uuid4(), uuid4(), uuid4(), uuid4(), "p", "m", 1, RunState.RUNNING, 1, 7, "wk-1", "", None)
        work = Work(Claimant(run, "wk-1", 7), Held(row, (), False, 60.0))
        self.outbox.desk.open(work, "gw-1")
        self.outbox.flush()
        self.wire.sent.clear()
        return work


@pytest.fixture
def scene() -> Scene:
    return Scene()


async def test_first_words_go_at_once_and_alone(scene: Scene) -> None:
    one, other = scene.work(), scene.work()
    await scene.clock.advance(HURRY_SECONDS)
    other.reply.append("more")
    one.reply.append("first")
    scene.outbox.hurry(one.run)
    assert scene.wire.sent == [[one.run]]
    scene.outbox.flush()
    assert scene.wire.sent == [[one.run], [other.run]]


async def test_first_words_behind_a_tick_go_at_once_too(scene: Scene) -> None:
    one = scene.work()
    scene.outbox.flush()
    one.reply.append("first")
    scene.outbox.hurry(one.run)
    assert scene.wire.sent == [[one.run]]


async def test_many_first_words_in_one_instant_share_two_frames(scene: Scene) -> None:
    works = [scene.work() for _ in range(100)]
    await scene.clock.advance(HURRY_SECONDS)
    async with asyncio.TaskGroup() as group:
        ticking = group.create_task(scene.outbox.run())
        await asyncio.sleep(0)
        for work in works:
            work.reply.append("first")
            scene.outbox.hurry(work.run)
        await scene.clock.advance(HURRY_SECONDS)
        ticking.cancel()
    assert [len(frame) for frame in scene.wire.sent] == [1, 99]


async def test_no_bulletin_overtakes_the_last_text_of_its_run(scene: Scene) -> None:
    one, other = scene.work(), scene.work()
    await scene.clock.advance(HURRY_SECONDS)
    other.reply.append("the end")
    scene.outbox.announce(Over(other.run, uuid4(), uuid4()))
    one.reply.append("first")
    scene.outbox.hurry(one.run)
    scene.outbox.flush()
    assert scene.wire.sent == [[one.run], [other.run], "bulletin"]


def test_the_tick_stretches_under_load_and_has_an_end() -> None:
    shortest, longest = TICK_SECONDS
    assert pause_seconds(0.0, 1) == shortest
    assert pause_seconds(0.01, 1) == pytest.approx(0.08)
    assert pause_seconds(0.0, EVENTS_A_SECOND // 10) == pytest.approx(0.1)
    assert pause_seconds(1.0, 10**6) == longest
