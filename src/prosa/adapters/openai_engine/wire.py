"""What an OpenAI-compatible server says, read without I/O: events of a stream, and errors in our own tree.

Messages name the model and never quote the provider: its words may hold keys, addresses or a user's text.
"""

import json
import re
from collections.abc import Iterator
from typing import Final

import msgspec

from prosa.core.chat import Turn
from prosa.core.errors import EngineFailed, ModelBroke, ModelOverloaded, ModelRefused, PromptTooLong
from prosa.core.model import Prompt
from prosa.core.reply import clean
from prosa.core.run import Finish, Usage

LONGEST_LINE: Final = 1024 * 1024
DONE: Final = b"[DONE]"

_TOO_LONG: Final = re.compile(
    r"context.{0,3}length|maximum context|context.{0,3}window|exceed_context|context size|too many tokens"
    r"|prompt is too long|input token count|reduce the length",
    re.IGNORECASE,
)
_NO_MONEY: Final = re.compile(r"insufficient_quota|billing|credit", re.IGNORECASE)
_BUSY: Final = re.compile(
    r"overload|rate.?limit|unavailable|capacity|server_error|internal|busy|429|50[0-9]", re.IGNORECASE
)
_HIGH: Final = re.compile("[\ud800-\udbff]\\Z")
_UNCLEAN: Final = re.compile("[\x00\ud800-\udfff]")


class _Delta(msgspec.Struct, gc=False):
    content: str | None = None


class _Choice(msgspec.Struct, gc=False):
    delta: _Delta | None = None
    finish_reason: str | None = None


class _Usage(msgspec.Struct, gc=False):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None


class Event(msgspec.Struct):
    """One event. ``error`` is whatever a provider puts there."""

    choices: list[_Choice] | None = None
    usage: _Usage | None = None
    error: msgspec.Raw = msgspec.Raw()

    @property
    def text(self) -> str:
        """Not yet clean: see ``Words``."""
        delta = self.choices[0].delta if self.choices else None
        return (delta.content or "") if delta is not None else ""

    @property
    def finish_reason(self) -> str | None:
        return self.choices[0].finish_reason if self.choices else None

    @property
    def counted(self) -> Usage | None:
        return Usage(self.usage.prompt_tokens or 0, self.usage.completion_tokens or 0) if self.usage else None

    @property
    def failed(self) -> bool:
        return bytes(self.error) not in (b"", b"null")


class Models(msgspec.Struct):
    """The answer of ``GET /models``."""

    class Model(msgspec.Struct):
        id: str

    data: list[Model] = []


_EVENT: Final = msgspec.json.Decoder(Event)


class BadStreamError(ValueError):
    """It is no stream of events, or one of them cannot be read."""


class Lines:
    """Bytes in as they come, the payloads of the ``data:`` lines out. All else (comments, other fields) is skipped.

    A line longer than LONGEST_LINE raises BadStreamError: memory stays bounded.
    """

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        lines = (self._rest + chunk).split(b"\n")
        self._rest = lines.pop()
        if len(self._rest) > LONGEST_LINE:
            raise BadStreamError("a line is too long")
        for line in lines:
            if line.startswith(b"data:") and (payload := line[5:].strip()):
                yield payload

    def flush(self) -> Iterator[bytes]:
        """The last line, where the stream ended without its line end."""
        return self.feed(b"\n")


def event(payload: bytes) -> Event:
    """Raises BadStreamError."""
    try:
        return _EVENT.decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return _mended(payload)


def _mended(payload: bytes) -> Event:
    """An event with invalid UTF-8 or lone surrogates, which the fast decoder refuses."""
    try:
        raw = json.loads(payload.decode("utf-8", "replace"))
        error = raw.pop("error", None)
        mended = msgspec.convert(raw, Event)
        return msgspec.structs.replace(mended, error=msgspec.Raw(json.dumps(error).encode()))
    except (ValueError, TypeError, AttributeError, RecursionError) as failure:
        raise BadStreamError("an event cannot be read") from failure


