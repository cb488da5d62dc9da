"""Metrics for Prometheus, every one declared in the table below, and metrics for nobody."""

from enum import Enum
from typing import Final, TypeVar, assert_never

import msgspec
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

PREFIX: Final = "prosa_"
CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
SECONDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 900.0)
COUNTS: Final = (1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0)


M = TypeVar("M", Counter, Gauge, Histogram)


class Kind(Enum):
    """Which of the port's methods a metric is for."""

    COUNT = "count"
    OBSERVE = "observe"
    GAUGE = "gauge"


class Metric(msgspec.Struct, frozen=True):
    """One line of the table. The name of a count ends in ``_total``."""

    kind: Kind
    name: str
    help: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = SECONDS


METRICS: Final = (
    Metric(Kind.COUNT, "accepted_total", "Messages accepted, each stored with its run.", ("model",)),
    Metric(Kind.COUNT, "refused_total", "Requests refused, by the error's code.", ("code",)),
    Metric(Kind.COUNT, "claims_total", "Claims by this worker: of a run's first attempt, or again.", ("kind",)),
    Metric(
        Kind.COUNT, "runs_ended_total", "Runs that this worker ended, by state and failure code.", ("state", "code")
    ),
    Metric(Kind.COUNT, "takeovers_total", "Runs taken over from a worker that was lost."),
    Metric(Kind.COUNT, "fenced_total", "Writes that changed no row because the claim was no longer this worker's."),
    Metric(Kind.COUNT, "dispatched_again_total", "Queued runs that a sweep dispatched again."),
    Metric(Kind.COUNT, "expired_total", "Runs that a sweep failed past their deadline."),
    Metric(Kind.COUNT, "reply_characters_total", "Characters of the replies that ended here.", ("model",)),
    Metric(Kind.COUNT, "prompt_tokens_total", "Tokens of prompts, as the engines count them.", ("model",)),
    Metric(Kind.COUNT, "completion_tokens_total", "Tokens of stored replies, as the engines count them.", ("model",)),
    Metric(Kind.COUNT, "engine_errors_total", "Failures of model engines, by the error's code.", ("model", "code")),
    Metric(Kind.COUNT, "bus_published_total", "Messages that this process sent to the broker.", ("channel",)),
    Metric(Kind.COUNT, "bus_dropped_total", "Messages dropped because a bounded buffer was full.", ("channel",)),
    Metric(Kind.COUNT, "bus_unreadable_total", "Bus messages or events skipped because they could not be read."),
    Metric(Kind.COUNT, "socket_closes_total", "Client sockets closed by this gateway, by close code.", ("code",)),
    Metric(Kind.COUNT, "sign_ins_total", "Attempts to sign in, by outcome.", ("outcome",)),
    Metric(Kind.COUNT, "undeclared_total", "Calls with a name or labels that this table does not have.", ("metric",)),
    Metric(Kind.GAUGE, "sockets", "Client sockets open at this gateway."),
    Metric(Kind.GAUGE, "watched_runs", "Runs that this gateway follows for its clients."),
    Metric(Kind.GAUGE, "runs", "Runs without an end, by state, as the store counts them.", ("state",)),
    Metric(Kind.GAUGE, "slots", "Runs that this worker may hold at once."),
    Metric(Kind.GAUGE, "slots_used", "Runs that this worker holds."),
    Metric(Kind.OBSERVE, "run_seconds", "From the claim to the end of a run.", ("model",)),
    Metric(Kind.OBSERVE, "http_seconds", "Duration of HTTP requests, without streams.", ("route", "status")),
    Metric(Kind.OBSERVE, "frame_events", "Events in one frame to a gateway.", buckets=COUNTS),
)


class PrometheusMetrics:
    """The metrics of one process in a registry of its own, so that several can live in one process's tests."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._labels = {metric.name: frozenset(metric.labels) for metric in METRICS}
        self._metrics = {metric.name: _declared(metric, self.registry) for metric in METRICS}

    def count(self, name: str, amount: float = 1, **labels: str) -> None:
        counter = self._find(Counter, name, labels)
        if counter is not None:
            counter.inc(max(amount, 0))

    def observe(self, name: str, value: float, **labels: str) -> None:
        histogram = self._find(Histogram, name, labels)
        if histogram is not None:
            histogram.observe(value)

    def gauge(self, name: str, value: float, **labels: str) -> None:
        gauge = self._find(Gauge, name, labels)
        if gauge is not None:
            gauge.set(value)

    def exposition(self) -> bytes:
        """Everything in Prometheus' text format (``CONTENT_TYPE``)."""
        return generate_latest(self.registry)

    def _find(self, kind: type[M], name: str, labels: dict[str, str]) -> M | None:
        found = self._metrics.get(name)
        if not isinstance(found, kind) or labels.keys() != self._labels[name]:
            self.count("undeclared_total", metric=name)
            return None
        return found.labels(**labels) if labels else found


class NullMetrics:
    """For commands and tests that nobody measures."""

    def count(self, name: str, amount: float = 1, **labels: str) -> None: ...

    def observe(self, name: str, value: float, **labels: str) -> None: ...

    def gauge(self, name: str, value: float, **labels: str) -> None: ...


def _declared(metric: Metric, registry: CollectorRegistry) -> Counter | Gauge | Histogram:
    name = PREFIX + metric.name
    match metric.kind:
        case Kind.COUNT:
            return Counter(name, metric.help, metric.labels, registry=registry)
        case Kind.GAUGE:
            return Gauge(name, metric.help, metric.labels, registry=registry)
        case Kind.OBSERVE:
            return Histogram(name, metric.help, metric.labels, registry=registry, buckets=metric.buckets)
        case _:
            assert_never(metric.kind)
