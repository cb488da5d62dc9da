"""What goes over the client sockets of this gateway: counted in plain numbers at each frame, shown once a second."""

from typing import Final

from prosa.ports import Clock, Metrics

SLOW_SECONDS: Final = 1.0
"""A frame that waits longer than this for its reader makes its socket a slow one."""


class Traffic:
    """One per gateway. A counter of the metrics costs ten times what a number does, and frames are many."""

    def __init__(self, clock: Clock, metrics: Metrics) -> None:
        self._clock = clock
        self._metrics = metrics
        self._frames = {"in": 0, "out": 0}
        self._bytes = {"in": 0, "out": 0}
        self._merged = 0
        self._since: dict[object, float] = {}
        self._slow: set[object] = set()

    def came(self, frame: str) -> None:
        self._count("in", frame)

    def begins(self, socket: object, frame: str) -> None:
        """A frame is sent; its reader may keep it waiting. A socket sends one after the other."""
        self._count("out", frame)
        self._since[socket] = self._clock.monotonic()

    def ends(self, socket: object) -> None:
        """The frame went, or the socket is gone. Any number of times."""
        self._since.pop(socket, None)

    def merged(self, deltas: int) -> None:
        self._merged += deltas

    def show(self) -> None:
        for direction in ("in", "out"):
            self._metrics.count("socket_frames_total", self._frames[direction], direction=direction)
            self._metrics.count("socket_bytes_total", self._bytes[direction], direction=direction)
            self._frames[direction] = self._bytes[direction] = 0
        self._metrics.count("merged_deltas_total", self._merged)
        self._merged = 0
        due = self._clock.monotonic() - SLOW_SECONDS
        slow = {socket for socket, since in self._since.items() if since <= due}
        self._metrics.count("slow_readers_total", len(slow - self._slow))
        self._metrics.gauge("slow_sockets", len(slow))
        self._slow = slow

    def _count(self, direction: str, frame: str) -> None:
        self._frames[direction] += 1
        self._bytes[direction] += len(frame) if frame.isascii() else len(frame.encode())
