"""The trail of a run: its entries, and the timeline that is read of it."""

from datetime import UTC, datetime, timedelta

import msgspec

from prosa.core.run import RunState
from prosa.core.trail import LETTERS, Event, Life, What, entry, read, timeline

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
MILLISECONDS = 1_767_225_600_000


def at(seconds: float) -> datetime:
    return BEGIN + timedelta(seconds=seconds)


def stamp(seconds: float) -> int:
    return MILLISECONDS + int(seconds * 1000)


def life(**known: object) -> Life:
    plain = Life(RunState.RUNNING, "echo", "pool", 1, "wk-1", at(0), queued_at=at(1), started_at=at(2))
    return msgspec.structs.replace(plain, **known)


def test_an_entry_is_read_as_it_was_written() -> None:
    for what in LETTERS:
        assert read(entry(what, 3, stamp(1.5), "wk-1")) == (Event(at(1.5), what, 3, "wk-1"),)
    assert read(entry(What.STOP_ASKED, 1, stamp(2))) == (Event(at(2), What.STOP_ASKED, 1),)


def test_what_cannot_be_read_is_left_out() -> None:
    good = entry(What.CLAIMED, 1, stamp(0), "wk-1")
    for rubbish in ("x1 1767225600000 wk-1;", "c 1 wk;", "c1 soon wk-1;", ";;", "c1"):
        assert read(rubbish + good if rubbish.endswith(";") else f"{good}{rubbish}") == read(good)
    assert read(None) == read("") == ()


def test_who_is_queued_at_once_was_accepted_before() -> None:
    known = life(queued_at=at(-0.000_004), trail=entry(What.CLAIMED, 1, stamp(2), "wk-1"))
    assert [event.what for event in timeline(known)] == [What.ACCEPTED, What.QUEUED, What.CLAIMED]


def test_a_checkpoint_without_a_text_is_none() -> None:
    known = life(saved_at=at(3), ended_at=at(4), outcome="model_unreachable")
    assert What.CHECKPOINT not in [event.what for event in timeline(known)]


def test_the_timeline_of_a_taken_over_run_tells_who_had_it_and_when() -> None:
    trail = (
        entry(What.CLAIMED, 1, stamp(2), "wk-1")
        + entry(What.TAKEN_OVER, 2, stamp(8), "wk-2")
        + entry(What.RELEASED, 2, stamp(10), "wk-2")
        + entry(What.CLAIMED, 3, stamp(11), "wk-3")
        + entry(What.STOP_ASKED, 3, stamp(12))
    )
    known = life(attempt=3, worker="wk-3", first_text_at=at(3), saved_at=at(9), saved_characters=40, trail=trail)
    ended = msgspec.structs.replace(known, state=RunState.STOPPED, ended_at=at(13), outcome="stopped")
    assert timeline(ended) == (
        Event(at(0), What.ACCEPTED, detail="echo"),
        Event(at(1), What.QUEUED, detail="pool"),
        Event(at(2), What.CLAIMED, 1, "wk-1"),
        Event(at(3), What.FIRST_TEXT, 1),
        Event(at(8), What.TAKEN_OVER, 2, "wk-2"),
        Event(at(9), What.CHECKPOINT, 2, detail="40"),
        Event(at(10), What.RELEASED, 2, "wk-2"),
        Event(at(11), What.CLAIMED, 3, "wk-3"),
        Event(at(12), What.STOP_ASKED, 3),
        Event(at(13), What.ENDED, 3, "wk-3", "stopped"),
    )


def test_a_run_that_an_older_version_claimed_tells_what_its_columns_know() -> None:
    assert timeline(life()) == (
        Event(at(0), What.ACCEPTED, detail="echo"),
        Event(at(1), What.QUEUED, detail="pool"),
        Event(at(2), What.CLAIMED, 1, "wk-1"),
    )
    taken_over = life(attempt=2, worker="wk-2", trail=entry(What.TAKEN_OVER, 2, stamp(5), "wk-2"))
    assert [(event.what, event.worker) for event in timeline(taken_over)][2:] == [
        (What.CLAIMED, None),
        (What.TAKEN_OVER, "wk-2"),
    ]


def test_what_happened_in_one_moment_stands_in_the_order_of_a_life() -> None:
    at_once = life(queued_at=at(0), started_at=at(0), first_text_at=at(0), ended_at=at(0), outcome="stop")
    kinds = [event.what for event in timeline(at_once)]
    assert kinds == [What.ACCEPTED, What.QUEUED, What.CLAIMED, What.FIRST_TEXT, What.ENDED]
