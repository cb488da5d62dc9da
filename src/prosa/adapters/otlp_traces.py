"""Traces to a receiver of OTLP over HTTP: Jaeger, Tempo, a collector of OpenTelemetry.

Spans wait in a bounded line for a thread of their own, which is the only one that ever waits for the receiver: one
that hangs, is slow or is gone costs spans, which are counted, and nothing else. The messages are made by hand, byte by
byte: OpenTelemetry's SDK would want ids of its own, and the classes of its definitions cost several times the CPU.
"""

import asyncio
import threading
from collections import deque
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, closing
from functools import lru_cache
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from typing import Final
from urllib.parse import urlsplit
from uuid import UUID

import msgspec
import structlog

from prosa.core.trace import Span, SpanName, Value
from prosa.ports import Metrics

log = structlog.get_logger()

WAITING_SPANS: Final = 10_000
"""About 15 MB. The newest are dropped: those before them belong to traces that are partly sent."""
BATCH_SPANS: Final = 200
"""In one request: making it takes 2 ms, less than Python lets one thread keep another from its turn."""
FLUSH_SECONDS: Final = 1.0
SEND_SECONDS: Final = 2.0
"""How long the receiver may take to be reached, and then for each step of an answer."""
TRIES: Final = 3
CLOSE_SECONDS: Final = 2.0
"""What the last spans may take of a process's end."""
SPANS: Final = 200
"""In a second: some 20 µs of CPU each."""
OF_RUNS: Final = 2**32
"""The last bits of a run's id are random; those before them count."""
PATH: Final = "/v1/traces"
NANOSECONDS: Final = 1_000_000_000
BUSY: Final = frozenset({429, 502, 503, 504})
"""Answers after which OTLP asks to try again."""

KIND: Final[Mapping[SpanName, bytes]] = {
    SpanName.ACCEPT: b"\x30\x02",
    SpanName.ATTEMPT: b"\x30\x05",
    SpanName.MODEL: b"\x30\x03",
}
"""A span's field ``kind``: server, consumer, client."""
INTERNAL: Final = b"\x30\x01"
FAILED: Final = b"\x18\x02"
"""A status' field ``code``: error."""
UNSIGNED: Final = 2**64 - 1
PAIRS_KEPT: Final = 4096


class Receiver(msgspec.Struct, frozen=True):
    """Where spans go: ``endpoint`` is the receiver's address, with or without its path ``/v1/traces``."""

    endpoint: str
    headers: Mapping[str, str] = {}

    @property
    def path(self) -> str:
        path = urlsplit(self.endpoint).path.rstrip("/")
        return path if path.endswith(PATH) else path + PATH

    def connection(self) -> HTTPConnection:
        parts = urlsplit(self.endpoint)
        kind = HTTPSConnection if parts.scheme == "https" else HTTPConnection
        return kind(parts.hostname or "", parts.port, timeout=SEND_SECONDS)


