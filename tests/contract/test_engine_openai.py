"""The OpenAI-compatible engine against a real server that behaves as providers do, and as they should not."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator

import aiohttp
import msgspec
import pytest

from prosa.adapters.clock import SystemClock
from prosa.adapters.openai_engine import OpenAIEngine, OpenAIOptions, model_session
from prosa.adapters.openai_engine.beat import Beat
from prosa.core.chat import Role, Turn
from prosa.core.errors import (
    EngineFailed,
    ModelBroke,
    ModelOverloaded,
    ModelRefused,
    ModelTimeout,
    ModelUnreachable,
    PromptTooLong,
)
from prosa.core.model import Piece, Prompt
from prosa.core.run import Finish, Usage
from prosa.testing import ManualClock
from tests.contract.engines import answer, asked, end_of, text_of
from tests.fake_model_server import (
    USAGE,
    Behaviour,
    Exchange,
    FakeModelServer,
    answers,
    breaks,
    fake_model_server,
    hangs,
    says,
    sends,
    word,
)

KEY = "sk-very-secret"


@pytest.fixture
async def server() -> AsyncIterator[FakeModelServer]:
    async with fake_model_server() as fake:
        yield fake


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with model_session() as it:
        yield it


@pytest.fixture
def options(server: FakeModelServer) -> OpenAIOptions:
    return OpenAIOptions(
        server.base_url, "m", KEY, first_token_seconds=0.5, between_tokens_seconds=0.3, connect_seconds=0.5, retries=0
    )


@pytest.fixture
def engine(options: OpenAIOptions, session: aiohttp.ClientSession) -> OpenAIEngine:
    return OpenAIEngine(options, session, SystemClock())


class Impatient(SystemClock):
    """Waits no time at all, and remembers how long it should have."""

    def __init__(self) -> None:
        self.slept: list[float] = []

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        await super().sleep(0)


class Trying:
    """An engine that tries three times, and its clock."""

    def __init__(self, options: OpenAIOptions, session: aiohttp.ClientSession) -> None:
        self.clock = Impatient()
        patient = msgspec.structs.replace(options, retries=2, first_token_seconds=60)
        self.engine = OpenAIEngine(patient, session, self.clock)


@pytest.fixture
def trying(options: OpenAIOptions, session: aiohttp.ClientSession) -> Trying:
    return Trying(options, session)


async def failing(engine: OpenAIEngine) -> tuple[str, EngineFailed]:
    """What was said before the failure, and the failure."""
    text = ""
    try:
        async with engine.stream(asked("hi")) as chunks:
            async for chunk in chunks:
                assert isinstance(chunk, Piece)
                text += chunk.text
    except EngineFailed as failure:
        return text, failure
    raise AssertionError("it did not fail")


# ── what is asked ──


async def test_the_request_is_what_such_servers_want(server: FakeModelServer, engine: OpenAIEngine) -> None:
    turns = (Turn(Role.SYSTEM, "Be short."), Turn(Role.USER, "olá"))
    await answer(engine, Prompt(asked("").run, turns, "ignored"))
    asked_for = server.exchanges[0]
    assert asked_for.path == "/v1/chat/completions"
    assert asked_for.headers["authorization"] == f"Bearer {KEY}"
    assert asked_for.body == {
        "model": "m",
        "messages": [{"role": "system", "content": "Be short."}, {"role": "user", "content": "olá"}],
        "stream": True,
        "stream_options": {"include_usage": True},
    }


async def test_a_prefix_goes_as_a_trailing_message_where_the_model_continues(
    server: FakeModelServer, options: OpenAIOptions, session: aiohttp.ClientSession
) -> None:
    engine = OpenAIEngine(msgspec.structs.replace(options, continues=True), session, SystemClock())
    await answer(engine, asked("hi", "Once upon"))
    body = server.exchanges[0].body
    assert isinstance(body["messages"], list)
    assert body["messages"][-1] == {"role": "assistant", "content": "Once upon", "prefix": True}
    assert (body["add_generation_prompt"], body["continue_final_message"]) == (False, True)


async def test_limits_are_sent_only_where_they_are_set(
    server: FakeModelServer, options: OpenAIOptions, session: aiohttp.ClientSession
) -> None:
    limited = msgspec.structs.replace(options, reply_tokens=99, temperature=0.5, api_key=None)
    await answer(OpenAIEngine(limited, session, SystemClock()), asked("hi"))
    assert (server.exchanges[0].body["max_tokens"], server.exchanges[0].body["temperature"]) == (99, 0.5)
    assert "authorization" not in server.exchanges[0].headers


# ── what is read ──


async def test_a_whole_answer_with_its_usage(server: FakeModelServer, engine: OpenAIEngine) -> None:
    server.next(says(["Hello", ", ", "you"]))
    chunks = await answer(engine, asked("hi"))
    assert text_of(chunks) == "Hello, you"
    assert end_of(chunks).usage == Usage(7, 3)


async def test_one_connection_serves_one_answer_after_the_other(server: FakeModelServer, engine: OpenAIEngine) -> None:
    for _ in range(3):
        await answer(engine, asked("hi"))
    assert server.connections == 1


def data(*events: object, end: str = "\n\n") -> bytes:
    return b"".join(f"data: {json.dumps(event)}{end}".encode() for event in events)


DONE = b"data: [DONE]\n\n"


@pytest.mark.parametrize(
    "parts",
    [
        [data(word("a"), word("b"), word(None, "stop")) + DONE],
        [data(word("a"), word("b"), word(None, "stop"), end="\r\n\r\n") + b"data: [DONE]\r\n\r\n"],
        [b": keep-alive\n\n" + data(word("a")), b": ping\n\n", data(word("b", "stop")) + DONE],
        [(data(word("a"), word("b", "stop")) + DONE).replace(b"data: ", b"data:")],
        [b"event: message\nid: 7\n" + data(word("a"), word("b", "stop")) + DONE],
        [data(word("a"), word("b", "stop"))],
        [data(word("a"), word("b", "stop")).rstrip()],
        [data(word("a"), word("b")) + DONE],
        [data({"choices": [{"delta": None}]}, {"choices": []}, {}, word(None), word("a"), word("b", "stop")) + DONE],
        [data(word("a"), word("b", "stop"), {"choices": None, "usage": None, "error": None}) + DONE],
        [bytes([byte]) for byte in data(word("a"), word("b", "stop")) + DONE],
    ],
    ids=[
        "plain", "CRLF", "comments", "no blank behind data:", "other fields", "no [DONE]", "no last line end",
        "no finish reason", "empty deltas", "nulls", "byte by byte",
    ],
)  # fmt: skip
async def test_the_dialects_of_a_stream_are_all_read(
    server: FakeModelServer, options: OpenAIOptions, session: aiohttp.ClientSession, parts: list[bytes]
) -> None:
    server.next(sends(*parts))
    engine = OpenAIEngine(msgspec.structs.replace(options, first_token_seconds=5), session, SystemClock())
    chunks = await answer(engine, asked("hi"))
    assert text_of(chunks) == "ab"
    assert end_of(chunks).finish is Finish.STOP


async def test_utf8_split_in_a_character_is_put_together(server: FakeModelServer, engine: OpenAIEngine) -> None:
    raw = 'data: {"choices":[{"delta":{"content":"çã🎉"},"finish_reason":"stop"}]}\n\n'.encode()
    at = raw.index("🎉".encode()) + 2
    server.next(sends(raw[:at], raw[at:], DONE))
    assert text_of(await answer(engine, asked("hi"))) == "çã🎉"


async def test_a_surrogate_pair_torn_between_two_events_is_put_together(
    server: FakeModelServer, engine: OpenAIEngine
) -> None:
    server.next(sends(data(word("a\ud83c"), word("\udf89b"), word("\ud83c", "stop")) + DONE))
    assert text_of(await answer(engine, asked("hi"))) == "a🎉b\ufffd"


@pytest.mark.parametrize(
    ("raw", "clean"),
    [(b"a\\u0000b", "a\ufffdb"), (b"a\xffb", "a\ufffdb"), (b"a\\ud800b", "a\ufffdb"), (b"a\\udc00b", "a\ufffdb")],
)
async def test_what_no_store_keeps_becomes_the_replacement_character(
    server: FakeModelServer, engine: OpenAIEngine, raw: bytes, clean: str
) -> None:
    server.next(sends(b'data: {"choices":[{"delta":{"content":"%s"},"finish_reason":"stop"}]}\n\n' % raw, DONE))
    assert text_of(await answer(engine, asked("hi"))) == clean


async def test_without_usage_each_piece_counts_as_a_token(server: FakeModelServer, engine: OpenAIEngine) -> None:
    server.next(sends(data(word("a"), word("b"), word(None, "stop")) + DONE))
    assert end_of(await answer(engine, asked("hi"))).usage == Usage(0, 2)


async def test_the_usage_may_come_behind_the_finish_reason_and_need_not(
    server: FakeModelServer, engine: OpenAIEngine
) -> None:
    server.next(sends(data(word("a", "stop")), data(USAGE)))
    assert end_of(await answer(engine, asked("hi"))).usage == Usage(7, 3)


@pytest.mark.parametrize(
    ("reason", "finish"), [("stop", Finish.STOP), ("length", Finish.LENGTH), ("tool_calls", Finish.STOP)]
)
async def test_finish_reasons_are_mapped(
    server: FakeModelServer, engine: OpenAIEngine, reason: str, finish: Finish
) -> None:
    server.next(says(["a"], finish=reason))
    assert end_of(await answer(engine, asked("hi"))).finish is finish


# ── what goes wrong ──


@pytest.mark.parametrize(
    ("behaviour", "error", "said"),
    [
        (hangs(), ModelTimeout, ""),
        (hangs(after=[]), ModelTimeout, ""),
        (hangs(after=["a", "b"]), ModelTimeout, "ab"),
        (breaks(), ModelUnreachable, ""),
        (breaks(after=["a"]), ModelBroke, "a"),
        (breaks(after=["a"], politely=True), ModelBroke, "a"),
        (breaks(after=[], politely=True), ModelBroke, ""),
        (sends(DONE), ModelBroke, ""),
        (sends(b"<html><body>Welcome</body></html>", content_type="text/html"), ModelBroke, ""),
        (sends(b"<html><body>Welcome</body></html>\n"), ModelBroke, ""),
        (sends(b'data: {"choices": [\n\n'), ModelBroke, ""),
        (sends(b"data: 7\n\n"), ModelBroke, ""),
        (sends(data(word("a")), b"data: rubbish\n\n"), ModelBroke, "a"),
        (sends(data({"choices": [{"delta": {"content": 7}}]})), ModelBroke, ""),
        (sends(b"data: " + b"x" * 1_100_000), ModelBroke, ""),
        (answers(200, '{"choices": [{"message": {"content": "whole"}}]}'), ModelBroke, ""),
        (answers(200, '{"error": {"message": "Rate limit reached", "code": 429}}'), ModelOverloaded, ""),
        (answers(302, "", {"Location": "http://elsewhere.invalid/"}), ModelBroke, ""),
        (answers(400, '{"error": {"message": "unsupported parameter"}}'), ModelRefused, ""),
        (answers(400, '{"error": {"code": "context_length_exceeded", "message": "…"}}'), PromptTooLong, ""),
        (answers(400, '{"error": {"type": "exceed_context_size_error"}}'), PromptTooLong, ""),
        (answers(400, '{"message": "This model\'s maximum context length is 8192 tokens."}'), PromptTooLong, ""),
        (answers(413, "too large", kind="text/plain"), PromptTooLong, ""),
        (answers(401, "{}"), ModelRefused, ""),
        (answers(403, "{}"), ModelRefused, ""),
        (answers(402, "{}"), ModelRefused, ""),
        (answers(404, '{"error": {"message": "The model does not exist"}}'), ModelRefused, ""),
        (answers(429, "{}"), ModelOverloaded, ""),
        (answers(429, '{"error": {"code": "insufficient_quota"}}'), ModelRefused, ""),
        (answers(500, "Internal Server Error", kind="text/plain"), ModelOverloaded, ""),
        (answers(503, "<html>", kind="text/html"), ModelOverloaded, ""),
        (answers(529, "{}"), ModelOverloaded, ""),
        (
            sends(data(word("a"), {"error": {"message": "Overloaded", "type": "overloaded_error"}})),
            ModelOverloaded,
            "a",
        ),
        (sends(data(word("a"), {"error": {"message": "context window exceeded"}})), PromptTooLong, "a"),
        (sends(data({"error": "invalid api key sk-123"})), ModelRefused, ""),
        (sends(data(word("a"), {"error": {"message": "kaboom", "code": None}})), ModelBroke, "a"),
        (says(["a"], finish="content_filter"), ModelRefused, "a"),
        (says(["a"], finish="error"), ModelBroke, "a"),
        (says(["a"], finish="insufficient_system_resource"), ModelOverloaded, "a"),
    ],
)
async def test_each_fault_is_mapped_behind_the_text_that_came_before_it(
    server: FakeModelServer, engine: OpenAIEngine, behaviour: Behaviour, error: type[EngineFailed], said: str
) -> None:
    server.next(behaviour)
    text, failure = await failing(engine)
    assert (isinstance(failure, error), text) == (True, said)
    assert failure.code == error.code


@pytest.mark.parametrize(
    "behaviour",
    [
        answers(401, f'{{"error": {{"message": "Incorrect API key provided: {KEY}"}}}}'),
        answers(400, f'{{"error": {{"message": "bad {KEY}"}}}}'),
        answers(500, f"key {KEY}"),
        sends(data({"error": {"message": f"auth {KEY}"}})),
        hangs(),
        breaks(after=[]),
    ],
)
async def test_a_message_names_the_model_and_never_the_key_or_the_address(
    server: FakeModelServer, engine: OpenAIEngine, behaviour: Behaviour
) -> None:
    server.next(behaviour)
    _, failure = await failing(engine)
    assert " m " in failure.message or " m:" in failure.message
    assert KEY not in failure.message
    assert "127.0.0.1" not in failure.message


async def test_a_model_that_nobody_serves_is_named(server: FakeModelServer, engine: OpenAIEngine) -> None:
    server.next(answers(404, "{}"))
    _, failure = await failing(engine)
    assert "does not know the model m" in failure.message


async def test_nobody_at_the_address_is_unreachable(session: aiohttp.ClientSession) -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{bound.getsockname()[1]}/v1"
        engine = OpenAIEngine(OpenAIOptions(url, "m", retries=0), session, SystemClock())
        assert (await failing(engine))[1].code == "model_unreachable"


async def test_a_name_that_does_not_resolve_is_unreachable(session: aiohttp.ClientSession) -> None:
    engine = OpenAIEngine(OpenAIOptions("http://nobody.invalid/v1", "m", retries=0), session, SystemClock())
    assert (await failing(engine))[1].code == "model_unreachable"


async def test_a_stall_behind_the_finish_reason_is_no_failure(server: FakeModelServer, engine: OpenAIEngine) -> None:
    async def lingers(exchange: Exchange) -> None:
        await exchange.begin()
        await exchange.event(word("a", "stop"))
        await exchange.gone()

    server.next(lingers)
    assert text_of(await answer(engine, asked("hi"))) == "a"


# ── trying again ──


async def test_an_overloaded_provider_is_asked_again_with_growing_pauses(
    server: FakeModelServer, trying: Trying
) -> None:
    server.next(answers(429, "{}"), answers(503, "{}"), says(["ok"]))
    assert text_of(await answer(trying.engine, asked("hi"))) == "ok"
    assert len(trying.clock.slept) == 2
    assert 0.25 <= trying.clock.slept[0] <= 0.5 <= trying.clock.slept[1] <= 1.0


async def test_retry_after_is_honoured(server: FakeModelServer, trying: Trying) -> None:
    server.next(answers(429, "{}", {"Retry-After": "7"}), says(["ok"]))
    assert text_of(await answer(trying.engine, asked("hi"))) == "ok"
    assert trying.clock.slept == [7.0]


async def test_too_long_a_retry_after_fails_at_once(server: FakeModelServer, trying: Trying) -> None:
    server.next(answers(429, "{}", {"Retry-After": "3600"}), says(["ok"]))
    assert (await failing(trying.engine))[1].code == "model_overloaded"
    assert trying.clock.slept == []


async def test_a_retry_after_that_is_a_date_is_not_understood_and_does_no_harm(
    server: FakeModelServer, trying: Trying
) -> None:
    server.next(answers(429, "{}", {"Retry-After": "Wed, 21 Oct 2026 07:28:00 GMT"}), says(["ok"]))
    assert text_of(await answer(trying.engine, asked("hi"))) == "ok"


async def test_it_gives_up_after_the_last_try(server: FakeModelServer, trying: Trying) -> None:
    server.next(answers(500, "{}"))
    assert (await failing(trying.engine))[1].code == "model_overloaded"
    assert len(server.exchanges) == 3


async def test_a_connection_that_breaks_before_the_first_piece_is_tried_again(
    server: FakeModelServer, trying: Trying
) -> None:
    server.next(breaks(), says(["ok"]))
    assert text_of(await answer(trying.engine, asked("hi"))) == "ok"


async def test_what_was_refused_is_not_asked_again(server: FakeModelServer, trying: Trying) -> None:
    server.next(answers(401, "{}"), says(["ok"]))
    assert (await failing(trying.engine))[1].code == "model_refused"
    assert len(server.exchanges) == 1


async def test_nothing_is_asked_again_behind_the_first_piece(server: FakeModelServer, trying: Trying) -> None:
    overloaded = data(word("a"), {"error": {"message": "overloaded"}})
    server.next(sends(overloaded), says(["ok"]))
    assert (await failing(trying.engine))[0] == "a"
    assert len(server.exchanges) == 1


async def test_the_limit_of_the_first_token_covers_all_tries(
    server: FakeModelServer, options: OpenAIOptions, session: aiohttp.ClientSession
) -> None:
    server.next(answers(429, "{}", {"Retry-After": "5"}))
    engine = OpenAIEngine(msgspec.structs.replace(options, retries=3), session, ManualClock())
    assert (await failing(engine))[1].code == "model_overloaded"
    assert len(server.exchanges) == 1


# ── leaving ──


async def test_leaving_closes_the_connection_at_once(server: FakeModelServer, engine: OpenAIEngine) -> None:
    server.next(hangs(after=["a"]))
    async with engine.stream(asked("hi")) as chunks:
        await anext(chunks)
    async with asyncio.timeout(0.2):
        await server.exchanges[0].left.wait()


async def test_cancelling_before_the_headers_closes_the_connection_at_once(
    server: FakeModelServer, engine: OpenAIEngine
) -> None:
    server.next(hangs())
    async with asyncio.TaskGroup() as group:
        task = group.create_task(answer(engine, asked("hi")))
        await server.asked.wait()
        task.cancel()
    async with asyncio.timeout(0.2):
        await server.exchanges[0].left.wait()


async def test_a_timeout_closes_the_connection(server: FakeModelServer, engine: OpenAIEngine) -> None:
    server.next(hangs(after=["a"]))
    await failing(engine)
    async with asyncio.timeout(0.2):
        await server.exchanges[0].left.wait()


async def test_a_slow_reader_is_not_mistaken_for_a_silent_model(server: FakeModelServer, engine: OpenAIEngine) -> None:
    server.next(says([f"{number} " for number in range(20)]))
    text = ""
    async with engine.stream(asked("hi")) as chunks:
        async for chunk in chunks:
            text += chunk.text if isinstance(chunk, Piece) else ""
            await asyncio.sleep(0.025)
    assert text.split()[-1] == "19"


# ── the doctor ──


async def test_the_doctor_hears_that_the_model_is_ready(engine: OpenAIEngine) -> None:
    assert await engine.check() == "The model m is ready at its provider, among 2."


async def test_the_doctor_hears_that_the_model_is_not_listed(server: FakeModelServer, engine: OpenAIEngine) -> None:
    server.models = answers(200, '{"data": [{"id": "other"}]}')
    assert (await engine.check()).endswith("the model m is not among the 1 that it lists: other.")
    many = ",".join(f'{{"id": "n{number}"}}' for number in range(7))
    server.models = answers(200, f'{{"data": [{many}]}}')
    assert (await engine.check()).endswith("not among the 7 that it lists: n0, n1, n2, n3, n4, ….")


async def test_the_doctor_takes_a_name_for_its_latest_version(server: FakeModelServer, engine: OpenAIEngine) -> None:
    server.models = answers(200, '{"data": [{"id": "m:latest"}]}')
    assert "is ready" in await engine.check()


async def test_the_doctor_hears_of_a_provider_without_a_list(server: FakeModelServer, engine: OpenAIEngine) -> None:
    server.models = answers(404, "{}")
    assert "no list of models" in await engine.check()


@pytest.mark.parametrize(
    ("behaviour", "error"),
    [(answers(401, "{}"), ModelRefused), (answers(200, "<html>"), ModelBroke), (breaks(), ModelUnreachable)],
)
async def test_the_doctor_hears_what_is_wrong(
    server: FakeModelServer, engine: OpenAIEngine, behaviour: Behaviour, error: type[EngineFailed]
) -> None:
    server.models = behaviour
    with pytest.raises(error):
        await engine.check()


# ── many streams ──


async def test_streams_that_read_in_step_lose_nothing_and_are_not_taken_for_silent_while_they_rest(
    server: FakeModelServer, session: aiohttp.ClientSession, options: OpenAIOptions
) -> None:
    beat, texts = Beat(lambda streams: 0.1), [f"{number} " for number in range(20)]
    engine = OpenAIEngine(msgspec.structs.replace(options, between_tokens_seconds=0.05), session, SystemClock(), beat)
    server.next(says(texts, per_second=500))
    begun = asyncio.get_running_loop().time()
    assert text_of(await answer(engine, asked("hi"))) == "".join(texts)
    assert asyncio.get_running_loop().time() - begun >= 0.1


async def test_a_stream_counts_among_those_that_read_in_step_until_it_is_left(
    server: FakeModelServer, session: aiohttp.ClientSession, options: OpenAIOptions
) -> None:
    beat = Beat()
    engine = OpenAIEngine(options, session, SystemClock(), beat)
    server.next(hangs(after=["one"]))
    async with engine.stream(asked("hi")) as chunks:
        assert isinstance(await anext(chunks), Piece)
        assert beat.streams == 1
    assert beat.streams == 0
