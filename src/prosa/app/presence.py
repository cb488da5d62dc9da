"""A gateway says that it is there, for the administrators' map. Nobody's answer depends on it."""

import asyncio
from collections.abc import Callable
from typing import Final

import msgspec
import structlog

from prosa.core.errors import ProsaError
from prosa.core.operations import Process
from prosa.ports import Clock, Operations

log = structlog.get_logger()

ANNOUNCE_SECONDS: Final = 5.0
"""A third of the silence after which it counts as gone (core.operations.SILENT_SECONDS)."""
STORE_SECONDS: Final = 2.0
"""Also of a process's end: its last announcement says that it left."""


class Load(msgspec.Struct, frozen=True):
    """What a gateway tells of itself. ``watched`` runs have readers there."""

    sockets: int
    watched: int
    draining: bool


class Presence:
    """``load`` is asked at each announcement."""

    def __init__(self, operations: Operations, clock: Clock, process: Process, load: Callable[[], Load]) -> None:
        self._operations = operations
        self._clock = clock
        self._process = process
        self._load = load

    async def run(self) -> None:
        """Announce until cancelled. A store that cannot be asked learns of it the next time."""
        while True:
            await self.announce()
            await self._clock.sleep(ANNOUNCE_SECONDS)

    async def announce(self) -> None:
        """Now. Never raises."""
        load = self._load()
        try:
            async with asyncio.timeout(STORE_SECONDS):
                await self._operations.announce(
                    self._process, sockets=load.sockets, watched=load.watched, draining=load.draining
                )
        except (ProsaError, TimeoutError) as error:
            # Whoever serves people with the store says that it is away.
            log.debug("presence.left_out", error=str(error))
