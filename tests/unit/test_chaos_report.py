"""What a siege is found to have done: takeovers and outages measured, every flaw noticed, all of it told."""

import xml.etree.ElementTree as ElementTree
from datetime import UTC, datetime, timedelta
from uuid import UUID

import msgspec
import pytest

from prosa.chaos.ledger import Blow, Held
from prosa.chaos.plots import plots
from prosa.chaos.report import Machine, Report, Siege, report, stored
from prosa.chaos.rows import Row
from prosa.chaos.schedule import Deed, Fault, Manner, Wish
from prosa.chaos.table import table
from prosa.chaos.takeovers import AWAY, Apart, kinds, longest_silence, outages, takeovers
from prosa.chaos.workload import Workload
from prosa.cluster.supervise import Role
from prosa.core.protocol import Accepted, Delta, Done
from prosa.core.run import Finish, RunState, Usage
from prosa.load.answer import Answer, Fate
from prosa.load.crowd import Harvest
from prosa.load.dialogue import Dialogue
from prosa.load.histogram import Histogram
from prosa.load.reading import Finding, Flaw, Takeover
from prosa.load.tally import Tally

PLAN = Workload(users=2, words=200, fewest=20, rate=20.0, seconds=60.0, chats=2, ahead=2, model="scripted")
WISH = Wish(seconds=60)
BEGAN = 1000.0
NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)


def kill(at: float, *held: Held, name: str = "worker-1", room: bool = True, over_at: float | None = None) -> Blow:
    fault = Fault(at=at - BEGAN, deed=Deed.KILL, role=Role.WORKER, name=name)
    return Blow(fault=fault, at=at, pid=4711, worker="wk-1", held=held, room=room, over_at=over_at)


def away(role: Role, at: float, over_at: float) -> Blow:
    fault = Fault(at=at - BEGAN, deed=Deed.RESTART, role=role, name=role.value, manner=Manner.WIPED)
    return Blow(fault=fault, at=at, over_at=over_at)


def held(number: int, attempt: int = 1) -> Held:
    return Held(run(number), attempt)


def run(number: int) -> UUID:
    return UUID(int=200 + number)


def answer(number: int, *later: tuple[int, float], asked_at: float = BEGAN, **others: object) -> Answer:
    """Of ``run(number)``; ``later``: attempts with the time of their first frame."""
    usual = Answer(
        person=0,
        id=UUID(int=number),
        chat=UUID(int=100),
        fate=Fate.ANSWERED,
        asked_at=asked_at,
        accepted_at=asked_at + 0.1,
        first_at=asked_at + 0.2,
        ended_at=asked_at + 9.0,
        run=run(number),
        ordinal=number,
        attempts=max((attempt for attempt, _ in later), default=1),
        sends=1,
        characters=5,
        deltas=3,
        takeovers=tuple(Takeover(attempt, at, 7) for attempt, at in later),
    )
    return msgspec.structs.replace(usual, **others)


def row(number: int, **others: object) -> Row:
    """The only one of its chat, unless ``others`` say otherwise; done within nine seconds."""
    chat, began = UUID(int=300 + number), NOON + timedelta(seconds=number)
    usual = Row(run(number), UUID(int=number), chat, 1, "done", 1, 0, "whole", began, began + timedelta(seconds=9))
    return msgspec.structs.replace(usual, **others)


# ── takeovers ──


def test_a_takeover_is_measured_from_the_kill_to_the_first_frame_of_the_next_attempt() -> None:
    found = takeovers([kill(1010.0, held(1))], [answer(1, (2, 1011.5))])
    assert [(one.run, one.attempt, one.deed, one.seconds, one.apart) for one in found] == [
        (run(1), 1, Deed.KILL, 1.5, None)
    ]


def test_a_run_that_ended_or_went_on_by_itself_was_not_taken_over() -> None:
    assert takeovers([kill(1010.0, held(1), held(2))], [answer(1), answer(2, (2, 1009.0))]) == ()


def test_two_kills_of_one_run_are_two_takeovers() -> None:
    blows = [kill(1010.0, held(1)), kill(1020.0, held(1, 2), name="worker-2")]
    found = takeovers(blows, [answer(1, (2, 1011.0), (3, 1022.0))])
    assert [(one.attempt, one.seconds) for one in found] == [(1, 1.0), (2, 2.0)]


