"""Any OpenAI-compatible server: OpenAI, Gemini, Groq, DeepSeek, Ollama, vLLM, llama.cpp …"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager
from typing import Final
from uuid import UUID

import aiohttp
import msgspec

from prosa.adapters.openai_engine.answer import Watch, drain, unread, watching
from prosa.adapters.openai_engine.beat import LONGEST_SECONDS, Beat
from prosa.adapters.openai_engine.wire import (
    DONE,
    BadStreamError,
    Event,
    Lines,
    Models,
    Words,
    event,
    failure,
    finish,
    refusal,
    request,
)
from prosa.core.errors import EngineFailed, ModelBroke, ModelOverloaded, ModelTimeout, ModelUnreachable
from prosa.core.model import Chunk, Finished, Piece, Prompt
from prosa.core.run import Usage
from prosa.ports import Clock

MOST_CONNECTIONS: Final = 1000
NAMED: Final = 5
"""Of the models that a provider lists, those that a check names."""
CHECK_SECONDS: Final = 3.0
LINGER_SECONDS: Final = 2.0
"""How long the usage may come behind the finish reason."""

DRAIN_SECONDS: Final = 0.2
ERROR_BYTES: Final = 64 * 1024
FIRST_BACKOFF_SECONDS: Final = 0.5
MOST_BACKOFF_SECONDS: Final = 8.0
MOST_RETRY_AFTER_SECONDS: Final = 20.0


class OpenAIOptions(msgspec.Struct, frozen=True):
    """``base_url`` with its ``/v1``; ``retries`` before the first piece. None: the provider's own default."""

    base_url: str
    model: str
    api_key: str | None = None
    continues: bool = False
    connect_seconds: float = 5.0
    first_token_seconds: float = 60.0
    between_tokens_seconds: float = 30.0
    retries: int = 2
    reply_tokens: int | None = None
    temperature: float | None = None


@asynccontextmanager
async def model_session() -> AsyncGenerator[aiohttp.ClientSession]:
    """The connections that all engines of a process share."""
    connector = aiohttp.TCPConnector(limit=MOST_CONNECTIONS, ttl_dns_cache=60)
    timeout = aiohttp.ClientTimeout(total=None)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout, cookie_jar=aiohttp.DummyCookieJar()) as it:
        yield it


