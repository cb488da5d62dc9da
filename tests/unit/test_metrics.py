"""Metrics: what is counted is exposed, and a wrong name never hurts its caller."""

from prosa.adapters.metrics import METRICS, Kind, Metric, NullMetrics, PrometheusMetrics
from tools import metrics_md


def first(kind: Kind, *, labelled: bool) -> Metric:
    return next(metric for metric in METRICS if metric.kind is kind and bool(metric.labels) is labelled)


def line(metrics: PrometheusMetrics, start: str) -> str:
    rows = metrics.exposition().decode().splitlines()
    return next((row for row in rows if row.startswith(f"prosa_{start}")), "")


def test_what_is_counted_and_observed_is_exposed_under_our_prefix() -> None:
    metrics = PrometheusMetrics()
    count, seconds, gauge = (first(kind, labelled=False) for kind in (Kind.COUNT, Kind.OBSERVE, Kind.GAUGE))
    metrics.count(count.name)
    metrics.count(count.name, 2)
    metrics.observe(seconds.name, 0.3)
    metrics.gauge(gauge.name, 7)
    assert line(metrics, count.name) == f"prosa_{count.name} 3.0"
    assert line(metrics, f"{seconds.name}_count") == f"prosa_{seconds.name}_count 1.0"
    assert line(metrics, gauge.name) == f"prosa_{gauge.name} 7.0"


def test_labels_tell_apart() -> None:
    metrics = PrometheusMetrics()
    metric = first(Kind.COUNT, labelled=True)
    metrics.count(metric.name, 1, **dict.fromkeys(metric.labels, "a"))
    assert line(metrics, f"{metric.name}{{").endswith('="a"} 1.0')


def test_a_name_or_label_that_is_not_declared_is_counted_and_hurts_nobody() -> None:
    metrics = PrometheusMetrics()
    metric = first(Kind.COUNT, labelled=True)
    metrics.count("no_such_total")
    metrics.observe(metric.name, 1.0)
    metrics.gauge("no_such_total", 1.0)
    metrics.count(metric.name, colour="red")
    metrics.count(first(Kind.COUNT, labelled=False).name, -1)
    assert line(metrics, 'undeclared_total{metric="no_such_total"}').endswith(" 2.0")
    assert line(metrics, f'undeclared_total{{metric="{metric.name}"}}').endswith(" 2.0")


def test_two_processes_in_one_do_not_share_their_counts() -> None:
    one, other = PrometheusMetrics(), PrometheusMetrics()
    name = first(Kind.COUNT, labelled=False).name
    one.count(name)
    assert line(other, name) == f"prosa_{name} 0.0"


def test_nobody_measures_nothing() -> None:
    metrics = NullMetrics()
    metrics.count("anything")
    metrics.observe("anything", 1.0)
    metrics.gauge("anything", 1.0)
    assert metrics.exposition() == b""


def test_the_committed_page_of_metrics_is_made_from_the_table() -> None:
    assert metrics_md.OUTPUT.read_text("utf-8") == metrics_md.generate(), "Run: python -m tools.metrics_md"


def test_what_must_be_seen_at_its_first_time_is_there_before_it() -> None:
    """A rate sees an increase, and a series that begins with 1 has none."""
    metrics = PrometheusMetrics()
    assert line(metrics, 'store_errors_total{code="storage_full"}').endswith(" 0.0")
    assert line(metrics, 'dead_letters_total{reason="unreadable"}').endswith(" 0.0")
    assert line(metrics, 'refused_total{code="overloaded"}').endswith(" 0.0")
    assert line(metrics, "undeclared_total{") == ""


def test_the_process_itself_is_measured() -> None:
    text = PrometheusMetrics().exposition().decode()
    assert "process_cpu_seconds_total " in text
    assert "process_resident_memory_bytes " in text
