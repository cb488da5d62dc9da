"""What a worker tells the gateways: frames of text, and bulletins; one of each a tick."""

from prosa.core import events
from prosa.core.desk import Desk
from prosa.core.events import BulletinNotice
from prosa.ports import Bus, Metrics


class Outbox:
    """The worker's desk on one side, the bus on the other. Nothing here waits or fails."""

    def __init__(self, name: str, desk: Desk, bus: Bus, metrics: Metrics) -> None:
        self.name = name
        self.desk = desk
        self._bus = bus
        self._metrics = metrics
        self._notices: list[BulletinNotice] = []

    def announce(self, notice: BulletinNotice) -> None:
        self._notices.append(notice)

    def flush(self) -> None:
        """Send what is new: to each gateway one frame with the text of all runs it listens to, then the bulletin.

        Frames go first: whoever reads in the bulletin that a run is over has its last text already.
        """
        for gateway, run_events in self.desk.cut().items():
            self._bus.send(gateway, events.frame(self.name, run_events))
            self._metrics.observe("frame_events", len(run_events))
        if self._notices:
            notices, self._notices = self._notices, []
            self._bus.announce(notices)