def test_who_outlives_a_short_freeze_and_is_killed_later_is_taken_over_from_the_kill() -> None:
    fault = Fault(at=5.0, deed=Deed.FREEZE, role=Role.WORKER, name="worker-1", seconds=1.5)
    frozen = Blow(fault=fault, at=1005.0, over_at=1006.5, held=(held(1),))
    found = takeovers([frozen, kill(1012.0, held(1))], [answer(1, (2, 1013.0))])
    assert [(one.deed, one.seconds) for one in found] == [(Deed.KILL, 1.0)]


def test_where_the_next_attempt_was_never_seen_the_one_behind_it_counts() -> None:
    blows = [kill(1010.0, held(1)), kill(1011.0, held(1, 2), name="worker-2")]
    found = takeovers(blows, [answer(1, (3, 1013.0))])
    assert [one.seconds for one in found] == [3.0, 2.0]


@pytest.mark.parametrize(("role", "why"), AWAY.items())
@pytest.mark.parametrize(("at", "over_at"), [(1005.0, 1015.0), (1009.0, 1009.5), (1010.5, 1012.0)])
def test_with_a_service_or_a_gateway_away_or_just_back_a_takeover_is_counted_apart(
    role: Role, why: Apart, at: float, over_at: float
) -> None:
    blows = [away(role, at, over_at), kill(1010.0, held(1))]
    assert [one.apart for one in takeovers(blows, [answer(1, (2, 1011.0))])] == [why]


@pytest.mark.parametrize(("at", "over_at"), [(1000.0, 1006.0), (1011.5, 1012.0)])
def test_a_service_that_was_long_back_or_left_later_is_no_excuse(at: float, over_at: float) -> None:
    blows = [away(Role.DATABASE, at, over_at), kill(1010.0, held(1))]
    assert [one.apart for one in takeovers(blows, [answer(1, (2, 1011.0))])] == [None]


def test_without_free_slots_it_is_counted_apart() -> None:
    found = takeovers(
        [kill(1010.0, held(1), room=False), kill(1030.0, held(2))], [answer(1, (2, 1019.0)), answer(2, (2, 1031.0))]
    )
    group = kinds(found)["kill"]
    assert (group.count, group.times.p95, group.apart) == (1, 1000.0, {"no slots were free": 1})
    assert group.slowest_apart == 9000.0


def test_a_drain_is_no_takeover() -> None:
    fault = Fault(at=10.0, deed=Deed.RESTART, role=Role.WORKER, name="worker-1", manner=Manner.DRAINED)
    assert takeovers([Blow(fault=fault, at=1010.0, held=(held(1),))], [answer(1, (2, 1011.0))]) == ()


# ── outages ──


def test_of_an_outage_is_told_what_waited_for_the_return_and_how_long() -> None:
    answers = [
        answer(1, asked_at=1001.0),
        answer(2, asked_at=1012.0, first_at=1021.5, ended_at=1023.0),
        answer(3, asked_at=1020.9),
    ]
    (outage,) = outages([away(Role.BROKER, 1010.0, 1020.0)], answers, BEGAN)
    assert (outage.what, outage.at, outage.seconds, outage.meanwhile) == ("broker wiped", 10.0, 10.0, 1)
    assert (outage.first_accepted, outage.first_end, outage.last_first_text) == (1.0, 3.0, 1.5)


def test_the_longest_silence_is_that_between_two_ends() -> None:
    answers = [answer(1, ended_at=1002.0), answer(2, ended_at=1009.5), answer(3, ended_at=1010.0)]
    assert longest_silence(answers, BEGAN) == 7.5
    assert longest_silence([], BEGAN) == 0.0


# ── the verdict ──


def siege(*answers: Answer, rows: tuple[Row, ...] | None = None, blows: tuple[Blow, ...] = ()) -> Siege:
    return Siege(
        command="prosa chaos",
        seed=7,
        wish=WISH,
        plan=PLAN,
        slots=100,
        harvest=Harvest(answers, Tally(), Histogram(), 0.2, BEGAN, BEGAN + 60),
        blows=blows,
        rows=[row(one.id.int) for one in answers] if rows is None else rows,
        processes=(),
        machine=Machine(2, 1.0, 2.0),
    )


def test_whole_and_answered_is_flawless() -> None:
    assert report(siege(answer(1), answer(2))).flawless


