"""Metrics for Prometheus, every one declared in the table below, and metrics for nobody."""

from bisect import bisect_left
from collections.abc import Iterator
from enum import Enum
from functools import lru_cache
from itertools import accumulate
from threading import Lock
from typing import Final

import msgspec
from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector

from prosa.core.errors import BusUnavailable, Overloaded, StorageFull, StoreUnavailable

PREFIX: Final = "prosa_"
SECONDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 900.0)
MOMENTS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
COUNTS: Final = (1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0)

UNAVAILABLE: Final = tuple(error.code for error in (StoreUnavailable, StorageFull, BusUnavailable, Overloaded))
Family = CounterMetricFamily | GaugeMetricFamily | HistogramMetricFamily


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
    begins: tuple[str, ...] = ()
    """Values of the only label that are there from the start: a rate does not see the first one of a series."""


METRICS: Final = (
    Metric(Kind.COUNT, "accepted_total", "Messages accepted, each stored with its run.", ("model",)),
    Metric(Kind.COUNT, "refused_total", "Requests refused, by the error's code.", ("code",), begins=UNAVAILABLE),
    Metric(Kind.COUNT, "claims_total", "Claims by this worker: of a run's first attempt, or again.", ("kind",)),
    Metric(
        Kind.COUNT,
        "runs_ended_total",
        "Runs that this process ended: how, why (finish, or a failure's code), of which model. Each once.",
        ("state", "finish", "code", "model"),
    ),
    Metric(Kind.COUNT, "takeovers_total", "Runs taken over from a worker that was lost."),
    Metric(Kind.COUNT, "fenced_total", "Writes that changed no row because the claim was no longer this worker's."),
    Metric(Kind.COUNT, "dispatched_again_total", "Queued runs that a sweep dispatched again."),
    Metric(Kind.COUNT, "expired_total", "Runs that a sweep failed past their deadline."),
    Metric(Kind.COUNT, "reply_characters_total", "Characters of the replies that ended here.", ("model",)),
    Metric(Kind.COUNT, "prompt_tokens_total", "Tokens of prompts, as the engines count them.", ("model",)),
    Metric(Kind.COUNT, "completion_tokens_total", "Tokens of stored replies, as the engines count them.", ("model",)),
    Metric(
        Kind.COUNT, "engine_calls_total", "Calls of models, by outcome: ok, stopped, or a code.", ("model", "outcome")
    ),
    Metric(Kind.COUNT, "engine_errors_total", "Failures of model engines, by the error's code.", ("model", "code")),
    Metric(Kind.COUNT, "bus_published_total", "Messages that this process sent to the broker.", ("channel",)),
    Metric(Kind.COUNT, "bus_dropped_total", "Messages dropped because a bounded buffer was full.", ("channel",)),
    Metric(Kind.COUNT, "bus_unreadable_total", "Bus messages or events skipped because they could not be read."),
    Metric(
        Kind.COUNT,
        "dead_letters_total",
        "Jobs that this process put to the dead letters.",
        ("reason",),
        begins=("rejected", "unreadable"),
    ),
    Metric(
        Kind.COUNT,
        "store_errors_total",
        "Store calls that failed: it was away, or full.",
        ("code",),
        begins=UNAVAILABLE[:2],
    ),
    Metric(Kind.COUNT, "socket_closes_total", "Client sockets closed by this gateway, by close code.", ("code",)),
    Metric(Kind.COUNT, "socket_frames_total", "Frames over client sockets, in and out.", ("direction",)),
    Metric(Kind.COUNT, "socket_bytes_total", "Bytes of those frames.", ("direction",)),
    Metric(Kind.COUNT, "merged_deltas_total", "Deltas that became part of a later one while a reader was slow."),
    Metric(Kind.COUNT, "slow_readers_total", "Times that a reader kept a frame waiting for over a second."),
    Metric(Kind.COUNT, "sign_ins_total", "Attempts to sign in, by outcome.", ("outcome",)),
    Metric(Kind.COUNT, "traces_dropped_total", "Spans that the receiver of traces did not take in time."),
    Metric(Kind.COUNT, "log_lines_dropped_total", "Log lines that were dropped because nobody read them in time."),
    Metric(Kind.COUNT, "undeclared_total", "Calls with a name or labels that this table does not have.", ("metric",)),
    Metric(Kind.GAUGE, "traces_share", "Share of the runs whose spans are sent: 1 unless too many would come."),
    Metric(Kind.GAUGE, "sockets", "Client sockets open at this gateway."),
    Metric(Kind.GAUGE, "slow_sockets", "Client sockets whose reader keeps a frame waiting for over a second."),
    Metric(Kind.GAUGE, "watched_runs", "Runs that this gateway follows for its clients."),
    Metric(Kind.GAUGE, "runs", "Runs without an end, by state, as the store counts them.", ("state",)),
    Metric(
        Kind.GAUGE, "oldest_run_seconds", "How long the oldest run of a state is in it; 0 where none is.", ("state",)
    ),
    Metric(Kind.GAUGE, "workers", "Workers that the store knows: alive, draining or silent.", ("state",)),
    Metric(Kind.GAUGE, "slots", "Runs of a pool that this worker may hold at once.", ("pool",)),
    Metric(Kind.GAUGE, "slots_used", "Runs of a pool that this worker holds.", ("pool",)),
    Metric(Kind.GAUGE, "lease_margin_seconds", "What was left of this worker's lease at its latest stored heartbeat."),
    Metric(Kind.GAUGE, "bus_connected", "1 while the connections to the broker stand."),
    Metric(Kind.GAUGE, "store_connected", "1 after a store call that was answered, 0 after one that found it away."),
    Metric(Kind.GAUGE, "build_info", "Always 1; the labels tell what runs here.", ("version", "role")),
    Metric(Kind.OBSERVE, "first_token_seconds", "From being queued to the reply's first text.", ("model",)),
    Metric(Kind.OBSERVE, "queue_seconds", "From being queued to the first claim.", ("pool",)),
    Metric(Kind.OBSERVE, "run_seconds", "From the claim to the end of a run.", ("model",)),
    Metric(Kind.OBSERVE, "engine_first_seconds", "From the call of a model to its first piece.", ("model",)),
    Metric(Kind.OBSERVE, "store_seconds", "Transactions, by the port's method; a batch of calls is one.", ("call",)),
    Metric(Kind.OBSERVE, "bus_confirm_seconds", "From publishing a job to the broker's confirm."),
    Metric(Kind.OBSERVE, "loop_lag_seconds", "How late the event loop wakes who is due.", buckets=MOMENTS),
    Metric(Kind.OBSERVE, "accept_seconds", "From a message's arrival at the gateway to its being stored."),
    Metric(Kind.OBSERVE, "http_seconds", "Duration of HTTP requests, without streams.", ("route", "status")),
    Metric(Kind.OBSERVE, "frame_events", "Events in one frame to a gateway.", buckets=COUNTS),
)


