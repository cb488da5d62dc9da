"""The broker, as RabbitMQ's own plugin and our processes see it."""

from typing import Final

from tools.observability.panels import Board, Panel, Query, Row, Step, rate, spread

DETAILED: Final = "rabbitmq_detailed_queue"

RABBITMQ: Final = Board(
    uid="prosa-rabbitmq",
    title="Prosa: RabbitMQ",
    description="Jobs and mail. Nothing is delivered over the broker alone: what it loses comes late, by the database.",
    rows=(
        Row(
            "As our processes see it",
            (
                Panel(
                    title="Connected",
                    description="Processes with a connection to the broker, and without one.",
                    unit="short",
                    width=8,
                    queries=(
                        Query("sum(prosa_bus_connected)", "connected"),
                        Query("count(prosa_bus_connected) - sum(prosa_bus_connected)", "not connected"),
                    ),
                ),
                Panel(
                    title="Published",
                    description="Messages that our processes sent to the broker a second, by channel.",
                    unit="cps",
                    width=8,
                    queries=(Query(rate("prosa_bus_published_total", "channel"), "{{channel}}"),),
                ),
                Panel(
                    title="Until a job is confirmed",
                    description="From publishing a job to the broker's word that it is safe.",
                    unit="s",
                    width=8,
                    queries=spread("prosa_bus_confirm_seconds"),
                ),
                Panel(
                    title="Dropped and unreadable",
                    description="Messages dropped because a bounded buffer was full, or skipped as unreadable. The "
                    "database makes up for both.",
                    unit="cps",
                    queries=(
                        Query(f"{rate('prosa_bus_dropped_total')} or vector(0)", "dropped"),
                        Query(rate("prosa_bus_unreadable_total"), "unreadable"),
                    ),
                ),
                Panel(
                    title="Jobs rejected to the dead letters",
                    description="By reason, as the workers count them.",
                    unit="cps",
                    queries=(Query(rate("prosa_dead_letters_total", "reason"), "{{reason}}"),),
                ),
            ),
        ),
        Row(
            "Queues",
            (
                Panel(
                    title="Jobs in the queues",
                    description="Questions that wait for a worker or are with one, by queue.",
                    unit="short",
                    width=8,
                    queries=(
                        Query(
                            f'sum by (queue) ({DETAILED}_messages_ready{{queue=~"prosa.jobs.*"}})', "{{queue}} ready"
                        ),
                        Query(
                            f'sum by (queue) ({DETAILED}_messages_unacked{{queue=~"prosa.jobs.*"}})',
                            "{{queue}} with a worker",
                        ),
                    ),
                ),
                Panel(
                    title="Consumers",
                    description="Workers that take from each queue of jobs. A queue without one is served by nobody.",
                    unit="short",
                    width=8,
                    queries=(Query(f'sum by (queue) ({DETAILED}_consumers{{queue=~"prosa.jobs.*"}})', "{{queue}}"),),
                ),
                Panel(
                    title="Dead letters",
                    description="`prosa dead list` shows them.",
                    unit="short",
                    width=8,
                    steps=(Step(None, "green"), Step(1, "red")),
                    queries=(Query(f'sum({DETAILED}_messages{{queue="prosa.dead.v1"}})', "dead letters"),),
                ),
            ),
        ),
        Row(
            "The node",
            (
                Panel(
                    title="Messages",
                    description="Messages that RabbitMQ received, delivered and got acknowledged, a second.",
                    unit="cps",
                    queries=(
                        Query(rate("rabbitmq_global_messages_received_total"), "received"),
                        Query(rate("rabbitmq_global_messages_delivered_total"), "delivered"),
                        Query(rate("rabbitmq_global_messages_acknowledged_total"), "acknowledged"),
                        Query(rate("rabbitmq_global_messages_redelivered_total"), "delivered again"),
                    ),
                ),
                Panel(
                    title="Connections, channels, queues",
                    description="Each of our processes has two connections and an inbox.",
                    unit="short",
                    queries=(
                        Query("sum(rabbitmq_connections)", "connections"),
                        Query("sum(rabbitmq_channels)", "channels"),
                        Query("sum(rabbitmq_queues)", "queues"),
                    ),
                ),
                Panel(
                    title="Memory",
                    description="Resident memory of each node, and where it stops publishers.",
                    unit="bytes",
                    width=8,
                    queries=(
                        Query("sum by (instance) (rabbitmq_process_resident_memory_bytes)", "{{instance}}"),
                        Query("sum by (instance) (rabbitmq_resident_memory_limit_bytes)", "{{instance}} limit"),
                    ),
                ),
                Panel(
                    title="Disk",
                    description="What is left for each node, and where it stops publishers.",
                    unit="bytes",
                    width=8,
                    queries=(
                        Query("min by (instance) (rabbitmq_disk_space_available_bytes)", "{{instance}}"),
                        Query("min by (instance) (rabbitmq_disk_space_available_limit_bytes)", "{{instance}} limit"),
                    ),
                ),
                Panel(
                    title="Alarms",
                    description="1: the node has stopped reading from publishers, for want of memory or disk.",
                    unit="short",
                    width=8,
                    steps=(Step(None, "green"), Step(1, "red")),
                    queries=(
                        Query("max by (instance) (rabbitmq_alarms_memory_used_watermark)", "{{instance}} memory"),
                        Query("max by (instance) (rabbitmq_alarms_free_disk_space_watermark)", "{{instance}} disk"),
                    ),
                ),
            ),
        ),
    ),
)
