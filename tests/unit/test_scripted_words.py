"""What the scripted model says, and how its directives are read."""

from hashlib import blake2s

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prosa.adapters.scripted_engine.words import (
    LEAST_PER_SECOND,
    LONGEST_WAIT_SECONDS,
    MOST_PER_SECOND,
    MOST_WORDS,
    Script,
    expected_reply,
    mark,
    reply_words,
    resume,
    script,
)

QUESTIONS = st.text(max_size=40).map(lambda text: f"{text} [[n=25]]")


def test_the_mark_is_the_first_8_digits_of_blake2s_of_the_stripped_message() -> None:
    assert mark("  olá, você\n") == blake2s("olá, você".encode()).hexdigest()[:8]


def test_the_reply_is_the_words_of_the_design() -> None:
    end = mark("hi [[n=3]]")
    assert expected_reply("hi [[n=3]]") == f"w0-{end} w1-{end} w2-{end}"


def test_each_word_but_the_first_begins_with_its_blank() -> None:
    assert [word[0] for word in reply_words("[[n=3]]")] == ["w", " ", " "]


def test_the_surrounding_white_space_does_not_change_the_reply() -> None:
    assert expected_reply(" hi ") == expected_reply("hi")


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        ("no directive", Script()),
        ("[[n=50 r=20 ttft=0.1]]", Script(words=50, per_second=20, first_seconds=0.1)),
        ("before [[n=5]] and [[r=7.5]] behind", Script(words=5, per_second=7.5)),
        ("[[n=5]] [[n=6]]", Script(words=6)),
        ("[[fail=20]]", Script(fail_after=20)),
        ("[[stall=20:3.5]]", Script(stall_before=20, stall_seconds=3.5)),
        ("[[n=9 fail=2 stall=1:0.5 r=3 ttft=2]]", Script(9, 3, 2, 2, 1, 0.5)),
        ("[[n=0]]", Script(words=0)),
    ],
)
def test_directives_are_read(question: str, expected: Script) -> None:
    assert script(question) == expected


@pytest.mark.parametrize(
    "text", ["[[]]", "[[n]]", "[[n=]]", "[[n=-5]]", "[[n=x]]", "[n=5]", "[[stall=3]]", "[[n=3:4]]", "[[nn=3]]", "[[n=5"]
)
def test_what_is_no_directive_is_text(text: str) -> None:
    assert script(text) == Script()


def test_what_is_out_of_bounds_is_brought_to_the_bound() -> None:
    plan = script("[[n=999999999 r=999999999 ttft=999999 stall=1:99999]]")
    assert (plan.words, plan.per_second) == (MOST_WORDS, MOST_PER_SECOND)
    assert (plan.first_seconds, plan.stall_seconds) == (LONGEST_WAIT_SECONDS, LONGEST_WAIT_SECONDS)
    assert script("[[r=0]]").per_second == LEAST_PER_SECOND


def test_the_schedule_is_absolute_and_shifts_behind_the_stall() -> None:
    plan = script("[[n=4 r=10 ttft=1 stall=2:5]]")
    assert [plan.due(word) for word in range(4)] == pytest.approx([1.0, 1.1, 6.2, 6.3])


@given(QUESTIONS, st.integers(min_value=0, max_value=300))
def test_a_reply_resumed_at_any_character_is_whole(question: str, at: int) -> None:
    whole = expected_reply(question)
    prefix = whole[:at]
    first, rest = resume(question, prefix)
    assert prefix + rest + "".join(list(reply_words(question))[first:]) == whole


def test_a_foreign_prefix_is_left_alone_and_the_reply_counted_from_its_first_word() -> None:
    assert resume("hi", "Another model said this.") == (0, "\n")


def test_more_than_the_whole_reply_is_a_foreign_prefix() -> None:
    assert resume("[[n=2]]", expected_reply("[[n=2]]") + "!") == (0, "\n")
