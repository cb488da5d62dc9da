"""A report as text for the terminal. Pure."""

from collections.abc import Iterable, Iterator

from prosa.load.histogram import Spread
from prosa.load.report import Cost, Report

FINDINGS_SHOWN = 10


def table(report: Report) -> str:
    """What a person reads at the end of a bench."""
    parts = [_verdict(report), _times(report), _flow(report), _cost(report.cost), _generator(report)]
    return "\n\n".join("\n".join(part) for part in (list(lines) for lines in parts) if part)


def _verdict(report: Report) -> Iterator[str]:
    found, plan = report.verdict, report.plan
    yield f"{plan.users} people, {found.asked} messages, {plan.words} words at {plan.rate:g}/s, start {plan.start}"
    yield (
        f"  answered {found.answered}   lost {found.lost}   duplicated {found.duplicated}   "
        f"corrupted {found.corrupted}   reordered {found.reordered}"
    )
    rest = {
        "failed": found.failed,
        "refused": found.refused,
        "never accepted": found.unaccepted,
        "abandoned": found.abandoned,
        "unreadable frames": found.unreadable_frames,
        "chats that could not be read": found.unread_chats,
    }
    yield from (f"  {name}: {count}" for name, count in rest.items() if count)
    yield from _evidence(report)


def _evidence(report: Report) -> Iterator[str]:
    for one in report.evidence[:FINDINGS_SHOWN]:
        what = "; ".join(f"{finding.flaw}: {finding.what}" for finding in one.findings) or f"{one.fate} {one.code}"
        yield f"    message {one.message}: {what}"


def _times(report: Report) -> Iterator[str]:
    times = report.times
    yield f"{'milliseconds':34}{'median':>10}{'p95':>10}{'p99':>10}{'most':>10}"
    yield _row("to the acknowledgement", times.accepted)
    yield _row("added to the first text", times.first_added)
    yield _row("added to the whole reply", times.total_added)
    yield _row("between two texts of a reply", times.gaps)
    yield _row("a bare synced commit on this disk", report.synced_commit)
    yield _row("lag of the bench itself", report.generator.lag)


def _row(name: str, spread: Spread) -> str:
    cells = (spread.median, spread.p95, spread.p99, spread.largest)
    return f"  {name:32}" + "".join(f"{'—' if cell is None else f'{cell:.1f}':>10}" for cell in cells)


def _flow(report: Report) -> Iterator[str]:
    flow, lived = report.flow, report.disturbance
    yield (
        f"{flow.replies_per_second:g} replies a second over {flow.seconds:g} s (best second {flow.best_second}), "
        f"{flow.deltas_per_second:g} deltas a second"
    )
    notes = {
        "sockets opened": lived.connections if lived.connections != report.plan.users else 0,
        "closes": _counts(lived.closes),
        "refusals": _counts(lived.refusals),
        "failures": _counts(lived.failures),
        "messages sent again": lived.sent_again,
        "silences probed": lived.probes,
        "text asked for again": lived.asked_again,
        "later attempts": lived.takeovers,
        "most characters taken back": lived.taken_back,
    }
    yield from (f"  {name}: {value}" for name, value in notes.items() if value)


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{name} ×{count}" for name, count in counts.items())


def _cost(cost: Cost) -> Iterator[str]:
    if not cost.processes:
        return
    yield f"{'process':24}{'CPU s':>9}{'CPU %':>9}{'MB before':>11}{'after':>9}{'most':>9}"
    for row in cost.processes:
        memory = f"{row.megabytes_before:>11.1f}{row.megabytes_after:>9.1f}{row.megabytes_most:>9.1f}"
        yield f"  {row.name:22}{row.cpu_seconds:>9.2f}{row.cpu_percent:>9.1f}{memory}"
    if cost.cpu_seconds_per_1000_words is not None:
        yield f"  together {cost.cpu_seconds:g} CPU s: {cost.cpu_seconds_per_1000_words:.3f} per 1,000 words"
    if cost.broker_messages_per_second is not None:
        yield f"  broker messages published: {cost.broker_messages_per_second:g} a second"


def _generator(report: Report) -> Iterable[str]:
    own = report.generator
    yield f"The bench itself took {own.cpu_seconds:g} CPU s ({own.cpu_percent:g} % of one core)."
    if own.limited:
        yield "  Its event loop was late (see its lag): it was the limit, or the machine is busy. Try --processes."