class OpenAIEngine:
    """One model of one provider. Leaving a stream closes its connection, by which servers know to stop.

    Where a provider does not count, each piece counts as a token.
    """

    def __init__(
        self, options: OpenAIOptions, session: aiohttp.ClientSession, clock: Clock, beat: Beat | None = None
    ) -> None:
        self._options = options
        self._session = session
        self._clock = clock
        self._beat = beat or Beat()
        self._url = options.base_url.rstrip("/")
        self._headers = {"Accept": "text/event-stream", "Content-Type": "application/json"}
        if options.api_key:
            self._headers["Authorization"] = f"Bearer {options.api_key}"

    @property
    def continues(self) -> bool:
        return self._options.continues

    def stream(self, prompt: Prompt) -> AbstractAsyncContextManager[AsyncIterator[Chunk]]:
        return _closing(self._chunks(prompt))

    async def check(self) -> str:
        """Asks for the list of models, with a deadline of 3 s."""
        model = self._options.model
        try:
            async with asyncio.timeout(CHECK_SECONDS):
                async with self._session.get(
                    f"{self._url}/models", headers=self._headers, allow_redirects=False
                ) as answer:
                    body = await answer.content.read(ERROR_BYTES * 16)
        except TimeoutError:
            raise ModelTimeout(f"The address of the model {model} did not answer within 3 seconds.") from None
        except (aiohttp.ClientError, OSError) as error:
            raise self._unreachable() from error
        if answer.status == 404:
            return f"The address of the model {model} answers; it has no list of models, so its name was not checked."
        if answer.status != 200:
            raise refusal(answer.status, body.decode("utf-8", "replace"), model)
        return self._found(body)

    def _found(self, body: bytes) -> str:
        model = self._options.model
        try:
            names = [entry.id.removeprefix("models/") for entry in msgspec.json.decode(body, type=Models).data]
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise ModelBroke(f"The address of the model {model} answers, but not as a model server.") from error
        bare = model.removeprefix("models/")
        # Ollama lists ``llama3.2:latest`` and takes ``llama3.2`` for it.
        if bare in names or f"{bare}:latest" in names:
            return f"The model {model} is ready at its provider, among {len(names)}."
        few = ", ".join(names[:NAMED]) + (", …" if len(names) > NAMED else "")
        there = f": {few}" if names else ""
        return f"The provider answers, but the model {model} is not among the {len(names)} that it lists{there}."

    async def _chunks(self, prompt: Prompt) -> AsyncGenerator[Chunk]:
        """Tries again while no piece was given; the first token's time limit covers all tries."""
        deadline = self._now() + self._options.first_token_seconds
        for attempt in range(self._options.retries + 1):
            stream = self._attempt(prompt, deadline)
            try:
                first = await anext(stream)
            except (ModelUnreachable, ModelOverloaded) as error:
                wait = _backoff(prompt.run, attempt, error)
                if attempt == self._options.retries or wait is None or self._now() + wait > deadline:
                    raise
                await self._clock.sleep(wait)
                continue
            async with aclosing(stream):
                yield first
                async for chunk in stream:
                    yield chunk
            return

    async def _attempt(self, prompt: Prompt, deadline: float) -> AsyncGenerator[Chunk]:
        reading = _Reading(self._options.model)
        async with self._answer(prompt, deadline) as answer, watching(answer.content, deadline) as watch:
            async with aclosing(self._texts(answer, reading, watch)) as texts:
                async for text in texts:
                    yield Piece(text)
            yield reading.end()
            watch.allow(DRAIN_SECONDS)
            await drain(answer.content)

    async def _texts(self, answer: aiohttp.ClientResponse, reading: "_Reading", watch: Watch) -> AsyncGenerator[str]:
        with self._beat.joined():
            while not reading.over:
                for text in reading.feed(await self._read(answer.content, reading)):
                    yield text
                await self._rest(answer, reading, watch)

    async def _rest(self, answer: aiohttp.ClientResponse, reading: "_Reading", watch: Watch) -> None:
        """Between two reads, where more is to come."""
        between = self._options.between_tokens_seconds
        if reading.finished:
            watch.allow(min(LINGER_SECONDS, between))
        elif reading.pieces and not reading.over:
            # Nobody reads meanwhile: the silence that counts begins behind the rest.
            watch.allow(between + LONGEST_SECONDS)
            if self._beat.in_step:
                with unread(answer):
                    await self._beat.rest()
            watch.allow(between)

    async def _read(self, content: aiohttp.StreamReader, reading: "_Reading") -> bytes:
        """Some bytes; none at the end of the answer."""
        try:
            return await content.readany()
        except TimeoutError:
            if reading.finished:
                return b""
            raise self._silent(begun=reading.pieces > 0) from None
        except (aiohttp.ClientError, OSError) as error:
            if reading.finished:
                return b""
            raise ModelBroke(
                f"The model {self._options.model} stopped in the middle of its answer. Try again."
            ) from error

    @asynccontextmanager
    async def _answer(self, prompt: Prompt, deadline: float) -> AsyncGenerator[aiohttp.ClientResponse]:
        """The answer to a request, once it is known to be a stream of events."""
        answer = await self._post(prompt, deadline)
        try:
            if answer.status != 200 or answer.content_type in ("application/json", "text/html"):
                raise await self._refused(answer, deadline)
            yield answer
        finally:
            answer.close()

    async def _post(self, prompt: Prompt, deadline: float) -> aiohttp.ClientResponse:
        options = self._options
        limits: dict[str, float | int] = {}
        if options.reply_tokens is not None:
            limits["max_tokens"] = options.reply_tokens
        if options.temperature is not None:
            limits["temperature"] = options.temperature
        try:
            async with asyncio.timeout_at(deadline):
                return await self._session.post(
                    f"{self._url}/chat/completions",
                    data=request(options.model, prompt, continues=options.continues, limits=limits),
                    headers=self._headers,
                    allow_redirects=False,  # the key goes to nobody else
                    timeout=aiohttp.ClientTimeout(total=None, sock_connect=options.connect_seconds),
                )
        except aiohttp.ConnectionTimeoutError as error:
            raise self._unreachable() from error
        except TimeoutError:
            raise self._silent(begun=False) from None
        except (aiohttp.ClientError, OSError) as error:
            raise self._unreachable() from error

    async def _refused(self, answer: aiohttp.ClientResponse, deadline: float) -> EngineFailed:
        model = self._options.model
        try:
            async with asyncio.timeout_at(deadline):
                body = await answer.content.read(ERROR_BYTES)
        except (TimeoutError, aiohttp.ClientError, OSError):
            body = b""
        if answer.status == 200:
            return _unexpected(body, model)
        error = refusal(answer.status, body.decode("utf-8", "replace"), model)
        asked = _seconds(answer.headers.get("Retry-After"))
        return _AskedToWaitError(error.message, asked) if isinstance(error, ModelOverloaded) and asked else error

    def _now(self) -> float:
        # Deadlines of sockets are the event loop's; the injected clock paces what we wait by ourselves.
        return asyncio.get_running_loop().time()

    def _unreachable(self) -> ModelUnreachable:
        return ModelUnreachable(
            f"The model {self._options.model} cannot be reached: nobody answers at its address. "
            "Check that its server runs, and its base_url."
        )

    def _silent(self, *, begun: bool) -> ModelTimeout:
        options = self._options
        seconds = options.between_tokens_seconds if begun else options.first_token_seconds
        what = "fell silent in the middle of its answer" if begun else "did not begin to answer"
        return ModelTimeout(f"The model {options.model} {what} for {seconds:g} seconds. Try again.")


