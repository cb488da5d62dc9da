"""A siege's report as text for the terminal. Pure."""

from collections.abc import Iterator

from prosa.chaos.report import Report
from prosa.chaos.takeovers import Group, Outage

SHOWN = 10


def table(report: Report) -> str:
    """What a person reads at the end."""
    parts = [_verdict(report), _evidence(report), _takeovers(report), _outages(report), _lived(report), _cost(report)]
    return "\n\n".join("\n".join(part) for part in (list(lines) for lines in parts) if part)


def _verdict(report: Report) -> Iterator[str]:
    found, rows = report.verdict, report.stored
    yield (
        f"{report.plan.users} people for {report.wish.seconds:g} s, {len(report.dealt)} faults (seed {report.seed}), "
        f"{report.wish.gateways} gateways, {report.wish.workers} workers of {report.slots} slots"
    )
    yield (
        f"  sent {found.asked}   answered {found.answered}   lost {found.lost}   duplicated {found.duplicated}   "
        f"corrupted {found.corrupted}   reordered {found.reordered}"
    )
    rest = {
        "failed, with a reason": found.failed,
        "refused for good": found.refused,
        "never accepted": found.unaccepted,
        "abandoned": found.abandoned,
        "unreadable frames": found.unreadable_frames,
        "chats that could not be read": found.unread_chats,
        "runs in the database without an end": rows.unfinished,
        "runs that ended otherwise than was told": rows.differing,
        "runs that nobody asked for": rows.strange,
        "runs that began before the one ahead of them ended": rows.overlapping,
    }
    yield from (f"  {name}: {count}" for name, count in rest.items() if count)
    attempts = ", ".join(f"{number} in {count} runs" for number, count in rows.attempts.items())
    yield f"  attempts: {attempts or 'none'}"


def _evidence(report: Report) -> Iterator[str]:
    for one in report.evidence[:SHOWN]:
        what = "; ".join(one.findings) or f"{one.fate} {one.code}"
        yield f"  run {one.run} (message {one.message}, asked at {one.asked:.1f} s): {what}"
        yield from (f"      {blow}" for blow in one.blows)


def _takeovers(report: Report) -> Iterator[str]:
    yield f"{'takeovers, milliseconds after a':34}{'count':>8}{'median':>10}{'p95':>10}{'most':>10}"
    for name, group in report.takeovers.items():
        yield _row(name, group)
        if group.apart:
            apart = ", ".join(f"{count} as {why}" for why, count in group.apart.items())
            yield f"    counted apart: {apart}; at most {group.slowest_apart:.0f}"
    if not report.takeovers:
        yield "  none were seen"


def _row(name: str, group: Group) -> str:
    cells = (group.times.median, group.times.p95, group.times.largest)
    shown = "".join(f"{'—' if cell is None else f'{cell:.0f}':>10}" for cell in cells)
    return f"  {name:32}{group.count:>8}{shown}"


def _outages(report: Report) -> Iterator[str]:
    if not report.outages:
        return
    columns = ("away s", "first ack", "first end", "accepted", "first text", "last")
    yield f"{'seconds from the return of the':34}" + "".join(f"{column:>12}" for column in columns)
    for one in report.outages:
        yield f"  {one.what:32}" + "".join(f"{cell:>12}" for cell in _cells(one))


def _cells(one: Outage) -> tuple[str, ...]:
    times = (one.first_accepted, one.first_end, one.median_first_text, one.last_first_text)
    ack, end, median, last = ("—" if value is None else f"{value:.1f}" for value in times)
    return (f"{one.seconds:.1f}", ack, end, str(one.meanwhile), median, last)


def _lived(report: Report) -> Iterator[str]:
    lived = report.disturbance
    yield f"{report.replies_per_second:g} replies a second; the longest time without one: {report.longest_silence:g} s"
    notes = {
        "sockets opened": lived.connections,
        "closes": _counts(lived.closes),
        "sends refused, to be tried again": _counts(lived.refusals),
        "failures": _counts(lived.failures),
        "messages sent again": lived.sent_again,
        "silences probed": lived.probes,
        "text asked for again": lived.asked_again,
        "later attempts seen": lived.takeovers,
        "most characters taken back": lived.taken_back,
    }
    yield from (f"  {name}: {value}" for name, value in notes.items() if value)


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{name} ×{count}" for name, count in counts.items())


def _cost(report: Report) -> Iterator[str]:
    machine, own = report.machine, report.generator
    yield (
        f"On {machine.cores} cores, load {machine.load_before:.1f} before and {machine.load_after:.1f} behind; "
        f"chaos itself: {own.cpu_percent:g} % of one core, late by {own.lag.p99 or 0:.0f} ms at p99"
    )
    for row in report.processes:
        yield f"  {row.name:22}{row.cpu_percent:>7.1f} % CPU{row.megabytes_most:>9.1f} MB at most"
