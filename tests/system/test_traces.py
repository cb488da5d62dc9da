"""Traces of real processes: one for an answer, through all of them; and a receiver that fails is in nobody's way."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import pairwise
from pathlib import Path

import msgspec

from prosa.adapters.otlp_traces import CLOSE_SECONDS
from prosa.cluster.proxy import FaultProxy
from prosa.core.trace import SpanName, span_id
from tests.receiver import Receiver, Seen, receiving
from tests.system.client import Client
from tests.system.cluster import Nodes, until
from tests.system.harness import Person
from tests.system.pair import Heard, Member, crowd, listen, pair

QUESTION = "does it flow [[n=40 r=40 ttft=0.1]]"
DRAIN_SECONDS = 15.0
"""For the stages of an end on a busy machine, which traces have no part in."""
SLACK_SECONDS = 0.25
"""What a busy machine adds between two looks at a clock."""


class Way(msgspec.Struct, frozen=True):
    """To a receiver, and what stands in it."""

    receiver: Receiver
    proxy: FaultProxy

    @property
    def endpoint(self) -> str:
        return f"http://{self.proxy.host}:{self.proxy.port}"


@asynccontextmanager
async def way() -> AsyncIterator[Way]:
    async with receiving() as receiver:
        host, port = receiver.address.removeprefix("http://").split(":")
        async with FaultProxy(host, int(port)) as proxy:
            yield Way(receiver, proxy)


async def test_one_trace_leads_from_the_frame_that_came_in_to_the_model_and_the_frame_that_went_out(
    nodes: Nodes, tmp_path: Path
) -> None:
    async with receiving() as receiver, pair(nodes, tmp_path, otlp_endpoint=receiver.address) as two:
        heard = await listen(await Person.sign_up(two.gateway.base), QUESTION)
        spans = {SpanName(span.name): span for span in await receiver.until(6, heard.run)}
        assert set(spans) == set(SpanName)
        root, attempt = spans[SpanName.ACCEPT], spans[SpanName.ATTEMPT]
        assert root.parent == ""
        for name in (SpanName.QUEUE, SpanName.ATTEMPT, SpanName.DELIVER):
            assert spans[name].parent == root.id
        for name in (SpanName.MODEL, SpanName.COMMIT):
            assert spans[name].parent == attempt.id
        sides = {name: span.service for name, span in spans.items()}
        assert {name for name, side in sides.items() if side == "prosa-gateway"} == {SpanName.ACCEPT, SpanName.DELIVER}
        assert len({span.instance for span in spans.values()}) == 2
        _lies_in_time(spans)


def _lies_in_time(spans: dict[SpanName, Seen]) -> None:
    """As it happened: accepted, queued, claimed, called, committed, delivered."""
    order = [SpanName.ACCEPT, SpanName.ATTEMPT, SpanName.MODEL, SpanName.COMMIT]
    for name, later in pairwise(order):
        assert spans[name].begun <= spans[later].begun + SLACK_SECONDS, (name, later)
    model, deliver = spans[SpanName.MODEL], spans[SpanName.DELIVER]
    assert model.begun + 0.1 - SLACK_SECONDS <= model.events["first_text"] <= model.ended
    assert deliver.begun >= spans[SpanName.QUEUE].ended - SLACK_SECONDS
    assert deliver.ended >= spans[SpanName.COMMIT].ended - SLACK_SECONDS


async def test_what_takes_over_from_a_killed_worker_is_an_attempt_that_links_to_the_lost_one(
    nodes: Nodes, tmp_path: Path
) -> None:
    async with receiving() as receiver, pair(nodes, tmp_path, workers=2, otlp_endpoint=receiver.address) as three:
        client = Client(await Person.sign_up(three.gateway.base), "who goes on [[n=80 r=20]]")
        async with asyncio.TaskGroup() as group:
            group.create_task(client.live())
            await client.shows(60)
            await receiver.until(2, client.run)
            killed = await _holder(three.workers)
            killed.kill()
            await client.ends()
        spans = await receiver.until(6, client.run)
        (attempt,) = [span for span in spans if span.name == SpanName.ATTEMPT]
        assert (attempt.attributes["prosa.attempt"], attempt.attributes["prosa.finish"]) == (2, "stop")
        assert attempt.links == ((client.run.hex, span_id(client.run, SpanName.ATTEMPT, 1).hex()),)
        # The dead worker had told of the time in the queue, which its own claim ended.
        (queue,) = [span for span in spans if span.name == SpanName.QUEUE]
        assert queue.instance != attempt.instance
        (line,) = [line for member in three.workers for line in member.lines("run.taken_over")]
        assert (line["lost_by"], line["worker"]) == (queue.instance, attempt.instance)
        assert line["run"].replace("-", "") == attempt.trace


async def _holder(workers: list[Member]) -> Member:
    (holder,) = [member for member in workers if await member.metric("prosa_claims_total")]
    return holder


async def test_a_receiver_that_refuses_hangs_or_is_gone_slows_no_answer_and_no_end(
    nodes: Nodes, tmp_path: Path
) -> None:
    async with way() as to, pair(nodes, tmp_path, otlp_endpoint=to.endpoint) as two:
        person = await Person.sign_up(two.gateway.base)
        usual = await listen(person, QUESTION)
        await to.receiver.until(6, usual.run)

        to.receiver.answers = [400] * 1000
        heard = [await listen(person, QUESTION)]

        async def counted() -> bool:
            return min([await member.metric("prosa_traces_dropped_total") for member in two.members]) > 0

        await until(counted)
        to.proxy.cut()
        heard.append(await _busy(person))
        to.proxy.black_hole()
        heard.append(await _busy(person))
        for one in heard:
            assert one.is_as_fast_as(usual), (one, usual)
        for code, seconds in await two.stop():
            assert code == 0
            assert seconds < CLOSE_SECONDS + DRAIN_SECONDS
        for member in two.members:
            assert len(member.lines("traces.away")) == 1


async def _busy(person: Person) -> Heard:
    """An answer while many others make spans."""
    async with asyncio.TaskGroup() as group:
        group.create_task(crowd(person, 10))
        return await listen(person, QUESTION)
