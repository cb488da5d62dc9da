"""What a simulated person says: it survives everything, and tells an answer out of turn from a late one."""

from collections.abc import Callable
from uuid import UUID

import msgspec
import pytest

from prosa.core.protocol import (
    Accepted,
    ClientMessage,
    Delta,
    Done,
    Failed,
    Refusal,
    Send,
    ServerMessage,
    Started,
    Unwatch,
    Watch,
    Watching,
)
from prosa.core.run import Finish, RunState, Usage
from prosa.load.answer import Asked, Fate
from prosa.load.dialogue import ANSWER_SECONDS, QUIET_SECONDS, WATCHED_CHATS, Dialogue, Frames
from prosa.load.plan import Plan, Start
from prosa.load.reading import Flaw
from prosa.load.tally import Tally


def ids() -> Callable[[], UUID]:
    numbers = iter(range(1, 10_000))
    return lambda: UUID(int=next(numbers))


class Scene:
    """A person and the gateway that the test plays."""

    def __init__(self, **plan: object) -> None:
        self.tally = Tally()
        self.plan = msgspec.convert({"words": 3, **plan}, Plan)
        self.person = Dialogue(self.plan, 0, ids(), self.tally)
        self.person.connected(0.0)
        self.sent: Frames = self.person.begin(0.0, 0.0)

    def hear(self, message: ServerMessage, now: float) -> Frames:
        return self.person.hear(message, now)

    def accept(self, asked: Asked, ordinal: int = 1, now: float = 0.1) -> UUID:
        run, reply = UUID(int=asked.id.int + 10_000), UUID(int=asked.id.int + 20_000)
        self.hear(Accepted(asked.id, asked.chat, run, reply, RunState.QUEUED, ordinal, 1), now)
        return run

    def text(self, asked: Asked, start: int, seq: int, now: float) -> Frames:
        assert asked.run is not None
        whole = self.plan.expected(asked.text) or ""
        return self.hear(Delta(asked.run, 1, start, seq, whole[start - 1 : seq]), now)

    def end(self, asked: Asked, now: float) -> Frames:
        assert asked.run is not None
        assert asked.reply is not None
        whole = self.plan.expected(asked.text) or ""
        return self.hear(Done(asked.run, asked.chat, asked.reply, 1, len(whole), Finish.STOP, Usage()), now)

    def answer(self, asked: Asked, now: float) -> Frames:
        self.text(asked, 1, len(self.plan.expected(asked.text) or ""), now)
        return self.end(asked, now)


def asked_for(frames: Frames) -> list[ClientMessage]:
    return [frame for frame in frames if isinstance(frame, Send)]


def flaws(asked: Asked) -> set[Flaw]:
    return {finding.flaw for finding in asked.reading.findings}


def test_it_asks_the_next_message_as_soon_as_the_reply_is_whole() -> None:
    scene = Scene(messages=2, start=Start.BACK_TO_BACK)
    (first,) = scene.person.asked
    scene.accept(first)
    assert len(asked_for(scene.answer(first, 1.0))) == 1
    second = scene.person.asked[1]
    scene.accept(second, ordinal=2)
    assert asked_for(scene.answer(second, 2.0)) == []
    assert scene.person.over
    assert [asked.fate for asked in scene.person.asked] == [Fate.ANSWERED] * 2


def test_it_thinks_between_two_messages() -> None:
    scene = Scene(messages=2, think_seconds=3.0)
    (first,) = scene.person.asked
    scene.accept(first)
    assert asked_for(scene.answer(first, 1.0)) == []
    assert (scene.person.next_at, scene.person.over) == (4.0, False)
    assert len(asked_for(scene.person.due(4.0))) == 1


def test_it_goes_on_asking_until_the_time_is_over() -> None:
    scene = Scene(seconds=10.0)
    scene.accept(scene.person.asked[0])
    assert len(asked_for(scene.answer(scene.person.asked[0], 9.0))) == 1
    scene.accept(scene.person.asked[1], ordinal=2)
    assert asked_for(scene.answer(scene.person.asked[1], 10.5)) == []
    assert scene.person.over


def test_what_was_not_acknowledged_is_sent_again_with_the_same_id_and_the_unfinished_is_watched() -> None:
    scene = Scene(messages=2, ahead=2)
    first, second = scene.person.asked
    run = scene.accept(first)
    watch, send = scene.person.connected(5.0)
    assert watch == Watch(first.chat, (run,))
    assert isinstance(send, Send)
    assert (send.id, send.text) == (second.id, second.text)


def test_a_refusal_that_may_pass_is_tried_again_later_with_the_same_id() -> None:
    scene = Scene()
    (asked,) = scene.person.asked
    scene.hear(Refusal("store_unavailable", "The database is away.", asked.id, True), 1.0)
    assert asked_for(scene.person.tick(1.1)) == []
    (send,) = asked_for(scene.person.tick(2.0))
    assert isinstance(send, Send)
    assert (send.id, scene.tally.refusals) == (asked.id, {"store_unavailable": 1})


def test_a_refusal_for_good_is_no_loss() -> None:
    scene = Scene()
    scene.hear(Refusal("unknown_model", "There is no such model.", scene.person.asked[0].id, False), 1.0)
    assert (scene.person.asked[0].fate, scene.person.over) == (Fate.REFUSED, True)
    assert flaws(scene.person.asked[0]) == set()


