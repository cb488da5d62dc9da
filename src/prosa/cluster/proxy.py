"""A TCP proxy on the loopback interface that breaks the network between two processes when it is told to.

Bytes are never changed, dropped or reordered within a connection that lives: TCP does not do that either. Both sides
are held back (their own kernel's buffers fill, then their sends wait) as soon as the other side does not take them.
"""

import asyncio
import socket
from types import TracebackType
from typing import Final, Self

from prosa.cluster.link import Link, Weather
from prosa.cluster.loopback import HOST

ACCEPT_AGAIN_SECONDS: Final = 0.2
BACKLOG: Final = 512


class FaultProxy:
    """Forwards TCP from ``port`` on the loopback interface to a target. Every fault may come at any time.

    A fault acts at once, on present and on future connections, until the next one is named. None of them waits.
    Within the context only; leaving it closes all connections.
    """

    def __init__(self, target_host: str, target_port: int) -> None:
        self._target = (target_host, target_port)
        self._weather = Weather()
        # It never listens: it keeps the port ours while a cut refuses connections.
        self._keeper: socket.socket
        self._links: set[Link] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._group = asyncio.TaskGroup()
        self._listener: socket.socket | None = None
        self._again: asyncio.TimerHandle | None = None
        self.host: Final = HOST
        self.port = 0
        """Where to connect instead of to the target: the same for as long as the context lasts."""

    @property
    def connections(self) -> int:
        """How many clients are connected, in a black hole also those that the target has not seen yet."""
        return len(self._links)

    async def __aenter__(self) -> Self:
        await self._group.__aenter__()
        self._keeper = _bound(0)
        self.port = self._keeper.getsockname()[1]
        self._listen()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._refuse()
        self._keeper.close()
        for task in self._tasks:
            task.cancel()
        # The group would wrap what its body raised; only a cancellation is for it to judge.
        if isinstance(error, asyncio.CancelledError):
            await self._group.__aexit__(kind, error, trace)
        else:
            await self._group.__aexit__(None, None, None)

    # ── the faults ──

    def pass_through(self) -> None:
        """No fault. What a black hole or a delay held back is delivered now."""
        self._change(Weather())

    def cut(self) -> None:
        """Both sides of every connection see it end (FIN); new ones are refused."""
        self._refuse()
        for link in tuple(self._links):
            link.cut()

    def reset(self) -> None:
        """Both sides of every connection see it reset (RST); new ones pass."""
        for link in tuple(self._links):
            link.reset()
        self.pass_through()

    def black_hole(self) -> None:
        """Nothing passes and nothing ends; new connections are accepted and never answered.

        As after a real black hole, connections carry on behind it: bytes, ends and resets arrive with the next
        fault. One thing a proxy cannot hide: this machine's kernel acknowledges what is sent into the hole.
        """
        self._change(Weather(silent=True))

    def delay(self, seconds: float) -> None:
        """All that is sent, in both directions, arrives so much later; a reset (RST) does not wait."""
        self._change(Weather(delay=seconds))

    def retarget(self, host: str, port: int) -> None:
        """Where connections from now on go."""
        self._target = (host, port)

    def _change(self, weather: Weather) -> None:
        self._weather.silent, self._weather.delay = weather.silent, weather.delay
        self._listen()
        for link in tuple(self._links):
            link.refresh()

    # ── accepting ──

    def _listen(self) -> None:
        if self._listener is None:
            self._listener = _bound(self.port)
            self._listener.listen(BACKLOG)
            self._watch()

    def _refuse(self) -> None:
        self._unwatch()
        if self._listener is not None:
            self._listener.close()
            self._listener = None

    def _watch(self) -> None:
        self._again = None
        if self._listener is not None:
            asyncio.get_running_loop().add_reader(self._listener.fileno(), self._accept)

    def _unwatch(self) -> None:
        if self._again is not None:
            self._again.cancel()
        elif self._listener is not None:
            asyncio.get_running_loop().remove_reader(self._listener.fileno())

    def _accept(self) -> None:
        if self._listener is None:
            return
        try:
            accepted, _ = self._listener.accept()
        except (BlockingIOError, InterruptedError, ConnectionAbortedError):
            return
        except OSError:
            # Out of file descriptors: the connection stays in the backlog and would wake us all the time.
            self._unwatch()
            self._again = asyncio.get_running_loop().call_later(ACCEPT_AGAIN_SECONDS, self._watch)
            return
        accepted.setblocking(False)
        task = self._group.create_task(self._serve(accepted))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, accepted: socket.socket) -> None:
        link = Link(self._weather)
        self._links.add(link)
        try:
            await link.run(accepted, self._target)
        except OSError:
            accepted.close()  # it was gone before it was ours
        finally:
            self._links.discard(link)


def _bound(port: int) -> socket.socket:
    bound = socket.socket()
    bound.setblocking(False)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    bound.bind((HOST, port))
    return bound
