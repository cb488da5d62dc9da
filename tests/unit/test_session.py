"""A connection without its socket: what it is told, in which order, and its bounds (L4, L8, L11)."""

from datetime import UTC, datetime
from uuid import UUID, uuid4

import pytest

from prosa.core.account import SignIn, User
from prosa.core.errors import BadRequest
from prosa.core.protocol import Accepted, Delta, Done, Refusal, ServerMessage, Snapshot, Started, Watching
from prosa.core.relay import Relay, Row, read, settled
from prosa.core.run import End, Finish, RunState
from prosa.core.work import Receipt
from prosa.gateway.session import OUTBOX_MESSAGES, OVERLOADED, WATCHED_CHATS, Session

USER = uuid4()


class Desk:
    """What a hub would know, and the session under test."""

    def __init__(self) -> None:
        self.relays: dict[UUID, Relay] = {}
        self.woken = 0
        user = User(USER, "ana")
        self.session = Session(SignIn(uuid4(), user, datetime(2030, 1, 1, tzinfo=UTC)), self.wake)

    def wake(self) -> None:
        self.woken += 1

    def pull(self) -> list[ServerMessage]:
        return self.session.pull(self.relays.get)[0]

    def know(self, row: Row) -> None:
        self.relays[row.run] = settled(read(self.relays.get(row.run, Relay(row.run)), row)[0])
        self.session.touch(row.run)


def row(state: RunState = RunState.RUNNING, text: str = "", user: UUID = USER) -> Row:
    running = state is RunState.RUNNING
    return Row(
        run=uuid4(),
        chat=uuid4(),
        user=user,
        reply=uuid4(),
        request=uuid4(),
        pool="default",
        model="m",
        ordinal=1,
        state=state,
        attempt=1 if text or running else 0,
        claim=7 if running else None,
        worker="wk-1" if running else None,
        text=text,
        end=End(state, Finish.STOP) if state.ended else None,
    )


def kinds(messages: list[ServerMessage]) -> list[type]:
    return [type(message) for message in messages]


@pytest.fixture
def desk() -> Desk:
    return Desk()


def test_nothing_of_a_run_is_told_before_its_acknowledgement(desk: Desk) -> None:
    known = row(text="so fast")
    desk.know(known)
    assert desk.pull() == []
    desk.session.accepted(known.request, Receipt(known, uuid4(), 0))
    assert kinds(desk.pull()) == [Accepted, Started, Delta]


def test_a_repeated_request_gets_the_whole_text_and_the_end(desk: Desk) -> None:
    known = row(RunState.DONE, "whole")
    desk.know(known)
    desk.session.accepted(known.request, Receipt(known, uuid4(), 0, repeated=True))
    accepted, snapshot, done = desk.pull()
    assert isinstance(accepted, Accepted)
    assert isinstance(snapshot, Snapshot)
    assert (accepted.state, snapshot.text, type(done)) == (RunState.DONE, "whole", Done)


def test_what_grew_between_two_pulls_comes_as_one_delta(desk: Desk) -> None:
    known = row()
    desk.session.begin(known.run, whole=False)
    for length in range(1, 100):
        desk.know(Row(**{**{f: getattr(known, f) for f in Row.__struct_fields__}, "text": "x" * length}))
    started, delta = desk.pull()
    assert isinstance(started, Started)
    assert isinstance(delta, Delta)
    assert (delta.start, delta.seq) == (1, 99)
    assert desk.pull() == []
    # Nobody was slow: its writer had simply not come to it yet.
    assert desk.session.merges() == 0


def test_what_merges_while_a_frame_waits_for_its_reader_is_counted_once(desk: Desk) -> None:
    known = row()
    desk.session.begin(known.run, whole=False)
    desk.pull()
    desk.session.sending = True
    for length in range(1, 5):
        desk.know(Row(**{**{f: getattr(known, f) for f in Row.__struct_fields__}, "text": "x" * length}))
    assert (desk.session.merges(), desk.session.merges()) == (3, 0)


def test_watching_is_the_last_answer_and_waits_until_every_run_was_told(desk: Desk) -> None:
    ready, late, over = row(text="here"), row(text="there"), row(RunState.DONE, "done")
    desk.session.watching(ready.chat, [over.run, ready.run, late.run])
    for known in (over, ready):
        desk.know(known)
    first = desk.pull()
    assert kinds(first) == [Snapshot, Done, Started, Snapshot]
    desk.know(late)
    *_, last = desk.pull()
    assert isinstance(last, Watching)
    assert last.runs == (ready.run, late.run)


def test_a_run_of_somebody_else_is_never_told(desk: Desk) -> None:
    foreign = row(text="secret", user=uuid4())
    desk.session.watching(uuid4(), [foreign.run])
    desk.know(foreign)
    (only,) = desk.pull()
    assert isinstance(only, Watching)
    assert only.runs == ()


def test_a_line_of_answers_that_nobody_reads_ends_the_session_instead_of_growing(desk: Desk) -> None:
    for _ in range(OUTBOX_MESSAGES):
        desk.session.push(Refusal("bad_text", "Empty."))
    assert desk.session.closing is None
    desk.session.push(Refusal("bad_text", "Empty."))
    assert desk.session.closing == OVERLOADED
    assert len(desk.pull()) == OUTBOX_MESSAGES


def test_a_session_watches_a_bounded_number_of_chats(desk: Desk) -> None:
    chats = [uuid4() for _ in range(WATCHED_CHATS)]
    for chat in chats:
        desk.session.watch(chat)
    desk.session.watch(chats[0])
    with pytest.raises(BadRequest):
        desk.session.watch(uuid4())
    desk.session.unwatch(chats[0], ())
    desk.session.watch(uuid4())


def test_an_end_lets_go_of_the_run(desk: Desk) -> None:
    known = row(RunState.DONE, "x")
    desk.session.begin(known.run, whole=False)
    desk.know(known)
    _, over = desk.session.pull(desk.relays.get)
    assert over == [known.run]
    assert desk.session.runs == ()


def test_only_the_newest_of_ones_own_runs_are_remembered(desk: Desk) -> None:
    runs = [uuid4() for _ in range(200)]
    for run in runs:
        desk.session.asked(run)
    assert desk.session.sent(runs[-1])
    assert not desk.session.sent(runs[0])


def test_the_first_close_code_stays(desk: Desk) -> None:
    desk.session.sign_out()
    desk.session.close(OVERLOADED)
    assert desk.session.closing == 4401
    assert desk.woken == 2


def test_a_snapshot_waits_for_the_worker_so_that_it_shows_no_less_than_was_seen(desk: Desk) -> None:
    known = row(text="only what was saved")
    desk.session.watching(known.chat, [known.run])
    desk.relays[known.run] = read(Relay(known.run), known)[0]
    desk.session.touch(known.run)
    assert desk.pull() == []
    desk.know(known)
    assert kinds(desk.pull()) == [Started, Snapshot, Watching]


def test_asking_to_watch_again_and_again_costs_one_answer(desk: Desk) -> None:
    known = row(text="here")
    for _ in range(1000):
        desk.session.watching(known.chat, [known.run])
    desk.know(known)
    assert kinds(desk.pull()) == [Started, Snapshot, Watching]


def test_a_run_that_ended_a_moment_ago_is_not_begun_again_by_a_late_notice(desk: Desk) -> None:
    known = row(RunState.DONE, "x")
    desk.session.begin(known.run, whole=False)
    desk.know(known)
    desk.pull()
    assert desk.session.follows(known.run)