class Value:
    """A count or a gauge."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value = 0.0


class Spread:
    """A histogram: how many values there were up to each bound and beyond the last, and their sum."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def buckets(self) -> list[tuple[str, float]]:
        """By their bounds, each with all below it."""
        return list(zip(_names(self.bounds), accumulate(self.counts), strict=True))


FAMILIES: Final = {
    Kind.COUNT: CounterMetricFamily,
    Kind.GAUGE: GaugeMetricFamily,
    Kind.OBSERVE: HistogramMetricFamily,
}


class PrometheusMetrics(Collector):
    """The metrics of one process in a registry of its own, so that several can live in one process's tests.

    Counted here and only shown by Prometheus' own library, whose counters cost three times as much: an answer counts
    twenty times. Any thread may call.
    """

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.registry.register(self)
        ProcessCollector(registry=self.registry)
        self._metrics = {metric.name: metric for metric in METRICS}
        self._series: dict[str, dict[tuple[str, ...], Value | Spread]] = {metric.name: {} for metric in METRICS}
        self._known: dict[tuple[object, ...], tuple[Kind, Value | Spread]] = {}
        self._lock = Lock()
        for metric in METRICS:
            if not metric.labels:
                self._find(metric.kind, metric.name, {})
            for value in metric.begins:
                self._find(metric.kind, metric.name, {metric.labels[0]: value})

    def count(self, name: str, amount: float = 1, **labels: str) -> None:
        found = self._find(Kind.COUNT, name, labels)
        if isinstance(found, Value) and amount > 0:
            with self._lock:
                found.value += amount

    def observe(self, name: str, value: float, **labels: str) -> None:
        found = self._find(Kind.OBSERVE, name, labels)
        if isinstance(found, Spread):
            with self._lock:
                found.counts[bisect_left(found.bounds, value)] += 1
                found.total += value

    def gauge(self, name: str, value: float, **labels: str) -> None:
        found = self._find(Kind.GAUGE, name, labels)
        if isinstance(found, Value):
            found.value = float(value)

    def exposition(self) -> bytes:
        """Everything in Prometheus' text format, version 0.0.4."""
        return generate_latest(self.registry)

    def collect(self) -> Iterator[Family]:
        """Every metric as it stands, for the registry."""
        for metric in METRICS:
            family = FAMILIES[metric.kind](PREFIX + metric.name, metric.help, labels=metric.labels)
            with self._lock:
                for labels, found in self._series[metric.name].items():
                    _add(family, labels, found)
            yield family

    def _find(self, kind: Kind, name: str, labels: dict[str, str]) -> Value | Spread | None:
        """Looked up once for each set of labels: checking and sorting them costs more than to count."""
        key = (name, *labels.items())
        found = self._known.get(key)
        if found is None:
            metric = self._metrics.get(name)
            if metric is not None and labels.keys() == set(metric.labels):
                found = self._known[key] = (metric.kind, self._begin(metric, labels))
        if found is not None and found[0] is kind:
            return found[1]
        self.count("undeclared_total", metric=name)
        return None

    def _begin(self, metric: Metric, labels: dict[str, str]) -> Value | Spread:
        """The series of these labels, whatever order they came in."""
        values = tuple(str(labels[name]) for name in metric.labels)
        with self._lock:
            new = Spread(metric.buckets) if metric.kind is Kind.OBSERVE else Value()
            return self._series[metric.name].setdefault(values, new)


class NullMetrics:
    """Where nothing is measured: by choice of the operator, in commands and in tests."""

    def count(self, name: str, amount: float = 1, **labels: str) -> None: ...

    def observe(self, name: str, value: float, **labels: str) -> None: ...

    def gauge(self, name: str, value: float, **labels: str) -> None: ...

    def exposition(self) -> bytes:
        """An empty page."""
        return b""


@lru_cache(64)
def _names(bounds: tuple[float, ...]) -> tuple[str, ...]:
    return (*map(str, bounds), "+Inf")


def _add(family: Family, labels: tuple[str, ...], found: Value | Spread) -> None:
    if isinstance(family, HistogramMetricFamily) and isinstance(found, Spread):
        family.add_metric(labels, found.buckets(), found.total)
    elif isinstance(family, CounterMetricFamily | GaugeMetricFamily) and isinstance(found, Value):
        family.add_metric(labels, found.value)
