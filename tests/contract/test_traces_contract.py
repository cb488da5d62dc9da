"""The contract of Traces: whoever gives spans neither waits nor fails, whatever becomes of them."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from time import perf_counter
from uuid import uuid4

import pytest

from prosa.adapters.metrics import NullMetrics
from prosa.adapters.otlp_traces import Receiver, open_otlp
from prosa.adapters.traces import NullTraces
from prosa.core.trace import Span, SpanName
from prosa.ports import Traces
from prosa.testing import KeptTraces
from tests.receiver import hanging, receiving

SPANS = 20_000
RESOURCE = {"service.name": "prosa", "service.instance.id": "gw-1"}


@pytest.fixture(params=["null", "kept", "otlp", "otlp to one that hangs"])
async def traces(request: pytest.FixtureRequest) -> AsyncIterator[Traces]:
    async with AsyncExitStack() as stack:
        match request.param:
            case "null":
                yield NullTraces()
            case "kept":
                yield KeptTraces()
            case "otlp":
                receiver = await stack.enter_async_context(receiving())
                yield await stack.enter_async_context(open_otlp(Receiver(receiver.address), NullMetrics(), RESOURCE))
            case _:
                address = await stack.enter_async_context(hanging())
                yield await stack.enter_async_context(open_otlp(Receiver(address), NullMetrics(), RESOURCE))


async def test_who_gives_more_spans_than_anybody_can_take_does_not_wait(traces: Traces) -> None:
    span = Span(run=uuid4(), name=SpanName.DELIVER, begun=1.0, ended=2.0, attributes={"gateway": "gw-1"})
    begun = perf_counter()
    for _ in range(SPANS):
        traces.add(span)
    assert perf_counter() - begun < 1


async def test_a_span_that_says_nothing_is_taken(traces: Traces) -> None:
    traces.add(Span(run=uuid4(), name=SpanName.ACCEPT, begun=0.0, ended=0.0))


async def test_spans_are_wanted_unless_there_is_nobody(traces: Traces) -> None:
    assert traces.wants(uuid4()) is not isinstance(traces, NullTraces)


async def test_what_went_wrong_is_wanted_however_much_goes_on(traces: Traces) -> None:
    wanted = [traces.wants(uuid4(), telling=True) for _ in range(SPANS)]
    assert set(wanted) == {not isinstance(traces, NullTraces)}
