"""What a worker tells the gateways: frames of text, and bulletins; one of each a tick."""

import math
from collections.abc import Mapping, Sequence
from typing import Final
from uuid import UUID

from prosa.core import events
from prosa.core.desk import Desk
from prosa.core.events import BulletinNotice, RunEvent
from prosa.ports import Bus, Clock, Metrics

TICK_SECONDS: Final = (0.025, 0.18)
"""The pause between frames, and how far it stretches under load."""
TICK_SHARE: Final = 8
"""A flush may take one part in so many of the time: then the tick stretches."""
EVENTS_A_SECOND: Final = 4_000
"""Each event costs its gateway a send to a socket. Where more come, the tick stretches and they grow instead."""
HURRY_SECONDS: Final = 0.005
"""The least time between two frames out of turn, however many replies begin: what cannot wait for the tick waits for
this."""


class Outbox:
    """The worker's desk on one side, the bus on the other. Nothing here waits or fails."""

    def __init__(self, name: str, desk: Desk, bus: Bus, clock: Clock, metrics: Metrics) -> None:
        self.name = name
        self.desk = desk
        self._bus = bus
        self._clock = clock
        self._metrics = metrics
        self._notices: list[BulletinNotice] = []
        self._flushed = clock.monotonic()
        self._pause = TICK_SECONDS[0]
        self._pressed: set[UUID] = set()
        self._pressed_at = -math.inf

    def announce(self, notice: BulletinNotice) -> None:
        self._notices.append(notice)

    def hurry(self, run: UUID) -> None:
        """Somebody waits for the first words of this reply: they go now, or within HURRY_SECONDS."""
        self._pressed.add(run)
        if self._clock.monotonic() - self._pressed_at >= HURRY_SECONDS:
            self._press()

    async def run(self) -> None:
        """Flush at each tick, and sooner where it is pressed, until cancelled."""
        while True:
            await self._clock.sleep(HURRY_SECONDS)
            if self._clock.monotonic() >= self._flushed + self._pause:
                self.flush()
            elif self._pressed:
                self._press()

    def flush(self) -> None:
        """Send what is new: to each gateway one frame with the text of all runs it listens to, then the bulletin.

        Frames go first: whoever reads in the bulletin that a run is over has its last text already.
        """
        begun = self._clock.monotonic()
        count = self._send(self.desk.cut())
        spent = self._clock.monotonic() - begun
        if self._notices:
            notices, self._notices = self._notices, []
            self._bus.announce(notices)
        self._flushed = begun
        self._pause = pause_seconds(spent, count)

    def _press(self) -> None:
        """Only what was pressed for: the text of all others grows until the tick."""
        self._send(self.desk.cut(self._pressed))
        self._pressed_at = self._clock.monotonic()

    def _send(self, frames: Mapping[str, Sequence[RunEvent]]) -> int:
        """The number of events."""
        for gateway, run_events in frames.items():
            self._bus.send(gateway, events.frame(self.name, run_events))
            self._metrics.observe("frame_events", len(run_events))
        self._pressed.clear()
        return sum(len(run_events) for run_events in frames.values())


def pause_seconds(spent: float, count: int) -> float:
    """From the beginning of a flush to that of the next: it took so many seconds and sent so many events."""
    shortest, longest = TICK_SECONDS
    return min(max(shortest, spent * TICK_SHARE, count / EVENTS_A_SECOND), longest)
