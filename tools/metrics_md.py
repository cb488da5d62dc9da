"""Writes ``docs/metrics.md`` from the table in ``prosa.adapters.metrics``: ``python -m tools.metrics_md``."""

import sys
from pathlib import Path
from typing import Final

from prosa.adapters.metrics import METRICS, PREFIX, Kind, Metric

OUTPUT: Final = Path(__file__).parents[1] / "docs" / "metrics.md"
KINDS: Final = {Kind.COUNT: "counter", Kind.GAUGE: "gauge", Kind.OBSERVE: "histogram"}
HEAD: Final = """\
# Metrics

Every gateway, every worker and the embedded process answers `/metrics` for Prometheus: a gateway at its address or at
`metrics_port`, a worker at `probe_port`. [Operations](operations.md#metrics) says to whom. Names of what is counted end
in `_total`; times are in seconds, in histograms whose buckets are listed. `runs`, `oldest_run_seconds` and `workers`
tell of the whole deployment as the store knows it, and every gateway shows the same: take their `max`, never their sum.
`process_*` are the process's own: CPU, memory, open files.

This page is made from the code by `python -m tools.metrics_md`, and a test holds it to that.
"""


def generate() -> str:
    """The whole page."""
    return "\n".join([HEAD, *(_section(kind) for kind in Kind)])


def _section(kind: Kind) -> str:
    rows = [_row(metric) for metric in METRICS if metric.kind is kind]
    return "\n".join([f"## {KINDS[kind].capitalize()}s", "", *_head(kind), *rows, ""])


def _head(kind: Kind) -> tuple[str, str]:
    more = " buckets |" if kind is Kind.OBSERVE else ""
    return f"| metric | labels | meaning |{more}", f"|---|---|---|{'---|' if more else ''}"


def _row(metric: Metric) -> str:
    labels = ", ".join(f"`{name}`" for name in metric.labels)
    buckets = f" {', '.join(f'{bucket:g}' for bucket in metric.buckets)} |" if metric.kind is Kind.OBSERVE else ""
    return f"| `{PREFIX}{metric.name}` | {labels} | {metric.help} |{buckets}".replace("|  |", "| |")


def main() -> None:
    OUTPUT.write_text(generate(), encoding="utf-8")
    sys.stdout.write(f"{OUTPUT} is current.\n")


if __name__ == "__main__":
    main()
