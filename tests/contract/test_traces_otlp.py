"""Traces over OTLP: what a receiver is sent, and that one which hangs or is gone costs nothing but spans."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from time import perf_counter
from uuid import uuid4

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from prosa.adapters import otlp_traces
from prosa.adapters.metrics import PrometheusMetrics
from prosa.adapters.otlp_traces import CLOSE_SECONDS, WAITING_SPANS, OtlpTraces, encoded, open_otlp
from prosa.cluster.loopback import free_port
from prosa.core.trace import Span, SpanName, span_id
from tests.receiver import hanging, receiving

RUN = uuid4()
RESOURCE = {"service.name": "prosa-worker", "service.instance.id": "wk-1"}
FLUSH_SECONDS = 0.05
LATE_SECONDS = 1.0
"""What a busy machine may add to a wait."""


def span(name: SpanName = SpanName.ATTEMPT, attempt: int = 2, **given: object) -> Span:
    fields = {"run": RUN, "name": name, "attempt": attempt, "begun": 1000.25, "ended": 1001.5, **given}
    return Span(**fields)  # type: ignore[arg-type]


class Tally(PrometheusMetrics):
    @property
    def dropped(self) -> int:
        return int(self.registry.get_sample_value("prosa_traces_dropped_total") or 0)

    async def until_dropped(self, count: int, seconds: float = 20) -> None:
        async with asyncio.timeout(seconds):
            while self.dropped < count:  # noqa: ASYNC110 — a thread counts
                await asyncio.sleep(0.02)


@asynccontextmanager
async def sending(
    endpoint: str, tally: Tally, *, key: str = "", flush_seconds: float = FLUSH_SECONDS
) -> AsyncIterator[OtlpTraces]:
    receiver = otlp_traces.Receiver(endpoint, {"authorization": key})
    async with open_otlp(receiver, tally, RESOURCE, flush_seconds=flush_seconds) as traces:
        yield traces


@pytest.fixture
def tally() -> Tally:
    return Tally()


# ── what is sent ──


async def test_a_receiver_reads_ids_times_attributes_and_whose_span_it_is(tally: Tally) -> None:
    async with receiving() as receiver:
        async with sending(receiver.address, tally) as traces:
            traces.add(span(attributes={"model": "gpt", "attempt": 2}, events={"first_text": 1000.75}, code="timeout"))
        (seen,) = receiver.spans
    assert (seen.service, seen.instance, seen.name) == ("prosa-worker", "wk-1", "attempt")
    assert (seen.trace, seen.id) == (RUN.hex, span_id(RUN, SpanName.ATTEMPT, 2).hex())
    assert seen.parent == span_id(RUN, SpanName.ACCEPT).hex()
    assert seen.links == ((RUN.hex, span_id(RUN, SpanName.ATTEMPT, 1).hex()),)
    assert seen.attributes == {"prosa.model": "gpt", "prosa.attempt": 2}
    assert (seen.begun, seen.ended, seen.events) == (1000.25, 1001.5, {"first_text": 1000.75})
    assert seen.error == "timeout"
    assert tally.dropped == 0


async def test_the_root_has_no_parent_and_a_first_attempt_no_link(tally: Tally) -> None:
    async with receiving() as receiver:
        async with sending(receiver.address, tally) as traces:
            traces.add(span(SpanName.ACCEPT, 0))
            traces.add(span(SpanName.ATTEMPT, 1))
        root, attempt = receiver.spans
    assert (root.parent, root.links, root.error) == ("", (), "")
    assert (attempt.parent, attempt.links) == (root.id, ())


async def test_many_spans_arrive_once_each_in_requests_that_stay_small(tally: Tally) -> None:
    async with receiving() as receiver:
        async with sending(receiver.address + "/v1/traces/", tally, key="key") as traces:
            for number in range(1000):
                traces.add(span(attempt=number))
        assert len({seen.id for seen in receiver.spans}) == len(receiver.spans) == 1000
        assert max(map(len, receiver.bodies)) < 100_000
        assert {headers["authorization"] for headers in receiver.headers} == {"key"}


async def test_spans_do_not_wait_for_the_end(tally: Tally) -> None:
    async with receiving() as receiver, sending(receiver.address, tally) as traces:
        traces.add(span())
        await receiver.until(1, seconds=5)


# ── a receiver that does not do its part ──


async def test_one_that_hangs_keeps_nobody_waiting_and_takes_bounded_memory(tally: Tally) -> None:
    async with hanging() as address:
        async with sending(address, tally) as traces:
            begun = perf_counter()
            for _ in range(2 * WAITING_SPANS):
                traces.add(span())
            assert perf_counter() - begun < 1
            assert tally.dropped >= WAITING_SPANS - otlp_traces.BATCH_SPANS
            begun = perf_counter()
        assert perf_counter() - begun < CLOSE_SECONDS + LATE_SECONDS


async def test_one_that_is_gone_costs_its_spans_which_are_counted(tally: Tally) -> None:
    async with sending(f"http://127.0.0.1:{free_port()}", tally) as traces:
        traces.add(span())
        await tally.until_dropped(1)
        begun = perf_counter()
    assert perf_counter() - begun < LATE_SECONDS


async def test_one_that_is_busy_is_asked_again_and_gets_every_span_once(tally: Tally) -> None:
    async with receiving() as receiver, sending(receiver.address, tally) as traces:
        receiver.answers = [503, 429]
        traces.add(span())
        assert len(await receiver.until(1)) == 1
        assert len(receiver.headers) == 3
    assert tally.dropped == 0


async def test_one_that_refuses_for_good_is_not_asked_again(tally: Tally) -> None:
    async with receiving() as receiver, sending(receiver.address, tally) as traces:
        receiver.answers = [400]
        traces.add(span())
        await tally.until_dropped(1)
        assert len(receiver.headers) == 1
        traces.add(span(attempt=3))
        assert len(await receiver.until(1)) == 1


async def test_one_that_comes_back_gets_what_waited_for_it(tally: Tally) -> None:
    port = free_port()
    async with sending(f"http://127.0.0.1:{port}", tally, flush_seconds=0.5) as traces:
        traces.add(span())
        await asyncio.sleep(0.7)
        async with receiving(port) as receiver:
            assert len(await receiver.until(1)) == 1
    assert tally.dropped == 0


# ── bytes ──


@pytest.mark.parametrize("value", ["", "x" * 127, "x" * 128, "ação 🙂" * 5000, "half \ud83d", 0, 127, 128, 2**40, -1])
def test_any_attribute_is_read_as_it_was_said(value: str | int) -> None:
    request = ExportTraceServiceRequest.FromString(encoded([span(attributes={"said": value})], RESOURCE))
    (pair,) = request.resource_spans[0].scope_spans[0].spans[0].attributes
    read = pair.value.string_value if isinstance(value, str) else pair.value.int_value
    assert (pair.key, read) == ("prosa.said", value.replace("\ud83d", "?") if isinstance(value, str) else value)


@pytest.mark.parametrize(("name", "kind"), [("accept", 2), ("attempt", 5), ("model", 3), ("queue", 1), ("deliver", 1)])
def test_a_span_is_byte_for_byte_what_opentelemetrys_own_classes_write(name: str, kind: int) -> None:
    spans = [span(SpanName(name), attributes={"model": "gpt", "n": 3}, events={"first_text": 1000.75}, code="timeout")]
    body = encoded([*spans, span(SpanName(name), 1)], RESOURCE)
    request = ExportTraceServiceRequest.FromString(body)
    assert request.SerializeToString() == body
    assert [found.kind for found in request.resource_spans[0].scope_spans[0].spans] == [kind, kind]
    assert request.resource_spans[0].scope_spans[0].scope.name == "prosa"


# ── what the doctor asks ──


async def test_a_receiver_that_answers_is_said_to_take_traces() -> None:
    async with receiving() as receiver:
        assert "takes traces" in await otlp_traces.check(otlp_traces.Receiver(receiver.address))
        assert receiver.spans == []


async def test_one_that_is_gone_refuses_or_hangs_is_said_to_take_none() -> None:
    async with receiving() as receiver, hanging() as mute:
        receiver.answers = [401]
        for address, why in ((receiver.address, "401"), (mute, "timed out"), (f"http://127.0.0.1:{free_port()}", "")):
            with pytest.raises(OSError, match=f"takes none: .*{why}"):
                await otlp_traces.check(otlp_traces.Receiver(address))
