"""A client that believes nothing: it holds every frame against the protocol's laws."""

from typing import Any
from uuid import UUID

Frame = dict[str, Any]


class StrictReader:
    """Puts a run's text together as a client does, and asserts what L2 and L4 promise of every frame.

    ``attempts`` are the texts as they were when a later attempt replaced them.
    """

    def __init__(self) -> None:
        self.attempt = 0
        self.text = ""
        self.end: Frame | None = None
        self.attempts: list[str] = []
        self.deltas = 0
        self.largest = 0

    def take(self, frame: Frame) -> None:
        kind = frame["type"]
        if kind == "snapshot":
            self._snapshot(frame)
        elif kind == "delta":
            self._delta(frame)
        elif kind in ("done", "failed"):
            self._end(frame)

    def _delta(self, frame: Frame) -> None:
        assert self.end is None, f"text behind the end: {frame}"
        assert frame["attempt"] >= self.attempt, f"an older attempt spoke: {frame}"
        assert frame["from"] == len(self.text) + 1, f"a gap or a repetition after {len(self.text)}: {frame}"
        self.attempt = frame["attempt"]
        self.text += frame["text"]
        self.deltas += 1
        self.largest = max(self.largest, len(frame["text"]))
        assert len(self.text) == frame["seq"], f"seq is no count of code points: {frame}"

    def _snapshot(self, frame: Frame) -> None:
        assert frame["seq"] == len(frame["text"])
        if frame["attempt"] == self.attempt:
            assert frame["text"].startswith(self.text), f"text was taken back within an attempt: {frame}"
        else:
            assert frame["attempt"] > self.attempt, f"an older attempt spoke: {frame}"
            self.attempts.append(self.text)
        self.attempt, self.text = frame["attempt"], frame["text"]

    def _end(self, frame: Frame) -> None:
        # Who asks again is told again; another outcome it never is.
        assert self.end in (None, frame), f"a second end: {self.end}, then {frame}"
        assert frame["seq"] == len(self.text), f"the end counts other text than was sent: {frame}"
        assert not self.text or frame["attempt"] == self.attempt
        self.end = frame


class Runs(dict[UUID, StrictReader]):
    """Readers of all runs that a socket speaks of."""

    def take(self, frame: Frame) -> None:
        if frame["type"] in ("started", "delta", "snapshot", "done", "failed"):
            self.setdefault(UUID(frame["run"]), StrictReader()).take(frame)
