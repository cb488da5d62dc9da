"""Limits on what people type."""

import pytest

from prosa.core.chat import Exchange, Role, prompt
from prosa.core.errors import BadName, BadPassword, BadText, TextTooLong
from prosa.core.policy import Limits, checked_name, checked_password, checked_text
from prosa.core.run import RunState

LIMITS = Limits()


@pytest.mark.parametrize("text", ["", " \n\t", "a\x00b", "half \ud800"])
def test_text_that_cannot_be_kept_is_refused(text: str) -> None:
    with pytest.raises(BadText):
        checked_text(text, LIMITS)


def test_the_limit_counts_bytes_of_utf8() -> None:
    assert checked_text("é" * 16_384, LIMITS)
    with pytest.raises(TextTooLong):
        checked_text("é" * 16_384 + "x", LIMITS)


def test_nobody_trims_or_converts_what_was_typed() -> None:
    typed = "  línea\r\nfi\u0301n \u200b𝄞 "
    assert checked_text(typed, LIMITS) == typed


def test_the_largest_text_fits_a_frame_even_if_all_of_it_is_escaped() -> None:
    assert LIMITS.frame_bytes >= 6 * LIMITS.text_bytes + 1024


@pytest.mark.parametrize("name", ["", "a b", "x" * 65, "tab\t", "nul\x00", "<script>"])
def test_a_name_that_could_confuse_is_refused(name: str) -> None:
    with pytest.raises(BadName):
        checked_name(name)


def test_names_in_any_script_are_welcome() -> None:
    assert checked_name("joão.críticas@exemplo.pt")
    assert checked_name("李雷")


@pytest.mark.parametrize("password", ["short", "x" * 1025, "\ud800" * 8])
def test_a_password_out_of_bounds_is_refused(password: str) -> None:
    with pytest.raises(BadPassword):
        checked_password(password)


def test_a_prompt_leaves_out_exchanges_that_were_withdrawn_or_ended_empty() -> None:
    exchanges = [
        Exchange("first", "answer", RunState.DONE),
        Exchange("withdrawn", "", RunState.STOPPED),
        Exchange("partial", "half", RunState.STOPPED),
    ]
    turns = prompt("Be brief.", exchanges, "now")
    assert [(turn.role, turn.text) for turn in turns] == [
        (Role.SYSTEM, "Be brief."),
        (Role.USER, "first"),
        (Role.ASSISTANT, "answer"),
        (Role.USER, "partial"),
        (Role.ASSISTANT, "half"),
        (Role.USER, "now"),
    ]
