"""What a process tells of runs as spans (core.trace). Where nobody wants them, each costs one look."""

from typing import Final

from prosa.core.desk import Work
from prosa.core.events import RunEnded
from prosa.core.relay import Relay, Row
from prosa.core.run import End
from prosa.core.trace import Span, SpanName, Value, described, outcome
from prosa.ports import Clock, Traces

OK: Final = "ok"
STOPPED: Final = "stopped"


class Spans:
    """``process`` is this process's name. Moments are the clock's monotonic seconds, as callers have them anyway."""

    def __init__(self, traces: Traces, clock: Clock, process: str) -> None:
        self._traces = traces
        self._clock = clock
        self._process = process

    def now(self) -> float:
        """A moment to begin with."""
        return self._clock.monotonic()

    # ── at a gateway ─────────────────────────────────────────────────────────────────────────────────────────

    def accepted(self, row: Row, begun: float) -> None:
        """A message was stored with its run."""
        if self._traces.wants(row.run):
            said = described(row) | {"gateway": self._process, "state": row.state.value}
            self._add(row, SpanName.ACCEPT, begun, attributes=said)

    def delivered(self, relay: Relay, heard: float | None) -> None:
        """The end went to the last reader here; ``heard``: when the first event of the run came, if one did."""
        row, end = relay.row, relay.end
        if row is not None and end is not None and self._traces.wants(row.run, telling=end.failure is not None):
            said = described(row) | outcome(end) | {"gateway": self._process, "attempt": relay.attempt}
            began = self.now() if heard is None else heard
            self._add(row, SpanName.DELIVER, began, attributes=said, place=self._process, code=_code(end))

    # ── at a worker ──────────────────────────────────────────────────────────────────────────────────────────

    def claimed(self, work: Work) -> None:
        """A run's first claim ends its time in the queue."""
        row = work.held.row
        if work.attempt == 1 and self._traces.wants(work.run):
            begun = work.begun - work.held.queued_seconds
            self._add(row, SpanName.QUEUE, begun, ended=work.begun, attributes=self._of(work), attempt=1)

    def called(self, work: Work, model: str, begun: float, result: str) -> None:
        """A model was called: ``result`` is ``ok``, ``stopped`` or a failure's code."""
        code = "" if result in (OK, STOPPED) else result
        if self._wants(work, telling=bool(code)):
            said = self._of(work) | {"model": model, "pieces": work.pieces}
            self._add(
                work.held.row,
                SpanName.MODEL,
                begun,
                attributes=said,
                attempt=work.attempt,
                place=model,
                code=code,
                first_text=work.spoke_at,
            )

    def committed(self, work: Work, begun: float, tries: int, *, mine: bool) -> None:
        """The end is durable, or (``mine`` false) it was not this claim's to write."""
        if self._wants(work, telling=tries > 0 or not mine):
            said = self._of(work) | {"tries": tries, "fenced": int(not mine)}
            self._add(work.held.row, SpanName.COMMIT, begun, attributes=said, attempt=work.attempt)

    def left(self, work: Work) -> None:
        """The worker is done with a run: it ended, or it is no longer its."""
        end = work.ended.end if isinstance(work.ended, RunEnded) else None
        code = "" if end is None else _code(end)
        if self._wants(work, telling=end is None or bool(code)):
            said = self._of(work) | {"characters": work.reply.seq}
            said |= {"state": "left", "reason": reason(work)} if end is None else outcome(end)
            self._add(work.held.row, SpanName.ATTEMPT, work.begun, attributes=said, attempt=work.attempt, code=code)

    def _wants(self, work: Work, *, telling: bool) -> bool:
        return self._traces.wants(work.run, telling=telling or work.attempt > 1)

    def _of(self, work: Work) -> dict[str, Value]:
        return described(work.held.row) | {"worker": self._process, "attempt": work.attempt}

    def _add(  # noqa: PLR0913 — a span's fields, by keyword only
        self,
        row: Row,
        name: SpanName,
        begun: float,
        *,
        attributes: dict[str, Value],
        ended: float | None = None,
        attempt: int = 0,
        place: str = "",
        code: str = "",
        first_text: float | None = None,
    ) -> None:
        ahead = self._clock.now().timestamp() - self.now()
        self._traces.add(
            Span(
                run=row.run,
                name=name,
                begun=begun + ahead,
                ended=(self.now() if ended is None else ended) + ahead,
                attempt=attempt,
                place=place,
                attributes=attributes,
                events={} if first_text is None else {"first_text": first_text + ahead},
                code=code,
            )
        )


def _code(end: End) -> str:
    return end.failure.code if end.failure else ""


def reason(work: Work) -> str:
    """Why a run is no longer its worker's."""
    return work.interruption.name.lower() if work.interruption else "fenced"