@pytest.mark.parametrize("flaw", list(Flaw))
def test_each_flaw_breaks_the_promise_and_is_shown_with_what_was_done_meanwhile(flaw: Flaw) -> None:
    wrong = answer(1, findings=(Finding(flaw, "seen"),))
    told = report(siege(wrong, answer(2), blows=(kill(1005.0), kill(1030.0))))
    assert not told.flawless
    (shown,) = told.evidence
    assert (shown.run, shown.findings, shown.asked) == (str(run(1)), (f"{flaw}: seen",), 0.0)
    assert shown.blows == ("5.0 s kill worker-1",)
    assert str(run(1)) in table(told)
    assert "seed 7" in table(told)


def test_a_reply_with_one_wrong_character_is_noticed() -> None:
    """From the frames on: what a person of the siege asks, and a reply of which one letter differs."""
    ids = iter(UUID(int=number) for number in range(1, 100))
    person = Dialogue(PLAN, 0, lambda: next(ids), Tally())
    person.connected(BEGAN)
    person.begin(BEGAN, BEGAN)
    asked = person.asked[0]
    whole = PLAN.expected(asked.text)
    assert whole is not None
    text = whole.replace("w3-", "w4-", 1)
    reply = UUID(int=500)
    person.hear(Accepted(asked.id, asked.chat, run(1), reply, RunState.QUEUED, 1, 0), BEGAN)
    person.hear(Delta(run(1), 1, 1, len(text), text), BEGAN + 1)
    person.hear(Done(run(1), asked.chat, reply, 1, len(text), Finish.STOP, Usage()), BEGAN + 2)
    told = report(siege(Answer.of(asked), rows=(row(1, request_id=asked.id, text=text),)))
    assert told.verdict.corrupted == 1
    assert not told.flawless


def test_questions_ask_for_replies_of_every_length_that_was_named() -> None:
    lengths = {len((PLAN.expected(PLAN.question(str(UUID(int=number)))) or "").split()) for number in range(2000)}
    assert (min(lengths), max(lengths)) == (20, 200)


@pytest.mark.parametrize(
    ("differs", "field"),
    [
        ({"ended_at": None, "state": "running"}, "unfinished"),
        ({"state": "failed"}, "differing"),
        ({"attempt": 3}, "differing"),
        ({"text": "whole and more"}, "differing"),
        ({"request_id": UUID(int=99)}, "strange"),
    ],
)
def test_a_row_that_says_something_else_than_was_told_breaks_the_promise(
    differs: dict[str, object], field: str
) -> None:
    found = stored([row(1, **differs)], [answer(1)])
    assert getattr(found, field) == 1
    assert not report(siege(answer(1), rows=(row(1, **differs),))).flawless


@pytest.mark.parametrize(("second", "overlapping"), [(10.0, 0), (9.9, 1)])
def test_two_answers_of_one_chat_at_once_break_the_promise(second: float, overlapping: int) -> None:
    chat = UUID(int=400)
    rows = (
        row(1, chat_id=chat),
        row(2, chat_id=chat, ordinal=2, started_at=NOON + timedelta(seconds=second)),
        row(3),
    )
    told = report(siege(answer(1), answer(2), answer(3), rows=rows))
    assert (told.stored.overlapping, told.flawless) == (overlapping, not overlapping)


def test_what_was_abandoned_by_ctrl_c_needs_no_end() -> None:
    given_up = answer(1, fate=Fate.ABANDONED, ended_at=None)
    assert stored([row(1, ended_at=None, state="running")], [given_up]).flawless


# ── telling ──


def full() -> Report:
    blows = (kill(1005.0, held(1), over_at=1007.0), away(Role.BROKER, 1020.0, 1025.0))
    return report(siege(answer(1, (2, 1006.2)), answer(2, asked_at=1021.0), blows=blows))


def test_the_report_is_json_and_comes_back_the_same() -> None:
    told = full()
    assert msgspec.json.decode(msgspec.json.encode(told), type=Report) == told


def test_the_table_tells_the_takeovers_and_the_outages() -> None:
    text = table(full())
    assert "kill" in text
    assert "1200" in text
    assert "broker wiped" in text


def test_the_plots_are_documents_with_a_mark_for_each_kind_of_fault() -> None:
    given = siege(answer(1, (2, 1006.2)), blows=(kill(1005.0, held(1)), away(Role.BROKER, 1020.0, 1025.0)))
    drawn = plots(given.harvest, given.blows, takeovers(given.blows, given.harvest.answers))
    assert set(drawn) == {"over-time.svg", "takeovers.svg"}
    for text in drawn.values():
        ElementTree.fromstring(text)  # noqa: S314 — our own
    assert ">kill<" in drawn["over-time.svg"]
    assert ">broker<" in drawn["over-time.svg"]
