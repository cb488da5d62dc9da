"""The last word of a bench: what is stored against what was streamed."""

from collections.abc import Sequence
from datetime import UTC, datetime
from uuid import UUID

import msgspec
import pytest

from prosa.core.protocol import Accepted, Delta, Done, MessageView
from prosa.core.run import Finish, RunState, Usage
from prosa.load.answer import Asked
from prosa.load.history import compare
from prosa.load.reading import Flaw, Reading

REQUEST, CHAT, RUN, REPLY = (UUID(int=number) for number in range(1, 5))
WHEN = datetime(2026, 1, 1, tzinfo=UTC)
TEXT = "It is so."

QUESTION = MessageView(REQUEST, CHAT, None, "user", "Is it?", RunState.DONE, 1, WHEN)
ANSWER = MessageView(REPLY, CHAT, REQUEST, "assistant", TEXT, RunState.DONE, 1, WHEN, run=RUN, attempt=1)

change = msgspec.structs.replace


def asked() -> Asked:
    """A message with its answer, as it was streamed."""
    one = Asked(0, REQUEST, CHAT, "Is it?", 0.0, Reading(None))
    one.accepted(Accepted(REQUEST, CHAT, RUN, REPLY, RunState.QUEUED, 1, 1), 0.1)
    end = Done(RUN, CHAT, REPLY, 1, len(TEXT), Finish.STOP, Usage())
    one.reading.delta(Delta(RUN, 1, 1, len(TEXT), TEXT), 0.2)
    one.reading.over(end, 0.3)
    one.ended(end)
    return one


def flaws(messages: Sequence[MessageView]) -> set[Flaw]:
    one = asked()
    compare([one], messages)
    return {finding.flaw for finding in one.reading.findings}


def test_what_was_streamed_is_stored() -> None:
    assert flaws([QUESTION, ANSWER]) == set()


@pytest.mark.parametrize(
    ("messages", "flaw"),
    [
        ([], Flaw.LOST),
        ([QUESTION], Flaw.LOST),
        ([QUESTION, ANSWER, change(ANSWER, id=UUID(int=9))], Flaw.DUPLICATED),
        ([QUESTION, QUESTION, ANSWER], Flaw.DUPLICATED),
        ([QUESTION, change(ANSWER, text="It is so!")], Flaw.CORRUPTED),
        ([QUESTION, change(ANSWER, text="It is")], Flaw.CORRUPTED),
        ([QUESTION, change(ANSWER, state=RunState.RUNNING)], Flaw.CORRUPTED),
        ([change(QUESTION, text="Is it not?"), ANSWER], Flaw.CORRUPTED),
        ([change(QUESTION, ordinal=2), ANSWER], Flaw.REORDERED),
    ],
    ids=["nothing", "no reply", "two replies", "a message twice", "a character", "less", "no end", "question", "place"],
)
def test_what_is_stored_otherwise_is_told(messages: Sequence[MessageView], flaw: Flaw) -> None:
    assert flaws(messages) == {flaw}


def test_a_message_that_was_not_accepted_need_not_be_stored() -> None:
    one = Asked(0, REQUEST, CHAT, "Is it?", 0.0, Reading(None))
    compare([one], [])
    assert one.reading.findings == []


def test_the_place_of_the_first_difference_is_told() -> None:
    one = asked()
    compare([one], [QUESTION, change(ANSWER, text="It was so.")])
    assert "from character 4 on" in one.reading.findings[0].what
