"""The engine of known answers, for tests, demos and load; ``words`` says what it says."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager

from prosa.adapters.scripted_engine.words import Script, reply_words, resume, script
from prosa.core.chat import Role, Turn
from prosa.core.errors import ModelBroke
from prosa.core.model import Chunk, Finished, Piece, Prompt
from prosa.core.run import Finish, Usage
from prosa.ports import Clock


class ScriptedEngine:
    """Says ``words.expected_reply`` of the last question, a word a piece, on an absolute schedule.

    Going on from a prefix it is as if the reply had been under way all along: the time to the first word is
    waited again, the words already said are not. The words of one wake-up stay pieces of their own.
    ``[[fail=N]]`` counts the words of the whole reply, so a continued one breaks at the same place again.
    """

    continues = True

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def stream(self, prompt: Prompt) -> AbstractAsyncContextManager[AsyncIterator[Chunk]]:
        return _closing(self._chunks(prompt))

    async def check(self) -> str:
        return "The scripted model is ready: it says words that are known beforehand."

    async def _chunks(self, prompt: Prompt) -> AsyncGenerator[Chunk]:
        question = _question(prompt.turns)
        plan = script(question)
        first, rest = resume(question, prompt.prefix)
        if rest:
            yield Piece(rest)
        async for text in self._paced(plan, question, first):
            yield Piece(text)
        yield Finished(Finish.STOP, Usage(_words(prompt.turns), plan.words))

    async def _paced(self, plan: Script, question: str, first: int) -> AsyncGenerator[str]:
        start = self._clock.monotonic() - first / plan.per_second - _stalled(plan, first)
        for word, text in enumerate(reply_words(question)):
            if word == plan.fail_after:
                raise ModelBroke(f"The scripted model broke after {word} words, as its message asks.")
            if word < first:
                continue
            wait = start + plan.due(word) - self._clock.monotonic()
            if wait > 0:
                await self._clock.sleep(wait)
            yield text
        if plan.fail_after is not None and plan.fail_after == plan.words:
            raise ModelBroke(f"The scripted model broke after {plan.words} words, as its message asks.")


def _stalled(plan: Script, first: int) -> float:
    """The pause that lies behind a reply which goes on at word ``first``."""
    return plan.stall_seconds if plan.stall_before is not None and first > plan.stall_before else 0.0


def _question(turns: tuple[Turn, ...]) -> str:
    return next((turn.text for turn in reversed(turns) if turn.role is Role.USER), "")


def _words(turns: tuple[Turn, ...]) -> int:
    return sum(len(turn.text.split()) for turn in turns)


@asynccontextmanager
async def _closing(chunks: AsyncGenerator[Chunk]) -> AsyncGenerator[AsyncIterator[Chunk]]:
    async with aclosing(chunks):
        yield chunks
