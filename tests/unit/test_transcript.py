"""The terminal's transcript: every character once, whatever the connection and the workers do."""

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prosa.core import protocol
from prosa.core.protocol import (
    Accepted,
    Delta,
    Done,
    Failed,
    Queued,
    Refusal,
    Send,
    ServerMessage,
    Snapshot,
    Started,
    Stop,
    Watch,
    Watching,
)
from prosa.core.run import Finish, RunState, Usage
from prosa.terminal.transcript import (
    MARK,
    Again,
    Effect,
    Note,
    Over,
    Print,
    Tell,
    Turn,
    decode,
    heard,
    interrupted,
    opening,
)

CHAT, RUN, REPLY, QUESTION, OTHER = (UUID(int=number) for number in range(1, 6))
ASKED = Turn(CHAT, Send(QUESTION, CHAT, "What is a run?"))
ACCEPTED = Accepted(QUESTION, CHAT, RUN, REPLY, RunState.QUEUED, 1, 1)


def delta(start: int, text: str, attempt: int = 1, run: UUID = RUN) -> Delta:
    return Delta(run=run, attempt=attempt, start=start, seq=start + len(text) - 1, text=text)


def snapshot(text: str, attempt: int = 1, run: UUID = RUN) -> Snapshot:
    return Snapshot(run, CHAT, attempt, len(text), RunState.RUNNING, text)


def done(seq: int, attempt: int = 1) -> Done:
    return Done(RUN, CHAT, REPLY, attempt, seq, Finish.STOP, Usage())


def failed(seq: int) -> Failed:
    return Failed(RUN, CHAT, REPLY, 1, seq, "model_broke", "The model broke.", True)


def play(turn: Turn, *messages: ServerMessage) -> tuple[Turn, list[Effect]]:
    effects: list[Effect] = []
    for message in messages:
        turn, more = heard(turn, message)
        effects += more
    return turn, effects


def printed(effects: list[Effect]) -> str:
    return "".join(effect.text for effect in effects if isinstance(effect, Print))


def told(effects: list[Effect]) -> list[protocol.ClientMessage]:
    return [effect.message for effect in effects if isinstance(effect, Tell)]


# ── an answer ──


def test_words_are_printed_as_they_come_and_the_end_is_told() -> None:
    turn, effects = play(ASKED, ACCEPTED, Started(RUN, CHAT, 1, "local"), delta(1, "One "), delta(5, "step."), done(9))
    assert printed(effects) == turn.text == "One step."
    assert effects[-1] == Over()


def test_a_failed_answer_keeps_its_text_and_says_why() -> None:
    _, effects = play(ASKED, ACCEPTED, delta(1, "One"), failed(3))
    assert printed(effects) == "One"
    assert effects[-1] == Over("The answer failed: The model broke. (model_broke)")


def test_what_belongs_to_other_answers_is_not_shown() -> None:
    _, effects = play(ASKED, ACCEPTED, delta(1, "theirs", run=OTHER), snapshot("theirs", run=OTHER), Queued(OTHER, 1))
    assert effects == []


def test_who_waits_sees_the_place() -> None:
    _, effects = play(ASKED, ACCEPTED, Queued(RUN, 3, 4.2), Queued(RUN, 2))
    assert effects == [Note("waiting at place 3, about 4 s"), Note("waiting at place 2")]


def test_a_refused_question_is_over_with_its_reason() -> None:
    _, effects = play(ASKED, Refusal("too_many_waiting", "Too many of your messages wait.", QUESTION, True))
    assert effects == [Over("Too many of your messages wait. (too_many_waiting)")]


# ── resuming ──


def test_a_question_whose_acceptance_is_not_known_is_sent_again() -> None:
    assert opening(ASKED) == (ASKED.question,)


def test_an_accepted_one_is_watched_on_the_next_connection() -> None:
    turn, _ = play(ASKED, ACCEPTED, delta(1, "One "))
    assert opening(turn) == (Watch(CHAT, (RUN,)),)


def test_a_snapshot_that_extends_what_was_printed_prints_only_the_rest() -> None:
    turn, effects = play(ASKED, ACCEPTED, delta(1, "One "), snapshot("One step"), delta(9, "."))
    assert printed(effects) == turn.text == "One step."


def test_a_new_attempt_that_goes_on_from_the_same_text_shows_no_seam() -> None:
    _, effects = play(ASKED, ACCEPTED, delta(1, "One "), snapshot("One ", attempt=2), delta(5, "step", attempt=2))
    assert printed(effects) == "One step"


def test_a_snapshot_that_does_not_extend_it_prints_a_mark_and_the_new_text() -> None:
    turn, effects = play(ASKED, ACCEPTED, delta(1, "One"), snapshot("Two", attempt=2), delta(4, "!", attempt=2))
    assert printed(effects) == f"One{MARK}Two!"
    assert turn.text == "Two!"


def test_text_that_was_taken_back_and_comes_again_alike_is_printed_once() -> None:
    turn, effects = play(ASKED, ACCEPTED, delta(1, "One step"), snapshot("One", attempt=2))
    assert printed(effects) == "One step"
    turn, effects = play(turn, delta(4, " st", attempt=2), delta(7, "ep more", attempt=2), done(13, attempt=2))
    assert printed(effects) == " more"


