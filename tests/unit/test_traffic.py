"""What is counted of the client sockets' frames, and which sockets are slow."""

from prosa.adapters.metrics import PrometheusMetrics
from prosa.gateway.traffic import SLOW_SECONDS, Traffic
from prosa.testing import ManualClock


class Wire:
    """A gateway's traffic under a manual clock."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.metrics = PrometheusMetrics()
        self.traffic = Traffic(self.clock, self.metrics)

    def shown(self, name: str) -> float:
        self.traffic.show()
        rows = self.metrics.exposition().decode().splitlines()
        return next(float(row.split()[-1]) for row in rows if row.startswith(f"prosa_{name} "))


def test_frames_and_their_bytes_are_counted_by_direction_and_once() -> None:
    wire = Wire()
    wire.traffic.came("é")
    for frame in ("abc", "ação"):
        wire.traffic.begins(wire, frame)
        wire.traffic.ends(wire)
    for _ in range(2):
        assert wire.shown('socket_frames_total{direction="in"}') == 1
        assert wire.shown('socket_bytes_total{direction="in"}') == 2
        assert wire.shown('socket_frames_total{direction="out"}') == 2
        assert wire.shown('socket_bytes_total{direction="out"}') == 3 + 6


async def test_a_socket_is_slow_while_a_frame_waits_for_over_a_second_and_is_counted_once_a_wait() -> None:
    wire, slow, quick = Wire(), object(), object()
    wire.traffic.begins(slow, "x")
    assert (wire.shown("slow_sockets"), wire.shown("slow_readers_total")) == (0, 0)
    await wire.clock.advance(SLOW_SECONDS)
    wire.traffic.begins(quick, "x")
    assert (wire.shown("slow_sockets"), wire.shown("slow_readers_total")) == (1, 1)
    wire.traffic.ends(slow)
    wire.traffic.ends(slow)
    assert (wire.shown("slow_sockets"), wire.shown("slow_readers_total")) == (0, 1)
