"""What somebody is told of besides the objectives: causes that will be felt, and troubles that hide."""

from typing import Final

from tools.observability.rules import MINUTE, Alert, Group, Scale, Term

JOBS: Final = "prosa-gateway|prosa-worker|rabbitmq|postgres|node"
DEAD: Final = "prosa.dead.v1"
FAILED: Final = '{outcome!~"ok|stopped|prompt_too_long"}'
DISKS: Final = 'fstype!~"tmpfs|ramfs|squashfs|iso9660"'


def watching(scale: Scale) -> tuple[Group, ...]:
    return (
        Group("prosa-runs", 15, _runs(scale)),
        Group("prosa-processes", 15, _processes(scale)),
        Group("prosa-services", 15, (*_database(scale), *_broker(scale), *_disks(scale))),
    )


def _p(quantile: float, metric: str, by: str, window: str) -> str:
    labels = f"le, {by}" if by else "le"
    return f"histogram_quantile({quantile}, sum by ({labels}) (rate({metric}_bucket[{window}])))"


def _calls(labels: str, window: str) -> str:
    return f"sum by (model) (rate(prosa_engine_calls_total{labels}[{window}]))"


def _runs(scale: Scale) -> tuple[Alert, ...]:
    five, fifteen = scale.span(5 * MINUTE), scale.span(15 * MINUTE)
    calls = _calls("", fifteen)
    return (
        Alert(
            name="ProsaNoWorkers",
            severity="page",
            summary="No worker is alive",
            description="Nobody takes runs: whatever is queued waits, and fails with no_worker after start_seconds.",
            terms=(Term('max(prosa_workers{state="alive"})', "< 1"),),
            hold=30,
        ),
        Alert(
            name="ProsaQueueOld",
            severity="page",
            summary="A run waits in the queue for too long",
            description="The oldest queued run has waited for {{ $value | humanizeDuration }}. "
            "It fails with no_worker after start_seconds (600).",
            terms=(Term('max(prosa_oldest_run_seconds{state="queued"})', f"> {scale.seconds(MINUTE):g}"),),
        ),
        Alert(
            name="ProsaSlotsFull",
            severity="ticket",
            summary="All slots of a pool are in use",
            description="{{ $value | humanizePercentage }} of the slots of pool {{ $labels.pool }} are in use: "
            "the next ones will wait.",
            terms=(Term("sum by (pool) (prosa_slots_used) / sum by (pool) (prosa_slots)", "> 0.95"),),
            hold=15 * MINUTE,
        ),
        Alert(
            name="ProsaModelFailing",
            severity="ticket",
            summary="A model fails often",
            description="{{ $value | humanizePercentage }} of the calls of model {{ $labels.model }} failed. "
            "Where it has a fallback, people may not have noticed yet.",
            terms=(Term(f"({_calls(FAILED, fifteen)} or 0 * {calls}) / {calls}", "> 0.1"),),
            hold=5 * MINUTE,
        ),
        Alert(
            name="ProsaDeadLetters",
            severity="ticket",
            summary="There are dead letters",
            description="{{ $value }} jobs lie in the dead letters: bodies that are no job, or jobs that no worker "
            "survived. Nothing looks at them but you.",
            terms=(Term(f'sum(rabbitmq_detailed_queue_messages{{queue="{DEAD}"}})', "> 0"),),
        ),
        Alert(
            name="ProsaFencingStorm",
            severity="ticket",
            summary="Many writes are fenced",
            description="{{ $value }} writes of workers that had lost their claim were turned away within five "
            "minutes: workers are taken for dead that are not.",
            terms=(Term(f"sum(increase(prosa_fenced_total[{five}]))", "> 20"),),
        ),
    )


