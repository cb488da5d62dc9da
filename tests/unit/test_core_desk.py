"""The runs that a worker holds."""

from uuid import uuid4

from prosa.core.chat import Role, Turn
from prosa.core.desk import Desk, Interruption, Work
from prosa.core.events import Gone, Listen, RunEnded, RunEvent, RunStarted, TextAdded, TextWhole
from prosa.core.relay import Row
from prosa.core.run import Claimant, End, Finish, RunState
from prosa.core.work import Held, Saved

CLAIM = 77


def work(*, attempt: int = 1, saved: str = "") -> Work:
    run = uuid4()
    row = Row(
        run=run,
        chat=uuid4(),
        user=uuid4(),
        reply=uuid4(),
        request=uuid4(),
        pool="default",
        model="m",
        ordinal=1,
        state=RunState.RUNNING,
        attempt=attempt,
        claim=CLAIM,
        worker="wk-1",
        text=saved,
    )
    held = Held(row, (Turn(Role.USER, "?"),), stop_requested=False, seconds_left=60)
    return Work(Claimant(run, "wk-1", CLAIM), held)


def kinds(events: list[RunEvent]) -> list[type]:
    return [type(event) for event in events]


def test_the_origin_of_a_job_listens_from_the_start() -> None:
    desk, run = Desk(), work()
    desk.open(run, "gw-1")
    run.reply.append("hello")
    events = desk.cut()["gw-1"]
    assert kinds(events) == [RunStarted, TextAdded]
    assert desk.cut() == {}


def test_one_frame_carries_all_runs_of_a_gateway() -> None:
    desk, runs = Desk(), [work() for _ in range(50)]
    for run in runs:
        desk.open(run, "gw-1")
        run.reply.append("x")
    frames = desk.cut()
    assert list(frames) == ["gw-1"]
    assert sum(isinstance(event, TextAdded) for event in frames["gw-1"]) == 50


def test_a_later_attempt_shows_the_text_that_it_goes_on_from() -> None:
    desk, run = Desk(), work(attempt=2, saved="so far ")
    desk.open(run, "gw-1")
    run.reply.append("on")
    started, whole, added = desk.cut()["gw-1"]
    assert isinstance(started, RunStarted)
    assert isinstance(whole, TextWhole)
    assert whole.text == "so far "
    assert isinstance(added, TextAdded)
    assert (added.start, added.seq, added.text) == (8, 9, "on")


def test_who_listens_under_the_claim_gets_only_the_missing_tail() -> None:
    desk, run = Desk(), work()
    desk.open(run, None)
    run.reply.append("abcdef")
    desk.listen(Listen("gw-2", run.run, CLAIM, 4))
    _started, tail = desk.cut()["gw-2"]
    assert isinstance(tail, TextAdded)
    assert (tail.start, tail.seq, tail.text) == (5, 6, "ef")


def test_who_listens_under_another_claim_or_beyond_the_text_gets_the_whole() -> None:
    desk, run = Desk(), work()
    desk.open(run, None)
    run.reply.append("abc")
    desk.listen(Listen("gw-2", run.run, CLAIM + 1, 2))
    desk.listen(Listen("gw-3", run.run, CLAIM, 9))
    frames = desk.cut()
    for gateway in ("gw-2", "gw-3"):
        assert [event.text for event in frames[gateway] if isinstance(event, TextWhole)] == ["abc"]


def test_who_listens_to_a_run_that_is_not_here_is_told_at_once() -> None:
    desk = Desk()
    desk.listen(Listen("gw-1", uuid4(), CLAIM, 0))
    assert kinds(desk.cut()["gw-1"]) == [Gone]


def test_who_stopped_listening_gets_nothing() -> None:
    desk, run = Desk(), work()
    desk.open(run, "gw-1")
    desk.cut()
    desk.unlisten("gw-1", run.run)
    run.reply.append("abc")
    assert desk.cut() == {}


def test_the_end_travels_behind_the_last_text_and_the_work_is_put_away() -> None:
    desk, run = Desk(), work()
    desk.open(run, "gw-1")
    run.reply.append("abc")
    run.over(End(RunState.DONE, Finish.STOP))
    events = desk.cut()["gw-1"]
    assert kinds(events) == [RunStarted, TextAdded, RunEnded]
    assert desk.get(run.run) is None


def test_a_lost_run_sends_no_more_text() -> None:
    desk, run = Desk(), work()
    desk.open(run, "gw-1")
    desk.cut()
    run.reply.append("never stored")
    run.gone()
    assert kinds(desk.cut()["gw-1"]) == [Gone]


def test_the_first_save_comes_as_soon_as_there_is_text_and_later_ones_append() -> None:
    desk, run = Desk(), work()
    desk.open(run, None)
    assert desk.saves(everything=False) == []
    run.reply.append("abc")
    (first,) = desk.saves(everything=False)
    assert (first.at, first.text, first.whole) == (0, "abc", False)
    run.reply.append("de")
    assert desk.saved([first], [Saved(run.run, 3, stop_requested=False)]) == []
    assert desk.saves(everything=False) == []
    (second,) = desk.saves(everything=True)
    assert (second.at, second.text) == (3, "de")


def test_a_stored_length_that_differs_sends_the_whole_text_next() -> None:
    desk, run = Desk(), work()
    desk.open(run, None)
    run.reply.append("abc")
    saves = desk.saves(everything=True)
    desk.saved(saves, [Saved(run.run, 1, stop_requested=False)])
    (again,) = desk.saves(everything=True)
    assert (again.whole, again.text) == (True, "abc")
    desk.saved([again], [Saved(run.run, 3, stop_requested=False)])
    (third,) = desk.saves(everything=True)
    assert (third.whole, third.at, third.text) == (False, 3, "")


def test_a_run_that_a_checkpoint_does_not_find_is_lost_and_a_wish_to_stop_is_heard() -> None:
    desk, lost, stopped = Desk(), work(), work()
    desk.open(lost, None)
    desk.open(stopped, None)
    saves = desk.saves(everything=True)
    endings = desk.saved(saves, [Saved(stopped.run, 0, stop_requested=True)])
    assert endings == [(lost, Interruption.LOST), (stopped, Interruption.STOP)]


def test_who_holds_nothing_yet_is_told_of_a_later_attempt_before_its_first_word() -> None:
    """A gateway drops the start of a later attempt: only the whole text says what it goes on from, also if that is
    nothing."""
    desk, run = Desk(), work(attempt=2)
    desk.open(run, None)
    desk.listen(Listen("gw-1", run.run, CLAIM, 0))
    assert desk.cut()["gw-1"] == [run.started(), run.snapshot()]
