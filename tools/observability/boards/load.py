"""What to watch while `prosa bench` runs: throughput, and which resource is used up first."""

from typing import Final

from tools.observability.panels import WINDOW, Board, Panel, Query, Row, mean, quantile, rate, spread

LOAD: Final = Board(
    uid="prosa-load",
    title="Prosa: load test",
    description="Throughput and latency beside what they cost. The machine's part needs node_exporter.",
    rows=(
        Row(
            "Throughput",
            (
                Panel(
                    title="Answers",
                    description="Messages accepted and runs ended, a second.",
                    unit="reqps",
                    width=8,
                    queries=(
                        Query(rate("prosa_accepted_total"), "accepted"),
                        Query(rate("prosa_runs_ended_total"), "ended"),
                    ),
                ),
                Panel(
                    title="Frames",
                    description="WebSocket frames of clients a second, in and out.",
                    unit="cps",
                    width=8,
                    queries=(Query(rate("prosa_socket_frames_total", "direction"), "{{direction}}"),),
                ),
                Panel(
                    title="Bytes",
                    description="Bytes of those frames a second.",
                    unit="Bps",
                    width=8,
                    queries=(Query(rate("prosa_socket_bytes_total", "direction"), "{{direction}}"),),
                ),
                Panel(
                    title="Sockets",
                    description="Open client sockets, and those whose last send has not ended for over a second.",
                    unit="short",
                    width=8,
                    queries=(
                        Query("sum(prosa_sockets)", "open"),
                        Query("sum(prosa_slow_sockets)", "slow"),
                    ),
                ),
                Panel(
                    title="Merged deltas",
                    description="Deltas that a slow reader got as part of a later one, and sockets that fell too far "
                    "behind, a second.",
                    unit="cps",
                    width=8,
                    queries=(
                        Query(rate("prosa_merged_deltas_total"), "merged"),
                        Query(rate("prosa_slow_readers_total"), "sockets"),
                    ),
                ),
                Panel(
                    title="Events in a frame",
                    description="Events in one frame from a worker to a gateway, on average: more under load.",
                    unit="short",
                    width=8,
                    queries=(Query(mean("prosa_frame_events"), "events"),),
                ),
            ),
        ),
        Row(
            "Latency",
            (
                Panel(
                    title="Acknowledged",
                    description="From a message's frame or request to the stored message.",
                    unit="s",
                    width=8,
                    queries=spread("prosa_accept_seconds"),
                ),
                Panel(
                    title="First words",
                    description="From being queued to the first text of the answer.",
                    unit="s",
                    width=8,
                    queries=spread("prosa_first_token_seconds"),
                ),
                Panel(
                    title="HTTP",
                    description="95 of 100 requests are quicker, by route.",
                    unit="s",
                    width=8,
                    queries=(Query(quantile(0.95, "prosa_http_seconds", "route"), "{{route}}"),),
                ),
            ),
        ),
        Row(
            "What it costs",
            (
                Panel(
                    title="CPU of our processes",
                    description="Cores used by each gateway and worker. One uses 1 at most.",
                    unit="short",
                    width=8,
                    queries=(Query(rate("process_cpu_seconds_total", "instance", 'job=~"prosa-.*"'), "{{instance}}"),),
                ),
                Panel(
                    title="CPU of the machines",
                    description="The share of all cores that is not idle.",
                    unit="percentunit",
                    width=8,
                    queries=(
                        Query(
                            f'1 - avg by (instance) (rate(node_cpu_seconds_total{{mode="idle"}}[{WINDOW}]))',
                            "{{instance}}",
                        ),
                    ),
                ),
                Panel(
                    title="Disks",
                    description="Bytes written a second.",
                    unit="Bps",
                    width=8,
                    queries=(Query(rate("node_disk_written_bytes_total", "instance, device"), "{{device}}"),),
                ),
                Panel(
                    title="Lag of the event loops",
                    description="One time in a hundred a task was woken so late or later, by job.",
                    unit="s",
                    queries=(Query(quantile(0.99, "prosa_loop_lag_seconds", "job"), "{{job}}"),),
                ),
                Panel(
                    title="Calls of the database for one answer",
                    description="All calls divided by the runs that ended.",
                    unit="short",
                    queries=(
                        Query(f"{rate('prosa_store_seconds_count')} / {rate('prosa_runs_ended_total')}", "calls"),
                    ),
                ),
            ),
        ),
    ),
)
