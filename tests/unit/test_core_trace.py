"""A run's trace: ids that every process finds by itself, and which span belongs to which."""

from itertools import product
from uuid import UUID, uuid4

from prosa.core.relay import Row
from prosa.core.run import End, Failure, Finish, RunState
from prosa.core.trace import Span, SpanName, described, outcome, span_id, trace_id

RUN = UUID("01890a5d-ac96-774b-bcce-b302099a8057")


def span(name: SpanName, attempt: int = 0, place: str = "") -> Span:
    return Span(run=RUN, name=name, attempt=attempt, place=place, begun=1.0, ended=2.0)


def test_a_trace_bears_the_id_of_its_run() -> None:
    assert trace_id(RUN) == "01890a5dac96774bbcceb302099a8057"
    assert span(SpanName.ACCEPT).trace == bytes.fromhex(trace_id(RUN))


def test_another_process_and_another_version_find_the_same_ids() -> None:
    """A gateway of the next version must still hit the spans of a worker of this one."""
    assert span_id(RUN, SpanName.ACCEPT).hex() == "79debe996462bf14"
    assert span_id(RUN, SpanName.ATTEMPT, 2).hex() == "3e5b0421e3bff496"


def test_no_two_spans_share_an_id() -> None:
    runs, places = (RUN, uuid4()), ("", "gw-1", "gw-2")
    ids = [span_id(*which) for which in product(runs, SpanName, range(12), places)]
    assert len(set(ids)) == len(ids)
    assert {len(found) for found in ids} == {8}


def test_accept_is_the_root_and_the_model_is_a_part_of_its_attempt() -> None:
    root = span(SpanName.ACCEPT)
    assert root.parent is None
    for name in (SpanName.QUEUE, SpanName.ATTEMPT, SpanName.DELIVER):
        assert span(name, 2).parent == root.id
    for name in (SpanName.MODEL, SpanName.COMMIT):
        assert span(name, 2, "gpt").parent == span(SpanName.ATTEMPT, 2).id


def test_an_attempt_behind_another_links_to_it() -> None:
    first, second = span(SpanName.ATTEMPT, 1), span(SpanName.ATTEMPT, 2)
    assert first.before is None
    assert second.before == first.id
    assert span(SpanName.COMMIT, 2).before is None


def test_a_span_says_whose_run_it_is_and_how_it_ended_and_not_what_was_written() -> None:
    row = Row(
        run=RUN,
        chat=uuid4(),
        user=uuid4(),
        reply=uuid4(),
        request=uuid4(),
        pool="main",
        model="gpt",
        ordinal=1,
        state=RunState.RUNNING,
        text="what was written",
    )
    said = described(row) | outcome(End(RunState.FAILED, failure=Failure("timeout", "what was said", True)))
    assert said == {
        "run": str(RUN),
        "chat": str(row.chat),
        "user": str(row.user),
        "model": "gpt",
        "pool": "main",
        "state": "failed",
        "code": "timeout",
    }
    assert outcome(End(RunState.DONE, Finish.LENGTH)) == {"state": "done", "finish": "length"}
