"""The local engine with its real model: what it answers in both languages, and how it behaves at its limits."""

import asyncio
import re
from pathlib import Path
from uuid import UUID

import pytest

from prosa.adapters.clock import SystemClock
from prosa.adapters.local_engine import LocalEngine, LocalOptions
from prosa.adapters.local_engine.language import is_portuguese
from prosa.adapters.local_engine.llama import packaged_model
from prosa.core.chat import Role, Turn
from prosa.core.errors import ModelFileMissing, PromptTooLong
from prosa.core.model import Piece, Prompt
from prosa.core.run import Finish
from tests.contract.engines import answer, asked, end_of, text_of

pytest_plugins = ["tests.contract.local_model"]

REPLY_TOKENS = 64


async def says(engine: LocalEngine, question: str, prefix: str = "") -> str:
    return text_of(await answer(engine, asked(question, prefix)))


@pytest.mark.parametrize(
    ("question", "word"),
    [
        ("What is the capital of France?", "Paris"),
        ("Qual é a capital da França?", "Paris"),
        ("Quem escreveu Hamlet?", "Shakespeare"),
        ("Quanto é 2 + 2?", "4"),
    ],
)
async def test_it_knows_simple_things(local_engine: LocalEngine, question: str, word: str) -> None:
    assert word in await says(local_engine, question)


@pytest.mark.parametrize("question", ["Explique o que é um sistema distribuído.", "Escreva uma frase sobre o mar"])
async def test_a_portuguese_question_gets_portuguese(local_engine: LocalEngine, question: str) -> None:
    assert is_portuguese(await says(local_engine, question))


async def test_an_english_question_gets_english(local_engine: LocalEngine) -> None:
    assert is_portuguese(await says(local_engine, "Explain what a database is.")) is False


async def test_an_english_question_after_portuguese_ones_gets_english(local_engine: LocalEngine) -> None:
    """The model knows no Portuguese: it must not be shown what came before as it was said."""
    turns = (
        Turn(Role.USER, "Me dê três dicas para estudar melhor."),
        Turn(Role.ASSISTANT, "1. Pratique regularmente. 2. Defina metas. 3. Mantenha-se motivado."),
        Turn(Role.USER, "Explique o que é fotossíntese."),
        Turn(Role.ASSISTANT, "A fotossíntese é o processo pelo qual as plantas usam a luz do sol."),
        Turn(Role.USER, "What can you do?"),
    )
    said = text_of(await answer(local_engine, Prompt(UUID(int=7), turns)))
    assert not is_portuguese(said)
    assert {"can", "help", "you", "I"} & set(said.split())


async def test_a_question_that_does_not_tell_keeps_the_language_of_the_conversation(local_engine: LocalEngine) -> None:
    turns = (
        Turn(Role.USER, "Qual é a capital da França?"),
        Turn(Role.ASSISTANT, "A capital da França é Paris."),
        Turn(Role.USER, "Einstein?"),
    )
    assert is_portuguese(text_of(await answer(local_engine, Prompt(asked("").run, turns))))


async def test_a_portuguese_answer_comes_sentence_by_sentence(local_engine: LocalEngine) -> None:
    chunks = await answer(local_engine, asked("Me dê três dicas para estudar melhor."))
    pieces = [chunk.text for chunk in chunks if isinstance(chunk, Piece)]
    assert len(pieces) >= 3
    assert all(re.match(r"\s+\S", piece) for piece in pieces[1:])


async def test_the_first_words_come_quickly_in_both_languages(local_engine: LocalEngine) -> None:
    clock = SystemClock()
    for question in ("Olá, tudo bem?", "Hello, how are you?"):
        await says(local_engine, question)  # the cache of a slot is warm from now on
        start = clock.monotonic()
        async with local_engine.stream(asked(question)) as chunks:
            await anext(chunks)
            assert clock.monotonic() - start < 2.0