class Refused(Exception):
    """The receiver answers, and does not take spans. ``final``: nor would it later."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(f"it answered {status} {reason}")
        self.final = status not in BUSY


class Share:
    """Which runs are traced: all, while no more than ``most`` spans are asked for in a round; else a share of them.

    A run is in a share by the random end of its id, and so in every larger share as well: processes that have different
    ones keep the same runs, as far as the smaller goes. (OpenTelemetry calls that consistent probability sampling.)
    """

    def __init__(self, most: float) -> None:
        self._most = most
        self._asked = 0
        self._limit = OF_RUNS

    def holds(self, run: UUID) -> bool:
        self._asked += 1
        return run.int & (OF_RUNS - 1) < self._limit

    def next(self) -> float:
        """Begin a round with the share that would have fitted the last one, and tell it: 1 for all runs."""
        asked, self._asked = self._asked, 0
        share = min(self._most / asked, 1.0) if asked else 1.0
        self._limit = int(share * OF_RUNS)
        return share


class OtlpTraces:
    """``resource`` says of which process the spans are; ``spans`` is how many a second it may cost (see Share)."""

    def __init__(
        self, receiver: Receiver, metrics: Metrics, resource: Mapping[str, str], *, spans: int, flush_seconds: float
    ) -> None:
        self._share = Share(spans * flush_seconds)
        self._receiver = receiver
        self._metrics = metrics
        self._resource = resource
        self._flush_seconds = flush_seconds
        self._waiting: deque[Span] = deque()
        self._ending = threading.Event()
        self._away = False
        # A daemon: a receiver that hangs must not keep a process from its end.
        self._sender = threading.Thread(target=self._send, name="traces", daemon=True)
        self._sender.start()

    def wants(self, run: UUID, *, telling: bool = False) -> bool:
        return self._share.holds(run) or telling

    def add(self, span: Span) -> None:
        if len(self._waiting) >= WAITING_SPANS:
            self._dropped(1)
        else:
            self._waiting.append(span)

    async def close(self) -> None:
        """Send what waits, within CLOSE_SECONDS."""
        self._ending.set()
        await asyncio.to_thread(self._sender.join, CLOSE_SECONDS)
        if self._sender.is_alive():
            log.warning("traces.left", spans=len(self._waiting), way="The receiver took too long; Prosa ends without.")

    # ── in the thread ────────────────────────────────────────────────────────────────────────────────────────

    def _send(self) -> None:
        while not self._ending.wait(self._flush_seconds):
            self._metrics.gauge("traces_share", self._share.next())
            self._flush()
        self._flush()

    def _flush(self) -> None:
        """Send all that waits, in few requests over one connection."""
        while batch := self._take():
            try:
                sent = self._sent(encoded(batch, self._resource))
            except Exception:
                log.exception("traces.broke", spans=len(batch))
                sent = False
            if not sent:
                self._dropped(len(batch))

    def _take(self) -> list[Span]:
        return [self._waiting.popleft() for _ in range(min(BATCH_SPANS, len(self._waiting)))]

    def _sent(self, body: bytes) -> bool:
        for tries in range(TRIES):
            try:
                post(self._receiver, body)
            except (OSError, HTTPException, Refused) as error:
                self._failed(error)
                final = isinstance(error, Refused) and error.final
                if final or self._ending.wait(self._flush_seconds * 2**tries):
                    return False
            else:
                self._worked()
                return True
        return False

    def _failed(self, error: Exception) -> None:
        if not self._away:
            self._away = True
            way = "Spans are dropped while it is so (traces_dropped_total); answers do not wait for it."
            log.warning("traces.away", endpoint=self._receiver.endpoint, error=_said(error), way=way)

    def _worked(self) -> None:
        if self._away:
            self._away = False
            log.info("traces.back", endpoint=self._receiver.endpoint)

    def _dropped(self, spans: int) -> None:
        self._metrics.count("traces_dropped_total", spans)


@asynccontextmanager
async def open_otlp(
    receiver: Receiver,
    metrics: Metrics,
    resource: Mapping[str, str],
    *,
    spans: int = SPANS,
    flush_seconds: float = FLUSH_SECONDS,
) -> AsyncIterator[OtlpTraces]:
    """Nothing is sent before there is a span."""
    traces = OtlpTraces(receiver, metrics, resource, spans=spans, flush_seconds=flush_seconds)
    try:
        yield traces
    finally:
        await traces.close()


async def check(receiver: Receiver) -> str:
    """One sentence of how the receiver does, for ``prosa doctor``. Raises OSError where it is away."""
    body = encoded((), {})
    try:
        await asyncio.to_thread(post, receiver, body)
    except (OSError, HTTPException, Refused) as error:
        way = "Answers do not wait for it; traces are lost until it is there. Start it, or correct PROSA_OTLP_ENDPOINT."
        raise OSError(f"The receiver of traces at {receiver.endpoint} takes none: {_said(error)}. {way}") from error
    return f"The receiver at {receiver.endpoint} takes traces."


def post(receiver: Receiver, body: bytes) -> None:
    """Hand one request over. Raises OSError, HTTPException and Refused."""
    headers = {"Content-Type": "application/x-protobuf", **receiver.headers}
    with closing(receiver.connection()) as connection:
        connection.request("POST", receiver.path, body, headers)
        answer = connection.getresponse()
        if answer.status >= 300:
            raise Refused(answer.status, answer.reason)


def _said(error: Exception) -> str:
    return str(error) or f"no answer in {SEND_SECONDS:.0f} s"


def encoded(spans: Sequence[Span], resource: Mapping[str, str]) -> bytes:
    """One ExportTraceServiceRequest of OTLP 1. Attributes of spans get the prefix ``prosa.``."""
    if not spans:
        return b""
    of = b"".join(_pair(b"\x0a", key, value) for key, value in resource.items())
    scope = _field(b"\x0a", _text(b"\x0a", "prosa"))
    group = _field(b"\x0a", of) + _field(b"\x12", scope + b"".join(_field(b"\x12", _span(span)) for span in spans))
    return _field(b"\x0a", group)


# ── protocol buffers: a field is its tag (number and type in one byte, below 16), its length, its content ──


def _span(span: Span) -> bytes:
    """A Span. Its fields are in the order of their numbers."""
    parts = [_field(b"\x0a", span.trace), _field(b"\x12", span.id)]
    if span.parent is not None:
        parts.append(_field(b"\x22", span.parent))
    times = _moment(b"\x39", span.begun) + _moment(b"\x41", max(span.ended, span.begun))
    parts += [_text(b"\x2a", span.name.value), KIND.get(span.name, INTERNAL), times]
    parts += [_pair(b"\x4a", f"prosa.{key}", value) for key, value in span.attributes.items()]
    for name, moment in span.events.items():
        parts.append(_field(b"\x5a", _moment(b"\x09", moment) + _text(b"\x12", name)))
    if span.before is not None:
        parts.append(_field(b"\x6a", _field(b"\x0a", span.trace) + _field(b"\x12", span.before)))
    if span.code:
        parts.append(_field(b"\x7a", _text(b"\x12", span.code) + FAILED))
    return b"".join(parts)


@lru_cache(PAIRS_KEPT)
def _pair(tag: bytes, key: str, value: Value) -> bytes:
    """A KeyValue. The spans of a run say the same of it, and all say whose they are."""
    held = _text(b"\x0a", value) if isinstance(value, str) else b"\x18" + _varint(value & UNSIGNED)
    return _field(tag, _text(b"\x0a", key) + _field(b"\x12", held))


def _text(tag: bytes, text: str) -> bytes:
    # Half of a surrogate pair cannot be sent; whoever reads traces can do without it.
    return _field(tag, text.encode("utf-8", "replace"))


def _field(tag: bytes, content: bytes) -> bytes:
    return tag + _varint(len(content)) + content


def _moment(tag: bytes, seconds: float) -> bytes:
    """Nanoseconds in 8 bytes."""
    return tag + int(seconds * NANOSECONDS).to_bytes(8, "little")


def _varint(number: int) -> bytes:
    """Seven bits a byte, the lowest first; all but the last have the eighth set."""
    if number < 0x80:
        return number.to_bytes(1, "little")
    found = bytearray()
    while number >= 0x80:
        found.append(number & 0x7F | 0x80)
        number >>= 7
    found.append(number)
    return bytes(found)