class Words:
    """The text of a stream, clean. A surrogate pair that was torn apart between two events is put together."""

    def __init__(self) -> None:
        self._high = ""

    def add(self, text: str) -> str:
        text, self._high = self._high + text, ""
        if _UNCLEAN.search(text) is None:
            return text
        if _HIGH.search(text):
            text, self._high = text[:-1], text[-1]
        return clean(text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace"))

    def rest(self) -> str:
        return clean(self._high)


def request(model: str, prompt: Prompt, *, continues: bool, limits: dict[str, float | int]) -> bytes:
    """The body of a streaming request.

    A prefix goes as a trailing message of the assistant. llama.cpp goes on from it by itself, vLLM by
    the two flags beside it, DeepSeek and Mistral by the message's own.
    """
    messages: list[dict[str, object]] = [_message(turn) for turn in prompt.turns]
    body = {"model": model, "messages": messages, "stream": True, "stream_options": {"include_usage": True}, **limits}
    if continues and prompt.prefix:
        messages.append({"role": "assistant", "content": prompt.prefix, "prefix": True})
        body |= {"add_generation_prompt": False, "continue_final_message": True}
    return msgspec.json.encode(body)


def _message(turn: Turn) -> dict[str, object]:
    return {"role": turn.role.value, "content": turn.text}


def finish(reason: str, model: str) -> Finish:
    """Raises where the provider ended the answer for a reason that is no end of it."""
    match reason:
        case "length" | "max_tokens":
            return Finish.LENGTH
        case "content_filter":
            raise ModelRefused(f"The provider of the model {model} filtered the answer. Put the question differently.")
        case "error" | "network_error":
            raise ModelBroke(f"The model {model} broke off in the middle of its answer. Try again.")
        case "insufficient_system_resource":
            raise overloaded(model)
        case _:
            return Finish.STOP


def refusal(status: int, body: str, model: str) -> EngineFailed:
    """The error of an answer that is not 200."""
    if status in (408, 409, 425) or status >= 500:
        return overloaded(model)
    if status == 429:
        return _unpaid(model) if _NO_MONEY.search(body) else overloaded(model)
    if status in (401, 403):
        return ModelRefused(
            f"The provider of the model {model} refused our credentials (HTTP {status}). Check its key."
        )
    if status == 413 or (status in (400, 422) and _TOO_LONG.search(body)):
        return _too_long(model)
    if status == 404:
        return ModelRefused(
            f"The provider does not know the model {model} (HTTP 404). Check its name and its base_url."
        )
    if status == 402:
        return _unpaid(model)
    if status < 400:
        return ModelBroke(f"The address of the model {model} answers with HTTP {status}. Check its base_url.")
    return ModelRefused(f"The provider of the model {model} rejected the request (HTTP {status}).")


def failure(error: bytes, model: str) -> EngineFailed:
    """The error of an ``error`` object inside a stream."""
    text = error.decode("utf-8", "replace")
    if _TOO_LONG.search(text):
        return _too_long(model)
    if _NO_MONEY.search(text):
        return _unpaid(model)
    if re.search(r"auth|api.?key|permission|40[13]", text, re.IGNORECASE):
        return ModelRefused(f"The provider of the model {model} refused our credentials. Check its key.")
    if _BUSY.search(text):
        return overloaded(model)
    return ModelBroke(f"The provider of the model {model} reported an error in its answer. Try again.")


def overloaded(model: str) -> ModelOverloaded:
    return ModelOverloaded(f"The provider of the model {model} is overloaded at the moment. Try again shortly.")


def _unpaid(model: str) -> ModelRefused:
    return ModelRefused(f"The provider of the model {model} says that its quota is used up. Check its account.")


def _too_long(model: str) -> PromptTooLong:
    return PromptTooLong(
        f"The conversation is too long for the model {model}. Begin a new chat or shorten the message."
    )
