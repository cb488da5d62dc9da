"""Workers, their slots, and what happens when one is lost."""

from typing import Final

from tools.observability.panels import Board, Panel, Query, Row, Step, quantile, rate

WORKERS: Final = Board(
    uid="prosa-workers",
    title="Prosa: workers, slots and takeovers",
    description="Whether there are enough of them, and whether they hold what they have claimed.",
    rows=(
        Row(
            "Capacity",
            (
                Panel(
                    title="Workers",
                    description="Workers that the database knows, by state.",
                    unit="short",
                    queries=(Query("max by (state) (prosa_workers)", "{{state}}"),),
                ),
                Panel(
                    title="Slots in use",
                    description="The share of a pool's slots that hold a run. At 100 % the next one waits.",
                    unit="percentunit",
                    steps=(Step(None, "green"), Step(0.95, "red")),
                    queries=(Query("sum by (pool) (prosa_slots_used) / sum by (pool) (prosa_slots)", "{{pool}}"),),
                ),
                Panel(
                    title="Slots",
                    description="Slots of each pool, and those that hold a run.",
                    unit="short",
                    queries=(
                        Query("sum by (pool) (prosa_slots)", "{{pool}}"),
                        Query("sum by (pool) (prosa_slots_used)", "{{pool}} in use"),
                    ),
                ),
                Panel(
                    title="Runs held by each worker",
                    description="How evenly work is spread.",
                    unit="short",
                    kind="areas",
                    queries=(Query('sum by (instance) (prosa_slots_used{job="prosa-worker"})', "{{instance}}"),),
                ),
                Panel(
                    title="Claims",
                    description="Runs claimed a second: a first attempt, or again after a worker was lost.",
                    unit="reqps",
                    queries=(Query(rate("prosa_claims_total", "kind"), "{{kind}}"),),
                ),
                Panel(
                    title="Wait in the queue by pool",
                    description="95 of 100 first claims come sooner.",
                    unit="s",
                    queries=(Query(quantile(0.95, "prosa_queue_seconds", "pool"), "{{pool}}"),),
                ),
            ),
        ),
        Row(
            "Losing and taking over",
            (
                Panel(
                    title="Takeovers and fenced writes",
                    description="Runs taken over from lost workers, and writes of workers that had lost their claim.",
                    unit="reqps",
                    queries=(
                        Query(rate("prosa_takeovers_total"), "taken over"),
                        Query(rate("prosa_fenced_total"), "fenced"),
                    ),
                ),
                Panel(
                    title="Dispatched again, expired",
                    description="Queued runs whose job was lost and sent again, and runs past their deadline.",
                    unit="reqps",
                    queries=(
                        Query(rate("prosa_dispatched_again_total"), "dispatched again"),
                        Query(rate("prosa_expired_total"), "expired"),
                    ),
                ),
                Panel(
                    title="Margin of the leases",
                    description="How long each worker's lease (3 s) would still have held when its latest heartbeat "
                    "was stored. Near 0 its runs are taken over.",
                    unit="s",
                    queries=(
                        Query('min by (instance) (prosa_lease_margin_seconds{job="prosa-worker"})', "{{instance}}"),
                    ),
                ),
                Panel(
                    title="Lag of the workers' event loops",
                    description="One time in a hundred a task was woken so late or later.",
                    unit="s",
                    queries=(
                        Query(
                            quantile(0.99, "prosa_loop_lag_seconds", "instance", 'job="prosa-worker"'), "{{instance}}"
                        ),
                    ),
                ),
            ),
        ),
    ),
)
