"""Streams that read in step.

A hundred streams and more are sent on in frames that are a tenth of a second apart and more. To wake for each token
of each of them in between costs more than all else that is done with it: so they wake together, and find a few tokens.
"""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

FEW: Final = 100
"""Streams: fewer read each token as it comes."""
READS_A_SECOND: Final = 2_000
LONGEST_SECONDS: Final = 0.2


def beat_seconds(streams: int) -> float:
    """How long so many streams let tokens gather."""
    return 0.0 if streams < FEW else min(streams / READS_A_SECOND, LONGEST_SECONDS)


class Beat:
    """One for the streams of an engine; ``pace`` gives the seconds from beat to beat for a number of streams."""

    def __init__(self, pace: Callable[[int], float] = beat_seconds) -> None:
        self._pace = pace
        self.streams = 0
        """Read at present."""
        self._next: asyncio.Event | None = None

    @contextmanager
    def joined(self) -> Iterator[None]:
        """A stream is read."""
        self.streams += 1
        try:
            yield
        finally:
            self.streams -= 1

    @property
    def in_step(self) -> bool:
        """Whether the streams are so many that they rest between their reads."""
        return self._pace(self.streams) > 0

    async def rest(self) -> None:
        """Until the next beat; not at all while the streams are few."""
        seconds = self._pace(self.streams)
        if not seconds:
            return
        if self._next is None:
            self._next = asyncio.Event()
            asyncio.get_running_loop().call_later(seconds, self._strike)
        await self._next.wait()

    def _strike(self) -> None:
        struck, self._next = self._next, None
        if struck is not None:
            struck.set()