def test_text_that_was_taken_back_and_comes_again_otherwise_follows_a_mark() -> None:
    turn, effects = play(ASKED, ACCEPTED, delta(1, "One step"), snapshot("One", attempt=2))
    turn, effects = play(turn, delta(4, " way", attempt=2), delta(8, "!", attempt=2), done(8, attempt=2))
    assert printed(effects) == f"{MARK}One way!"


def test_an_end_with_less_than_was_printed_says_what_is_stored() -> None:
    turn, _ = play(ASKED, ACCEPTED, delta(1, "One step"), snapshot("One", attempt=2))
    _, effects = play(turn, done(3, attempt=2))
    assert printed(effects) == f"{MARK}One"
    assert effects[-1] == Over()


def test_a_repeated_or_overlapping_delta_is_printed_once() -> None:
    _, effects = play(ASKED, ACCEPTED, delta(1, "One "), delta(1, "One "), delta(3, "e step"))
    assert printed(effects) == "One step"


def test_an_older_attempt_and_an_older_snapshot_are_dropped() -> None:
    turn, effects = play(
        ASKED, ACCEPTED, snapshot("Two words", attempt=2), delta(1, "Old text", attempt=1), snapshot("Two", attempt=2)
    )
    assert printed(effects) == turn.text == "Two words"


@pytest.mark.parametrize("message", [delta(9, "x"), delta(5, "x", attempt=2), done(9), done(4, attempt=2), failed(9)])
def test_what_does_not_fit_makes_the_client_watch_again(message: ServerMessage) -> None:
    turn, _ = play(ASKED, ACCEPTED, delta(1, "One "))
    after, effects = play(turn, message)
    assert told(effects) == [Watch(CHAT, (RUN,))]
    assert after == turn
    assert Over() not in effects


def test_a_watch_that_cannot_be_answered_now_is_asked_again() -> None:
    turn, _ = play(ASKED, ACCEPTED)
    assert play(turn, Refusal("store_unavailable", "Away.", None, True))[1] == [Again()]
    assert play(turn, Refusal("not_found", "Gone.", None, False))[1] == [Over("Gone. (not_found)")]


def test_a_chat_that_is_opened_again_goes_on_with_its_unfinished_answer() -> None:
    turn = Turn(CHAT)
    assert opening(turn) == (Watch(CHAT),)
    turn, effects = play(turn, snapshot("One "), Watching(CHAT, (RUN,)), delta(5, "step"), done(8))
    assert printed(effects) == "One step"
    assert effects[-1] == Over()


def test_a_chat_without_an_unfinished_answer_has_nothing_to_follow() -> None:
    assert play(Turn(CHAT), Watching(CHAT, ()))[1] == [Over()]


# ── stopping ──


def test_an_interrupt_stops_the_running_answer_and_its_text_stays() -> None:
    turn, _ = play(ASKED, ACCEPTED, delta(1, "One"))
    turn, effects = interrupted(turn)
    assert told(list(effects)) == [Stop(RUN)]
    assert play(turn, done(3))[1] == [Over()]


def test_an_interrupt_before_the_acceptance_stops_as_soon_as_there_is_a_run() -> None:
    turn, effects = interrupted(ASKED)
    assert told(list(effects)) == []
    assert told(play(turn, ACCEPTED)[1]) == [Stop(RUN)]


def test_an_interrupt_while_the_connection_is_away_is_said_on_the_next_one() -> None:
    turn, _ = interrupted(play(ASKED, ACCEPTED)[0])
    assert opening(turn) == (Watch(CHAT, (RUN,)), Stop(RUN))


# ── the wire ──


@pytest.mark.parametrize("message", [ACCEPTED, delta(1, "é🙂"), snapshot("x"), done(1), failed(1), Watching(CHAT, ())])
def test_what_the_gateway_encodes_is_read(message: ServerMessage) -> None:
    assert decode(protocol.encode(message)) == message


@pytest.mark.parametrize("frame", ['{"type":"new_in_v2"}', "[]", "rubbish", '{"type":"done"}'])
def test_a_message_that_this_version_does_not_know_is_skipped(frame: str) -> None:
    assert decode(frame) is None


# ── the law ──


@given(st.text(min_size=1, max_size=30), st.data())
def test_whatever_is_lost_repeated_or_resumed_the_printed_text_is_the_stored_one(
    reply: str, data: st.DataObject
) -> None:
    """A reader of one attempt who meets any mix of losses and repeats prints the reply, character for character."""
    turn, shown = play(ASKED, ACCEPTED)
    for _ in range(data.draw(st.integers(0, 12))):
        first = data.draw(st.integers(1, len(reply)))
        last = data.draw(st.integers(first, len(reply)))
        chunk: ServerMessage = delta(first, reply[first - 1 : last])
        if data.draw(st.booleans()):
            chunk = snapshot(reply[:last])
        turn, more = heard(turn, chunk)
        shown += more
        assert reply.startswith(printed(shown))
    _, more_shown = play(turn, snapshot(reply), done(len(reply)))
    assert printed(shown + more_shown) == reply
    assert more_shown[-1] == Over()
