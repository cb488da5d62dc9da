"""What a worker tells the gateways: frames of text, and bulletins; one of each a tick."""

from typing import Final

from prosa.core import events
from prosa.core.desk import Desk
from prosa.core.events import BulletinNotice
from prosa.ports import Bus, Clock, Metrics

TICK_SECONDS: Final = (0.025, 0.2)
"""The pause between frames, and how far it stretches under load."""
TICK_SHARE: Final = 8
"""A flush may take one part in so many of the time: then the tick stretches."""
HURRY_SECONDS: Final = 0.005
"""The least time between two frames, however many replies begin: what cannot wait for the tick waits for this."""


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
        self._spent = 0.0
        self._pressed = False

    def announce(self, notice: BulletinNotice) -> None:
        self._notices.append(notice)

    def hurry(self) -> None:
        """Somebody waits for the first words of a reply: send now what is new, or within HURRY_SECONDS."""
        if self._clock.monotonic() - self._flushed >= HURRY_SECONDS:
            self.flush()
        else:
            self._pressed = True

    async def run(self) -> None:
        """Flush at each tick, and sooner where it is pressed, until cancelled."""
        while True:
            await self._clock.sleep(HURRY_SECONDS)
            if self._pressed or self._clock.monotonic() >= self._due:
                self.flush()

    @property
    def _due(self) -> float:
        shortest, longest = TICK_SECONDS
        return self._flushed + min(max(shortest, self._spent * TICK_SHARE), longest)

    def flush(self) -> None:
        """Send what is new: to each gateway one frame with the text of all runs it listens to, then the bulletin.

        Frames go first: whoever reads in the bulletin that a run is over has its last text already.
        """
        begun = self._clock.monotonic()
        self._pressed = False
        for gateway, run_events in self.desk.cut().items():
            self._bus.send(gateway, events.frame(self.name, run_events))
            self._metrics.observe("frame_events", len(run_events))
        if self._notices:
            notices, self._notices = self._notices, []
            self._bus.announce(notices)
        self._flushed = self._clock.monotonic()
        self._spent = self._flushed - begun
