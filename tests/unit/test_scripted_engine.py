"""The scripted engine's pace, measured by a manual clock."""

import asyncio
from uuid import UUID

import pytest

from prosa.adapters.scripted_engine import ScriptedEngine, expected_reply
from prosa.core.chat import Role, Turn
from prosa.core.errors import ModelBroke
from prosa.core.model import Finished, Piece, Prompt
from prosa.testing import ManualClock, settle


def prompt(text: str, prefix: str = "") -> Prompt:
    return Prompt(UUID(int=1), (Turn(Role.SYSTEM, "Be short."), Turn(Role.USER, text)), prefix)


class Listener:
    """Reads a stream in a task of its own and keeps when each chunk came."""

    def __init__(self, clock: ManualClock, asked: Prompt) -> None:
        self._clock = clock
        self._asked = asked
        self.times: list[float] = []
        self.text = ""
        self.finished: Finished | None = None

    async def listen(self) -> None:
        async with ScriptedEngine(self._clock).stream(self._asked) as chunks:
            async for chunk in chunks:
                if isinstance(chunk, Piece):
                    self.text += chunk.text
                    self.times.append(round(self._clock.monotonic(), 6))
                else:
                    self.finished = chunk


async def heard(text: str, seconds: float, prefix: str = "") -> Listener:
    clock = ManualClock()
    listener = Listener(clock, prompt(text, prefix))
    async with asyncio.TaskGroup() as group:
        task = group.create_task(listener.listen())
        await settle()
        await clock.advance(seconds)
        if not task.done():
            task.cancel()
    return listener


async def test_words_come_at_their_rate_after_the_time_to_the_first() -> None:
    listener = await heard("[[n=4 r=10 ttft=0.5]]", 5)
    assert listener.times == pytest.approx([0.5, 0.6, 0.7, 0.8])
    assert listener.text == expected_reply("[[n=4 r=10 ttft=0.5]]")


async def test_a_stall_pauses_before_its_word() -> None:
    assert (await heard("[[n=4 r=10 stall=2:3]]", 9)).times == pytest.approx([0.0, 0.1, 3.2, 3.3])


async def test_the_usage_counts_the_words_of_the_prompt_and_of_the_whole_reply() -> None:
    question = "two words [[n=5 r=10]]"
    listener = await heard(question, 9, expected_reply(question)[:14])
    assert listener.finished is not None
    assert (listener.finished.usage.prompt_tokens, listener.finished.usage.completion_tokens) == (6, 5)


async def test_a_late_wake_up_gives_all_words_that_are_due_each_as_a_piece_of_its_own() -> None:
    class Oversleeper(ManualClock):
        async def sleep(self, seconds: float) -> None:
            await super().sleep(seconds + 0.35)

    clock = Oversleeper()
    listener = Listener(clock, prompt("[[n=8 r=10]]"))
    async with asyncio.TaskGroup() as group:
        group.create_task(listener.listen())
        await settle()
        await clock.advance(5)
    assert len(listener.times) == 8
    assert max(listener.times) <= 0.7 + 0.45


async def test_a_continued_reply_waits_only_for_the_words_that_are_left() -> None:
    question = "[[n=10 r=10 ttft=0.2 stall=3:9]]"
    held = " ".join(expected_reply(question).split(" ")[:6])
    listener = await heard(question, 2, held)
    assert held + listener.text == expected_reply(question)
    assert listener.times == pytest.approx([0.2, 0.3, 0.4, 0.5])


@pytest.mark.parametrize(
    ("question", "words"), [("[[fail=3 r=1000]]", 3), ("[[n=3 fail=3 r=1000]]", 3), ("[[fail=0]]", 0)]
)
async def test_it_breaks_after_as_many_words_as_asked(question: str, words: int) -> None:
    listener = await heard_until_it_breaks(question)
    assert (len(listener.times), listener.finished) == (words, None)


async def heard_until_it_breaks(question: str) -> Listener:
    clock = ManualClock()
    listener = Listener(clock, prompt(question))

    async def listen() -> None:
        with pytest.raises(ModelBroke):
            await listener.listen()

    async with asyncio.TaskGroup() as group:
        group.create_task(listen())
        await settle()
        await clock.advance(1)
    return listener