def _processes(scale: Scale) -> tuple[Alert, ...]:
    five = scale.span(5 * MINUTE)
    return (
        Alert(
            name="ProsaWorkerSilent",
            severity="ticket",
            summary="A worker is silent",
            description="{{ $value }} workers have stopped writing their heartbeats without saying goodbye. "
            "Their runs are taken over; their slots are missing.",
            terms=(Term('max(prosa_workers{state="silent"})', "> 0"),),
        ),
        Alert(
            name="ProsaLeaseThin",
            severity="ticket",
            summary="A worker nearly loses its lease",
            description="{{ $labels.instance }} stored a heartbeat only {{ $value | humanizeDuration }} before its "
            "lease would have run out.",
            # 0: a gateway, or a worker before its first heartbeat.
            terms=(Term(f"min by (instance) (min_over_time((prosa_lease_margin_seconds != 0)[{five}:]))", "< 0.5"),),
        ),
        Alert(
            name="ProsaLoopSlow",
            severity="ticket",
            summary="An event loop is late",
            description="One time in a hundred {{ $labels.instance }} woke a task more than "
            "{{ $value | humanizeDuration }} late: all that it serves stutters.",
            terms=(Term(_p(0.99, "prosa_loop_lag_seconds", "instance", five), "> 0.25"),),
            hold=5 * MINUTE,
        ),
        Alert(
            name="ProsaTargetDown",
            severity="ticket",
            summary="A target cannot be scraped",
            description="{{ $labels.job }} at {{ $labels.instance }} does not answer Prometheus: "
            "it is gone, or we are blind to it.",
            terms=(Term(f'up{{job=~"{JOBS}"}}', "< 1"),),
            hold=2 * MINUTE,
        ),
    )


def _database(scale: Scale) -> tuple[Alert, ...]:
    five = scale.span(5 * MINUTE)
    return (
        Alert(
            name="ProsaDatabaseAway",
            severity="page",
            summary="The database does not answer",
            description="Messages are refused with store_unavailable, and nothing that ends is stored.",
            joined="or",
            terms=(
                Term("min(prosa_store_connected)", "< 1"),
                Term(f'sum(rate(prosa_store_errors_total{{code="store_unavailable"}}[{five}]))', "> 0.5"),
            ),
            hold=30,
        ),
        Alert(
            name="ProsaDatabaseSlow",
            severity="ticket",
            summary="The database is slow",
            description="One call in twenty of {{ $labels.call }} takes longer than {{ $value | humanizeDuration }}.",
            terms=(
                Term(_p(0.95, "prosa_store_seconds", "call", five), "> 0.5"),
                # A call of which there was one a minute tells nothing.
                Term(f"sum by (call) (increase(prosa_store_seconds_count[{five}]))", "> 20"),
            ),
            hold=5 * MINUTE,
        ),
    )


def _broker(scale: Scale) -> tuple[Alert, ...]:
    return (
        Alert(
            name="ProsaBrokerAway",
            severity="page",
            summary="RabbitMQ cannot be reached",
            description="Accepted messages wait, and running answers come late and in larger pieces. Nothing is lost.",
            terms=(Term("min(prosa_bus_connected)", "< 1"),),
        ),
        Alert(
            name="ProsaBrokerAlarm",
            severity="page",
            summary="RabbitMQ has stopped taking messages",
            description="{{ $labels.instance }} has raised its memory or disk alarm and reads nothing more from "
            "publishers: accepted messages wait.",
            joined="or",
            terms=(
                Term("rabbitmq_alarms_memory_used_watermark", "> 0"),
                Term("rabbitmq_alarms_free_disk_space_watermark", "> 0"),
            ),
            hold=30,
        ),
    )


def _disks(scale: Scale) -> tuple[Alert, ...]:
    five = scale.span(5 * MINUTE)
    return (
        Alert(
            name="ProsaDiskFull",
            severity="page",
            summary="The database's disk is full",
            description="New messages are refused with storage_full; what ends is stored once there is room.",
            terms=(Term(f'sum(increase(prosa_store_errors_total{{code="storage_full"}}[{five}]))', "> 0"),),
            hold=0,
        ),
        Alert(
            name="ProsaDiskLow",
            severity="ticket",
            summary="A disk is nearly full",
            description="{{ $labels.instance }} has less than a tenth of {{ $labels.mountpoint }} left, or RabbitMQ "
            "less than four times what it stops at.",
            joined="or",
            terms=(
                Term(f"node_filesystem_avail_bytes{{{DISKS}}} / node_filesystem_size_bytes{{{DISKS}}}", "< 0.1"),
                Term("rabbitmq_disk_space_available_bytes / rabbitmq_disk_space_available_limit_bytes", "< 4"),
            ),
            hold=10 * MINUTE,
        ),
    )