def test_silence_is_probed_and_a_connection_that_does_not_answer_is_given_up() -> None:
    scene = Scene()
    run = scene.accept(scene.person.asked[0], now=0.5)
    assert scene.person.tick(QUIET_SECONDS) == []
    now = 0.6 + QUIET_SECONDS
    assert scene.person.tick(now) == [Watch(scene.person.asked[0].chat, (run,))]
    assert not scene.person.dead(now + ANSWER_SECONDS)
    assert scene.person.dead(now + ANSWER_SECONDS + 0.1)
    scene.hear(Watching(scene.person.asked[0].chat, (run,)), now + 1)
    assert not scene.person.dead(now + ANSWER_SECONDS + 0.1)


def test_an_accepted_message_without_an_end_is_lost_and_its_person_goes_on() -> None:
    scene = Scene(messages=2, lost_after=60.0)
    scene.accept(scene.person.asked[0])
    assert asked_for(scene.person.tick(60.0)) == []
    assert len(asked_for(scene.person.tick(61.0))) == 1
    assert (scene.person.asked[0].fate, flaws(scene.person.asked[0])) == (Fate.LOST, {Flaw.LOST})


def test_a_message_that_was_never_accepted_was_not_promised() -> None:
    scene = Scene(lost_after=60.0)
    scene.person.tick(61.0)
    assert (scene.person.asked[0].fate, flaws(scene.person.asked[0])) == (Fate.UNACCEPTED, set())


def test_a_second_reply_to_one_message_is_duplicated() -> None:
    scene = Scene()
    (asked,) = scene.person.asked
    scene.accept(asked)
    scene.hear(Accepted(asked.id, asked.chat, UUID(int=77), UUID(int=78), RunState.QUEUED, 1, 1), 0.2)
    assert flaws(asked) == {Flaw.DUPLICATED}


def test_text_that_does_not_fit_is_watched_again_once_and_again_where_nobody_answers() -> None:
    scene = Scene()
    (asked,) = scene.person.asked
    run = scene.accept(asked)
    scene.text(asked, 1, 3, 1.0)
    assert scene.text(asked, 5, 6, 1.1) == [Watch(asked.chat, (run,))]
    assert scene.text(asked, 7, 8, 1.2) == []
    assert scene.text(asked, 9, 10, 3.0) == [Watch(asked.chat, (run,))]


def test_an_answer_that_goes_on_behind_the_next_one_is_reordered() -> None:
    scene = Scene(messages=2, ahead=2)
    first, second = scene.person.asked
    scene.accept(first, ordinal=1)
    scene.accept(second, ordinal=2)
    scene.text(first, 1, 3, 1.0)
    scene.text(second, 1, 3, 1.5)
    for number in range(3):
        scene.text(first, 4 + number, 4 + number, 2.0 + number)
        assert flaws(first) == set()
    scene.text(first, 7, 8, 5.0)
    assert flaws(first) == {Flaw.REORDERED}


def test_an_end_that_is_told_late_is_not_reordered() -> None:
    scene = Scene(messages=2, ahead=2)
    first, second = scene.person.asked
    scene.accept(first, ordinal=1)
    scene.accept(second, ordinal=2)
    scene.text(first, 1, 3, 1.0)
    scene.text(second, 1, 3, 1.5)
    scene.text(first, 4, 6, 1.6)
    scene.text(first, 7, len(scene.plan.expected(first.text) or ""), 3.5)
    scene.end(first, 3.5)
    scene.text(second, 4, 5, 4.0)
    assert (flaws(first), flaws(second)) == (set(), set())


def test_one_number_for_two_messages_of_a_chat_is_reordered() -> None:
    scene = Scene(messages=2, ahead=2)
    first, second = scene.person.asked
    scene.accept(first, ordinal=1)
    scene.accept(second, ordinal=1)
    assert flaws(second) == {Flaw.REORDERED}


def test_it_lets_go_of_chats_before_a_connection_has_too_many() -> None:
    scene = Scene(messages=WATCHED_CHATS + 1, chats=WATCHED_CHATS + 1)
    for number in range(WATCHED_CHATS):
        asked = scene.person.asked[number]
        scene.accept(asked)
        frames = scene.answer(asked, float(number))
    assert frames[0] == Unwatch(scene.person.asked[0].chat)


def test_a_failed_run_is_an_end() -> None:
    scene = Scene()
    (asked,) = scene.person.asked
    run = scene.accept(asked)
    assert asked.reply is not None
    scene.hear(Started(run, asked.chat, 1, "scripted"), 0.5)
    scene.hear(Failed(run, asked.chat, asked.reply, 1, 0, "no_worker", "Nobody came.", True), 1.0)
    assert (asked.fate, asked.code, flaws(asked)) == (Fate.FAILED, "no_worker", set())


@pytest.mark.parametrize("stopped_at", ["before the start", "while it waits"])
def test_who_stops_waits_for_nothing(stopped_at: str) -> None:
    scene = Scene()
    if stopped_at == "before the start":
        scene.person = Dialogue(scene.plan, 0, ids(), scene.tally)
    scene.person.stop()
    assert scene.person.over
    assert scene.person.tick(99.0) == []
