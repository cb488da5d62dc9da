"""A gateway or a worker whose bus loses what it may lose, from a signal on: a process of the system tests.

SIGUSR1: every frame, bulletin and other mail. SIGUSR2: the nudges with which a stop hurries. SIGHUP: nothing more.
"""

import asyncio
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from prosa import bootstrap, cli, settings
from prosa.bootstrap import distributed
from prosa.core.events import Mail, StopAsked
from prosa.ports import Broker, Metrics
from prosa.settings import Settings
from prosa.testing import LossyBus


class Losing(LossyBus):
    """Obeys the signals."""

    def __init__(self, bus: Broker) -> None:
        super().__init__(bus)
        self._nudgeless = False
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGUSR1, self._lose, True, False)
        loop.add_signal_handler(signal.SIGUSR2, self._lose, False, True)
        loop.add_signal_handler(signal.SIGHUP, self._lose, False, False)

    def _lose(self, everything: bool, nudges: bool) -> None:
        self.deaf, self._nudgeless = everything, nudges

    def send(self, to: str, mail: Mail) -> None:
        if not (self._nudgeless and isinstance(mail, StopAsked)):
            super().send(to, mail)


@asynccontextmanager
async def losing(found: Settings, metrics: Metrics, name: str) -> AsyncIterator[Broker]:
    async with distributed.broker(found, metrics, name) as bus:
        yield Losing(bus)


def main() -> None:
    role, descriptors = sys.argv[1], tuple(int(word) for word in sys.argv[2:] if word.isdecimal())
    match role:
        case "gateway":
            bootstrap.gateway(settings.load(), descriptors, bus=losing)
        case "worker":
            bootstrap.worker(settings.load(), descriptors, bus=losing)
        case _:
            cli.main()


if __name__ == "__main__":
    main()
