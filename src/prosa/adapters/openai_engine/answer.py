"""The connection under an answer that is streamed: when it was silent too long, when it is read, how it ends."""

import asyncio
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager, contextmanager

import aiohttp


class Watch:
    """Ends a read that waits past its deadline, with TimeoutError.

    One timer for a whole stream: a timer for each read costs as much as all else that we do with a token.
    """

    def __init__(self, content: aiohttp.StreamReader, deadline: float) -> None:
        self._content = content
        self._loop = asyncio.get_running_loop()
        self._deadline = deadline
        self._timer = self._loop.call_at(deadline, self._look)

    def allow(self, seconds: float) -> None:
        """From now on."""
        self._deadline = self._loop.time() + seconds
        if self._deadline < self._timer.when():
            self._timer.cancel()
            self._timer = self._loop.call_at(self._deadline, self._look)

    def _look(self) -> None:
        if self._loop.time() >= self._deadline:
            self._content.set_exception(TimeoutError())
        else:
            self._timer = self._loop.call_at(self._deadline, self._look)

    def close(self) -> None:
        self._timer.cancel()


@asynccontextmanager
async def watching(content: aiohttp.StreamReader, deadline: float) -> AsyncGenerator[Watch]:
    watch = Watch(content, deadline)
    try:
        yield watch
    finally:
        watch.close()


@contextmanager
def unread(answer: aiohttp.ClientResponse) -> Iterator[None]:
    """Let the system keep what comes meanwhile: to be woken for each token costs more than all that is done with it.

    Nor is the end of the connection noticed before it is read again.
    """
    transport = answer.connection.transport if answer.connection else None
    if not isinstance(transport, asyncio.ReadTransport) or not transport.is_reading():
        yield
        return
    transport.pause_reading()
    try:
        yield
    finally:
        if not transport.is_closing():
            transport.resume_reading()


async def drain(content: aiohttp.StreamReader) -> None:
    """Read the end of the answer, so that its connection serves the next one."""
    try:
        while not content.at_eof():
            await content.readany()
    except (TimeoutError, aiohttp.ClientError, OSError):
        return