class _AskedToWaitError(ModelOverloaded):
    """The provider says how many ``seconds`` it wants to be left alone."""

    def __init__(self, message: str, seconds: float) -> None:
        super().__init__(message)
        self.seconds = seconds


class _Reading:
    """What was read of one stream so far."""

    def __init__(self, model: str) -> None:
        self.over = False
        self.pieces = 0
        self._model = model
        self._lines = Lines()
        self._words = Words()
        self._reason: str | None = None
        self._done = False
        self._usage: Usage | None = None
        self._failure: EngineFailed | None = None

    @property
    def finished(self) -> bool:
        return self._reason is not None

    def feed(self, data: bytes) -> list[str]:
        """The texts of the next events; no data: the answer is over. What goes wrong is left for ``end`` to raise."""
        texts = []
        try:
            for payload in self._lines.feed(data) if data else self._lines.flush():
                if text := self._text(payload):
                    texts.append(text)
        except BadStreamError:
            self._failure = ModelBroke(f"The model {self._model} sent what cannot be read as an answer. Try again.")
        self.over = self._done or not data or self._failure is not None
        if self.over and (rest := self._words.rest()):
            texts.append(rest)
        self.pieces += len(texts)
        return texts

    def _text(self, payload: bytes) -> str:
        if payload == DONE:
            self._done = True
            return ""
        said = event(payload)
        if said.failed:
            self._failure = failure(bytes(said.error), self._model)
        self._usage = said.counted or self._usage
        self._reason = said.finish_reason or self._reason
        return self._words.add(said.text)

    def end(self) -> Finished:
        """Raises the failure; ModelBroke where the stream only stopped."""
        if self._failure is not None:
            raise self._failure
        if self._reason is None and not (self._done and self.pieces):
            raise ModelBroke(f"The model {self._model} stopped in the middle of its answer. Try again.")
        return Finished(finish(self._reason or "stop", self._model), self._usage or Usage(0, self.pieces))


def _unexpected(body: bytes, model: str) -> EngineFailed:
    """The error of a 200 that is no stream."""
    try:
        said = event(body)
    except BadStreamError:
        said = Event()
    if said.failed:
        return failure(bytes(said.error), model)
    return ModelBroke(f"The address of the model {model} answers, but not as a model server. Check its base_url.")


def _backoff(run: UUID, attempt: int, error: EngineFailed) -> float | None:
    """Seconds to wait before the next try; None: longer than a try is worth. The jitter is the run's own."""
    if isinstance(error, _AskedToWaitError):
        return error.seconds if error.seconds <= MOST_RETRY_AFTER_SECONDS else None
    jitter = (run.int >> (8 * attempt)) % 256 / 255
    return min(MOST_BACKOFF_SECONDS, FIRST_BACKOFF_SECONDS * 2.0**attempt) * (0.5 + jitter / 2)


def _seconds(header: str | None) -> float | None:
    """A Retry-After in seconds; the form with a date is not used by these providers."""
    try:
        return max(0.0, float(header)) if header else None
    except ValueError:
        return None


@asynccontextmanager
async def _closing(chunks: AsyncGenerator[Chunk]) -> AsyncGenerator[AsyncIterator[Chunk]]:
    async with aclosing(chunks):
        yield chunks
