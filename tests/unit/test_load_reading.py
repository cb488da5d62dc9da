"""A reader that believes nothing: every way to break L2 and L4 is told from every way to keep them."""

from collections.abc import Sequence
from uuid import UUID

import pytest

from prosa.core.protocol import Delta, Done, Failed, Snapshot
from prosa.core.run import Finish, RunState, Usage
from prosa.load.reading import Flaw, Reading

RUN, CHAT, REPLY = UUID(int=1), UUID(int=2), UUID(int=3)
WHOLE = "w0-abc w1-abc w2-abc é𝄞"

Frame = Delta | Snapshot | Done | Failed


def delta(start: int, seq: int, attempt: int = 1, text: str | None = None) -> Delta:
    return Delta(RUN, attempt, start, seq, WHOLE[start - 1 : seq] if text is None else text)


def snapshot(seq: int, attempt: int = 1, state: RunState = RunState.RUNNING, text: str | None = None) -> Snapshot:
    return Snapshot(RUN, CHAT, attempt, seq, state, WHOLE[:seq] if text is None else text)


def done(seq: int = len(WHOLE), attempt: int = 1) -> Done:
    return Done(RUN, CHAT, REPLY, attempt, seq, Finish.STOP, Usage(1, 3))


def failed(seq: int, attempt: int = 1) -> Failed:
    return Failed(RUN, CHAT, REPLY, attempt, seq, "worker_lost", "Too many workers died.", True)


RIGHT: Sequence[Frame] = (delta(1, 6), delta(7, 13), delta(14, len(WHOLE)), done())


def read(frames: Sequence[Frame], *, known: bool = True) -> Reading:
    reading = Reading(WHOLE if known else None)
    for now, frame in enumerate(frames):
        take(reading, frame, float(now))
    return reading


def take(reading: Reading, frame: Frame, now: float = 9.0) -> bool:
    match frame:
        case Delta():
            return reading.delta(frame, now)
        case Snapshot():
            return reading.snapshot(frame, now)
        case _:
            return reading.over(frame, now)


def flaws(reading: Reading) -> set[Flaw]:
    return {finding.flaw for finding in reading.findings}


# ── the promise kept ──


@pytest.mark.parametrize("known", [True, False])
def test_a_reply_that_comes_as_it_should_has_no_flaw(known: bool) -> None:
    reading = read(RIGHT, known=known)
    assert (reading.findings, reading.text, reading.end) == ([], WHOLE, done())
    assert (reading.first_at, reading.ended_at, reading.deltas) == (0.0, 3.0, 3)


def test_a_later_attempt_may_take_text_back_by_a_snapshot_and_says_how_much() -> None:
    reading = Reading(WHOLE)
    take(reading, delta(1, 13), 1.0)
    reading.started(2, 5.0)
    take(reading, snapshot(7, attempt=2), 5.5)
    take(reading, delta(8, len(WHOLE), attempt=2), 6.0)
    take(reading, done(attempt=2), 7.0)
    assert reading.findings == []
    (takeover,) = reading.takeovers
    assert (takeover.attempt, takeover.at, takeover.taken_back) == (2, 5.0, 6)


def test_a_failed_reply_keeps_its_part_and_is_no_flaw() -> None:
    assert read([delta(1, 6), failed(6)]).findings == []


def test_another_gateway_may_be_behind_and_catch_up() -> None:
    reading = read([delta(1, 13)])
    reading.reconnected()
    for frame in (snapshot(6), delta(7, 13), delta(14, len(WHOLE)), done()):
        assert take(reading, frame) is False
    assert (reading.findings, reading.text) == ([], WHOLE)


def test_who_asks_again_behind_the_end_may_be_told_again() -> None:
    reading = read(RIGHT)
    reading.asked()
    take(reading, snapshot(len(WHOLE), state=RunState.DONE))
    take(reading, done())
    assert reading.findings == []
    reading.answered()
    take(reading, done())
    assert flaws(reading) == {Flaw.DUPLICATED}


def test_a_gap_is_asked_about_and_healed_by_a_snapshot() -> None:
    reading = read([delta(1, 6)])
    assert take(reading, delta(14, len(WHOLE))) is True
    take(reading, snapshot(len(WHOLE)))
    take(reading, done())
    assert (reading.findings, reading.text) == ([], WHOLE)


# ── the promise broken ──


def test_an_end_behind_missing_text_is_lost() -> None:
    assert flaws(read([*RIGHT[:2], done()])) == {Flaw.LOST}


def test_a_gap_is_not_taken_for_an_end() -> None:
    reading = read([RIGHT[0], RIGHT[2]])
    assert take(reading, done()) is True
    assert reading.end is None


@pytest.mark.parametrize(
    "frames",
    [
        [*RIGHT[:2], RIGHT[1], *RIGHT[2:]],
        [*RIGHT, done()],
        [*RIGHT, failed(len(WHOLE))],
        [*RIGHT, delta(1, 6)],
        [*RIGHT, snapshot(6)],
        [*RIGHT[:2], delta(1, 13, attempt=2)],
    ],
    ids=["text", "end", "other end", "text behind the end", "snapshot behind the end", "text of a later attempt"],
)
def test_what_comes_twice_is_duplicated(frames: Sequence[Frame]) -> None:
    assert flaws(read(frames)) == {Flaw.DUPLICATED}


@pytest.mark.parametrize(
    "frames",
    [
        [RIGHT[0], delta(7, 13, text=" w1-abX"), *RIGHT[2:]],
        [RIGHT[0], delta(7, 12, text=" w1-abc")],
        [RIGHT[0], snapshot(13, text="w0-abc w1-abX")],
        [RIGHT[0], snapshot(13, text="w0-abc")],
        [RIGHT[0], RIGHT[1], snapshot(6)],
        [RIGHT[0], snapshot(7, attempt=2), delta(7, 13)],
        [RIGHT[0], RIGHT[1], done(13)],
    ],
    ids=["a character", "a count", "a snapshot", "its count", "taken back", "an older attempt", "too short"],
)
def test_what_is_other_text_is_corrupted(frames: Sequence[Frame]) -> None:
    assert flaws(read(frames)) == {Flaw.CORRUPTED}


def test_deltas_that_change_places_are_reordered() -> None:
    assert flaws(read([RIGHT[0], RIGHT[2], RIGHT[1]])) == {Flaw.REORDERED}


def test_without_a_known_reply_a_snapshot_must_go_on_from_what_was_shown() -> None:
    reading = read([delta(1, 6)], known=False)
    take(reading, snapshot(13, text="w0-abX w1-abc"))
    assert flaws(reading) == {Flaw.CORRUPTED}


def test_less_text_of_an_ended_run_is_corrupted_even_from_another_gateway() -> None:
    reading = read([delta(1, 13)])
    reading.reconnected()
    take(reading, snapshot(6, state=RunState.FAILED))
    assert flaws(reading) == {Flaw.CORRUPTED}


def test_findings_are_bounded() -> None:
    assert 0 < len(read([*RIGHT, *[done()] * 100]).findings) < 20
