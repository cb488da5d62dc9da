"""The laws of the port Engine, for every engine. The local one runs its real model, loaded once."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from prosa.adapters.clock import SystemClock
from prosa.adapters.local_engine import LocalEngine
from prosa.core.model import Finished, Piece
from prosa.core.reply import clean
from prosa.core.run import Finish
from tests.contract.engines import Subject, answer, asked, end_of, local, openai, scripted, text_of

pytest_plugins = ["tests.contract.local_model"]

AT_ONCE = 1.0
"""Seconds: far less than the rest of a long answer takes, far more than a busy machine needs."""


@pytest.fixture(params=["scripted", "local", "openai"])
async def subject(request: pytest.FixtureRequest, local_engine: LocalEngine) -> AsyncIterator[Subject]:
    match request.param:
        case "scripted":
            yield scripted()
        case "local":
            yield local(local_engine)
        case _:
            async with openai() as it:
                yield it


async def test_pieces_come_first_and_one_finished_last(subject: Subject) -> None:
    chunks = await answer(subject.engine, asked(subject.question))
    assert len(chunks) > 2
    assert all(isinstance(chunk, Piece) for chunk in chunks[:-1])
    assert isinstance(chunks[-1], Finished)


async def test_pieces_are_never_empty_and_clean(subject: Subject) -> None:
    pieces = [chunk.text for chunk in await answer(subject.engine, asked(subject.question)) if isinstance(chunk, Piece)]
    assert all(pieces)
    assert [clean(piece) for piece in pieces] == pieces


async def test_the_end_says_why_and_what_was_counted(subject: Subject) -> None:
    end = end_of(await answer(subject.engine, asked(subject.question)))
    assert end.finish is Finish.STOP
    assert end.usage.prompt_tokens > 0
    assert end.usage.completion_tokens > 0


async def test_the_first_piece_comes_while_the_model_still_speaks(subject: Subject) -> None:
    clock = SystemClock()
    async with subject.engine.stream(asked(subject.long)) as chunks:
        await anext(chunks)
        first = clock.monotonic()
        for _ in range(5):
            await anext(chunks)
        assert clock.monotonic() - first > 0.02


@pytest.mark.parametrize("share", [0.4, 0.77, 1.0])
async def test_it_goes_on_from_a_prefix_without_repeating_it(subject: Subject, share: float) -> None:
    whole = text_of(await answer(subject.engine, asked(subject.question)))
    prefix = whole[: int(len(whole) * share)]
    rest = text_of(await answer(subject.engine, asked(subject.question, prefix)))
    assert subject.engine.continues
    assert not rest.startswith(prefix)
    assert rest or share == 1.0
    shown = prefix + rest
    assert shown.split()[: len(prefix.split()) - 1] == whole.split()[: len(prefix.split()) - 1]
    assert "  " not in shown.strip()


async def test_leaving_the_context_ends_the_model_at_once(subject: Subject) -> None:
    clock = SystemClock()
    async with subject.engine.stream(asked(subject.long)) as chunks:
        await anext(chunks)
        start = clock.monotonic()
    assert clock.monotonic() - start < AT_ONCE
    with pytest.raises(StopAsyncIteration):
        await anext(chunks)


async def test_cancelling_the_reader_ends_the_model_at_once(subject: Subject) -> None:
    clock = SystemClock()
    begun = asyncio.Event()

    async def read() -> None:
        async with subject.engine.stream(asked(subject.long)) as chunks:
            async for _ in chunks:
                begun.set()

    async with asyncio.TaskGroup() as group:
        task = group.create_task(read())
        await begun.wait()
        start = clock.monotonic()
        task.cancel()
    assert clock.monotonic() - start < AT_ONCE


async def test_a_stream_that_was_left_does_not_hold_up_the_next(subject: Subject) -> None:
    for run in range(3):
        async with subject.engine.stream(asked(subject.long, run=run)) as chunks:
            await anext(chunks)
    async with asyncio.timeout(5):
        assert text_of(await answer(subject.engine, asked(subject.question)))


async def test_streams_run_side_by_side_and_do_not_mix(subject: Subject) -> None:
    texts: list[str] = []

    async def one() -> None:
        texts.append(text_of(await answer(subject.engine, asked(subject.question))))

    async with asyncio.TaskGroup() as group:
        for _ in range(3):
            group.create_task(one())
    assert len(texts) == 3
    assert len({text.split()[0] for text in texts}) == 1


async def test_it_tells_the_doctor_what_it_is(subject: Subject) -> None:
    sentence = await subject.engine.check()
    assert sentence.endswith(".")
    assert "\n" not in sentence
