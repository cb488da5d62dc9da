"""The pure parts of the local engine: language, sentences, prompts, and where a cut reply goes on."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prosa.adapters.local_engine.language import is_portuguese, speaks_portuguese
from prosa.adapters.local_engine.prompt import Opening, Start, messages, newest, start, windows
from prosa.adapters.local_engine.sentences import Sentences, join, parts, split, whole_and_partial
from prosa.core.chat import Role, Turn

# ── language ──


@pytest.mark.parametrize(
    "text",
    [
        "Qual é a capital da França?",
        "Explique o que é um sistema distribuído.",
        "Escreva uma frase sobre o mar",
        "Olá, tudo bem?",
        "oi",
        "Obrigado!",
        "qual a diferenca entre tcp e udp",
        "voce sabe programar?",
        "Me conte uma piada",
        "Como faço um bolo de chocolate?",
        "Resuma isso",
        "Escreva um e-mail para John Smith about the meeting de amanhã",
    ],
)
def test_portuguese_is_told(text: str) -> None:
    assert is_portuguese(text) is True


@pytest.mark.parametrize(
    "text",
    [
        "What is the capital of France?",
        "Tell me about São Paulo, please",
        "hello",
        "How do I make a chocolate cake?",
        "Write a poem",
        "The café is in Paris and the naïve guest is late",
        "¿Cuál es la capital de España?",
    ],
)
def test_what_is_not_portuguese_is_told(text: str) -> None:
    assert is_portuguese(text) is False


@pytest.mark.parametrize("text", ["", "Python", "2 + 2", "Einstein?", "😀"])
def test_what_does_not_tell_is_not_guessed(text: str) -> None:
    assert is_portuguese(text) is None


def test_a_conversation_speaks_the_language_of_its_newest_text_that_tells() -> None:
    assert speaks_portuguese(["Einstein?", "Quem é você?", "What is this?"])
    assert not speaks_portuguese(["Einstein?", "What is this?", "Quem é você?"])
    assert not speaks_portuguese(["42"])


# ── sentences ──


@pytest.mark.parametrize(
    ("text", "segments"),
    [
        ("One. Two! Three? Four", ["One.", " Two!", " Three?", " Four"]),
        ("1. First\n2. Second", ["1. First", "\n2. Second"]),
        ("Dr. Smith said 3.5. Then he left.", ["Dr. Smith said 3.5.", " Then he left."]),
        ('He said "no." Then', ['He said "no."', " Then"]),
        ("Wait... what", ["Wait...", " what"]),
        ("A line\n\nAnother", ["A line", "\n\nAnother"]),
    ],
)
def test_text_is_cut_into_sentences_and_lines(text: str, segments: list[str]) -> None:
    assert [segment.text for segment in split(text)] == segments


def test_code_is_kept_as_it_is() -> None:
    text = "Use this:\n```python\nx = a.b. c\nprint(x)\n```\nDone."
    assert [segment.text.strip() for segment in split(text) if not segment.code] == ["Use this:", "Done."]


def test_code_without_a_fence_is_known_by_its_look() -> None:
    text = "def add(a, b):\n    return a + b\nThis adds."
    assert [segment.text.strip() for segment in split(text) if not segment.code] == ["This adds."]


def test_a_text_without_an_end_is_cut_all_the_same() -> None:
    assert max(len(segment.text) for segment in split("word " * 1000)) <= 500


@given(st.lists(st.text(alphabet="aB1. !?\n`\"'…*", max_size=12)))
def test_segments_put_together_are_the_text_however_it_came(chunks: list[str]) -> None:
    sentences = Sentences()
    segments = [segment for chunk in chunks for segment in sentences.feed(chunk)] + sentences.flush()
    assert "".join(segment.text for segment in segments) == "".join(chunks)


@given(st.text(alphabet="aB1. *`-#\n\t:/http", max_size=60))
def test_parts_put_together_are_the_segment(text: str) -> None:
    assert "".join(part for part, _ in parts(text)) == text


def test_marks_emphasis_code_and_links_are_not_translated() -> None:
    words = [part for part, translated in parts("  1. **Run** `make` at https://x.y now.") if translated]
    assert words == ["Run", "at", "now."]


@pytest.mark.parametrize(
    ("prefix", "whole", "partial"),
    [
        ("", "", ""),
        ("Um. Dois.", "Um. Dois.", ""),
        ("Um. Dois", "Um.", " Dois"),
        ("Dois", "", "Dois"),
        ("Um.\n\n", "Um.", "\n\n"),
        ("Lista:\n1. Um.\n2. Do", "Lista:\n1. Um.", "\n2. Do"),
    ],
)
def test_a_prefix_is_its_whole_sentences_and_the_one_under_way(prefix: str, whole: str, partial: str) -> None:
    assert whole_and_partial(prefix) == (whole, partial)


@pytest.mark.parametrize(
    ("partial", "whole", "rest"),
    [
        ("O mar é", "O mar é azul.", " azul."),
        ("O mar é az", "O mar é azul.", "ul."),
        ("O mar é ", "O mar é azul.", "azul."),
        ("Um mar tão azul e pro", "O mar azul e profundo.", "fundo."),
        ("O mar é azul.", "O mar é azul.", ""),
        ("Nada", "O mar é azul.", None),
    ],
)
def test_a_sentence_that_was_cut_is_joined_with_its_whole(partial: str, whole: str, rest: str | None) -> None:
    assert join(partial, whole) == rest


# ── prompts ──


@pytest.mark.parametrize(
    ("prefix", "expected"),
    [
        ("", Start()),
        ("The capital of Par", Start("The capital of", " Par")),
        ("The capital.", Start("The capital.")),
        ("The capital ", Start("The capital")),
        ("Word", Start("", "Word")),
        ("One\nTwo", Start("One\n", "Two")),
        ("x" * 60, Start("x" * 60)),
    ],
)
def test_a_reply_goes_on_with_the_word_it_was_cut_in(prefix: str, expected: Start) -> None:
    assert start(prefix) == expected


def test_the_grammar_holds_the_model_to_what_was_shown() -> None:
    assert Start("", ' sa"y').grammar == 'root ::= " sa\\"y" [^\\x00]*'
    assert Start("One.").grammar is None


@pytest.mark.parametrize(
    ("opening", "texts", "shown"),
    [
        (Opening(" Par", blank=False), [" Pa", "ris", " is"], "is is"),
        (Opening(" Par", blank=False), [" Paris"], "is"),
        (Opening("", blank=True), ["  ", "\n a", " b"], "a b"),
        (Opening("", blank=False), [" a"], " a"),
    ],
)
def test_what_the_reader_has_already_is_taken_off(opening: Opening, texts: list[str], shown: str) -> None:
    assert "".join(opening.cut(text) for text in texts) == shown


TURNS = [Turn(role, f"{number} {'word ' * 40}") for number in range(12) for role in (Role.USER, Role.ASSISTANT)]
QUESTION = Turn(Role.USER, "Why?")


def test_the_newest_exchanges_stay() -> None:
    kept = newest([*TURNS, QUESTION], 500)
    assert kept == (*TURNS, QUESTION)[-len(kept) :]
    assert 1 < len(kept) < 13
    assert kept[0].role is Role.USER


def test_exchanges_leave_in_steps_so_that_the_beginning_holds_for_several_questions() -> None:
    first = {newest([*TURNS[: 2 * count], QUESTION], 900)[0] for count in range(1, 13)}
    assert len(first) <= 4


def test_the_question_stays_even_where_it_does_not_fit() -> None:
    assert newest([*TURNS, QUESTION], 0) == (QUESTION,)


def test_each_window_is_shorter_and_keeps_what_is_told_first() -> None:
    told = Turn(Role.SYSTEM, "Be kind.")
    examples = (Turn(Role.USER, "Hi"), Turn(Role.ASSISTANT, "Hello"))
    tried = list(windows([told, *TURNS, QUESTION], examples, 1500))
    assert [len(turns) for turns in tried] == sorted({len(turns) for turns in tried}, reverse=True)
    assert {turns[0] for turns in tried} == {told}
    assert {turns[-1] for turns in tried} == {QUESTION}
    assert tried[-1] == (told, QUESTION)


def test_the_beginning_of_the_reply_is_a_trailing_message_of_the_assistant() -> None:
    assert messages([QUESTION], "Because")[-1] == {"role": "assistant", "content": "Because"}
    assert messages([QUESTION], "") == [{"role": "user", "content": "Why?"}]