async def test_a_portuguese_reply_goes_on_behind_its_last_whole_sentence(local_engine: LocalEngine) -> None:
    rest = await says(local_engine, "Conte uma história sobre um gato.", "Era uma vez um gato chamado Luna.")
    assert rest[0].isspace()
    assert "chamado Luna." not in rest
    assert is_portuguese(rest)


async def test_a_portuguese_reply_that_was_cut_in_a_sentence_reads_on(local_engine: LocalEngine) -> None:
    whole = await says(local_engine, "Qual é a capital da França?")
    rest = await says(local_engine, "Qual é a capital da França?", whole[: whole.index("Paris")])
    assert rest.startswith("Paris")


async def test_an_english_reply_that_was_cut_in_a_word_goes_on_in_the_word(local_engine: LocalEngine) -> None:
    rest = await says(local_engine, "What is the capital of France?", "The capital of France is Par")
    assert rest.startswith("is")


async def test_the_same_run_says_the_same_again(local_engine: LocalEngine) -> None:
    question = "Write a sentence about the sea."
    assert await says(local_engine, question) == await says(local_engine, question)


async def test_the_length_limit_is_told_as_such(local_engine: LocalEngine) -> None:
    end = end_of(await answer(local_engine, asked("Conte uma história sobre um gato.", "Era uma vez um gato.")))
    assert end.finish is Finish.LENGTH
    assert end.usage.completion_tokens == REPLY_TOKENS


async def test_of_too_long_a_conversation_the_oldest_goes(local_engine: LocalEngine) -> None:
    exchange = (Turn(Role.USER, "What is the number one? " * 4), Turn(Role.ASSISTANT, "It is a number. " * 4))
    turns = (*exchange * 40, Turn(Role.USER, "What is the capital of France?"))
    chunks = await answer(local_engine, Prompt(asked("").run, turns))
    assert text_of(chunks)
    assert end_of(chunks).usage.prompt_tokens < 768


@pytest.mark.parametrize("question", ["x y z " * 700, "pão e água " * 3000])
async def test_one_question_that_does_not_fit_is_refused(local_engine: LocalEngine, question: str) -> None:
    with pytest.raises(PromptTooLong):
        await answer(local_engine, asked(question))


async def test_more_streams_than_slots_all_get_their_answer(local_engine: LocalEngine) -> None:
    texts: list[str] = []

    async def one(run: int) -> None:
        texts.append(text_of(await answer(local_engine, asked("What is the capital of Italy?", run=run))))

    async with asyncio.TaskGroup() as group:
        for run in range(5):
            group.create_task(one(run))
    assert ["Rome" in text for text in texts] == [True] * 5


async def test_closing_the_engine_ends_its_streams_and_its_threads() -> None:
    engine = LocalEngine(LocalOptions(slots=1, warm=False))
    clock = SystemClock()
    async with engine:
        stream = engine.stream(asked("Tell me a long story."))
        chunks = await stream.__aenter__()
        await anext(chunks)
        start = clock.monotonic()
    assert clock.monotonic() - start < 1.0
    await stream.__aexit__(None, None, None)


def test_the_packaged_model_is_found_without_importing_its_package() -> None:
    assert packaged_model().suffix == ".gguf"


async def test_a_missing_model_file_says_which_and_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "no.gguf"
    with pytest.raises(ModelFileMissing, match=r"no\.gguf.*prosa\.toml"):
        await LocalEngine(LocalOptions(path=path)).__aenter__()


async def test_a_file_that_is_no_model_says_so(tmp_path: Path) -> None:
    path = tmp_path / "bad.gguf"
    path.write_bytes(b"not a model" * 100)
    with pytest.raises(ModelFileMissing, match="cannot be loaded"):
        await LocalEngine(LocalOptions(path=path)).__aenter__()


async def test_a_model_of_ones_own_is_asked_as_it_is(local_engine: LocalEngine) -> None:
    async with LocalEngine(LocalOptions(path=packaged_model(), slots=1, reply_tokens=16)) as engine:
        chunks = await answer(engine, asked("Olá"))
        assert end_of(chunks).usage.prompt_tokens < 60
