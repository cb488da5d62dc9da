"""A run's trace. Every id in it is derived from the run, so that no process has to be told of another's spans.

::

    accept                      a message comes in, until it is stored         (gateway; the root)
    ├── queue                   from the queue to a worker's claim             (worker, one per attempt that was queued)
    ├── attempt                 from the claim until the worker is done with it (worker, one per claim)
    │   ├── model               a model's call, with its first text            (one per model that was called)
    │   └── commit              the end is made durable
    └── deliver                 from the first that was heard to the end       (one per gateway with readers)

An attempt behind another (a takeover, or a run that was given back) links to the one before. Spans hold ids, names
and codes, never what people or models wrote.
"""

from collections.abc import Mapping
from enum import StrEnum
from hashlib import blake2b
from typing import Final
from uuid import UUID

import msgspec

from prosa.core.relay import Row
from prosa.core.run import End

Value = str | int


class SpanName(StrEnum):
    """What a span is of."""

    ACCEPT = "accept"
    QUEUE = "queue"
    ATTEMPT = "attempt"
    MODEL = "model"
    COMMIT = "commit"
    DELIVER = "deliver"


IN_ATTEMPT: Final = frozenset({SpanName.MODEL, SpanName.COMMIT})
"""Children of their attempt; all others are children of the root."""


class Span(msgspec.Struct, frozen=True, kw_only=True):
    """A piece of a run's life that is over. Times are Unix seconds.

    ``place`` tells apart the spans of one name and attempt: the gateway that delivers, the model that is called.
    ``events`` are moments within it; ``code`` is that of a failure.
    """

    run: UUID
    name: SpanName
    begun: float
    ended: float
    attempt: int = 0
    place: str = ""
    attributes: Mapping[str, Value] = {}
    events: Mapping[str, float] = {}
    code: str = ""

    @property
    def trace(self) -> bytes:
        """The 16 bytes of the trace's id."""
        return self.run.bytes

    @property
    def id(self) -> bytes:
        return span_id(self.run, self.name, self.attempt, self.place)

    @property
    def parent(self) -> bytes | None:
        """The id of the span that this one is a part of; None for the root."""
        if self.name is SpanName.ACCEPT:
            return None
        if self.name in IN_ATTEMPT:
            return span_id(self.run, SpanName.ATTEMPT, self.attempt)
        return span_id(self.run, SpanName.ACCEPT)

    @property
    def before(self) -> bytes | None:
        """The id of the attempt before this one, where there was one."""
        if self.name is not SpanName.ATTEMPT or self.attempt < 2:
            return None
        return span_id(self.run, SpanName.ATTEMPT, self.attempt - 1)


def span_id(run: UUID, name: SpanName, attempt: int = 0, place: str = "") -> bytes:
    """8 bytes that any process finds for the same span."""
    return blake2b(f"{name}/{attempt}/{place}".encode(), digest_size=8, key=run.bytes).digest()


def trace_id(run: UUID) -> str:
    """As people look a trace up: 32 hex digits."""
    return run.hex


def described(row: Row) -> dict[str, Value]:
    """What every span says of its run."""
    return {"run": str(row.run), "chat": str(row.chat), "user": str(row.user), "model": row.model, "pool": row.pool}


def outcome(end: End) -> dict[str, Value]:
    """How a run ended."""
    said: dict[str, Value] = {"state": end.state.value}
    if end.finish is not None:
        said["finish"] = end.finish.value
    if end.failure is not None:
        said["code"] = end.failure.code
    return said
