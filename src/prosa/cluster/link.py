"""One connection through the fault proxy: two sockets, and what the network between them is like just now."""

import asyncio
import socket
import struct
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, cast

CONNECT_SECONDS: Final = 5.0
FAREWELL_SECONDS: Final = 1.0
"""How long a connection that was cut may take to answer our FIN with its own."""
WRITE_BYTES: Final = 64 * 1024
"""Of one direction: what waits for a slow reader before its sender is held back."""
LATE_BYTES: Final = 1024 * 1024
"""Of one direction: what a delay keeps back before the sender is held back as well."""

END: Final = b""
NO_LINGER: Final = struct.pack("ii", 1, 0)


@dataclass
class Weather:
    """What the network between the two sides is like."""

    silent: bool = False
    delay: float = 0.0


class _End(asyncio.Protocol):
    """One socket of a link. What it receives leaves at its peer."""

    def __init__(self, weather: Weather, lost: Callable[["_End", bool], None]) -> None:
        self.peer: _End = self
        self.choked = False
        self.finished = False
        """Its sender has ended the stream, and the peer was told."""
        self._weather = weather
        self._lost = lost
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._ended = False
        self._deaf = False
        self._late: deque[tuple[float, bytes]] = deque()
        self._late_bytes = 0
        self._timer: asyncio.TimerHandle | None = None

    @property
    def alive(self) -> bool:
        return self._transport is not None

    # ── what the event loop calls ──

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(high=WRITE_BYTES)
        self.regulate()
        self.peer.refresh()

    def data_received(self, data: bytes) -> None:
        if self._deaf:
            return
        if self._clear:
            self.peer.put(data)
        else:
            self._keep(data)

    def eof_received(self) -> bool:
        """True: this direction is over, the other goes on."""
        self._ended = True
        if self._deaf:
            return False
        if self._clear:
            self._hand_over(END)
        else:
            self._keep(END)
        return True

    def pause_writing(self) -> None:
        self.choked = True
        self.peer.regulate()

    def resume_writing(self) -> None:
        self.choked = False
        self.peer.regulate()

    def connection_lost(self, error: Exception | None) -> None:
        self._forget_late()
        self._transport = None
        self._lost(self, error is not None)

    # ── towards the peer ──

    @property
    def _clear(self) -> bool:
        """A paused socket may still give what was read already, so a silence is asked for here as well."""
        return self.peer.alive and not (self._late or self._weather.delay or self._weather.silent)

    def put(self, data: bytes) -> None:
        if self._transport is not None:
            self._transport.write(data)

    def regulate(self) -> None:
        """Read from the socket exactly when what comes can go on its way."""
        if self._transport is None or self._ended or self._deaf or self._transport.is_closing():
            return
        open_road = self.peer.alive and not self.peer.choked and not self._weather.silent
        if open_road and self._late_bytes < LATE_BYTES:
            self._transport.resume_reading()
        else:
            self._transport.pause_reading()

    def refresh(self) -> None:
        """The weather has changed, or the peer is connected."""
        self._stop_timer()
        if self.peer.alive and not self._weather.silent:
            self._release(everything=not self._weather.delay)
        self.regulate()

    def _keep(self, data: bytes) -> None:
        due = self._loop.time() + self._weather.delay
        if self._late:
            due = max(due, self._late[-1][0])
        self._late.append((due, data))
        self._late_bytes += len(data)
        if self._timer is None and self.peer.alive and not self._weather.silent:
            self._timer = self._loop.call_at(self._late[0][0], self._due)
        self.regulate()

    def _due(self) -> None:
        self._timer = None
        self._release(everything=False)
        self.regulate()

    def _release(self, *, everything: bool) -> None:
        now = self._loop.time()
        while self._late and (everything or self._late[0][0] <= now):
            _, data = self._late.popleft()
            self._late_bytes -= len(data)
            self._hand_over(data)
        if self._late:
            self._timer = self._loop.call_at(self._late[0][0], self._due)

    def _hand_over(self, data: bytes) -> None:
        if data:
            self.peer.put(data)
            return
        self.finished = True
        self.peer.end()

    # ── the ways to end ──

    def end(self) -> None:
        """The peer's sender has no more to say; with both sides silent for ever the link is over."""
        if self._transport is None or self._transport.is_closing():
            return
        self._transport.write_eof()
        if self.finished:
            self.close()
            self.peer.close()

    def close(self) -> None:
        """Once all that was written is gone."""
        if self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def farewell(self) -> None:
        """Send a FIN now, and swallow the rest: closing a socket with unread bytes would send an RST instead."""
        self._forget_late()
        if self._transport is None or self._transport.is_closing():
            return
        self._transport.write_eof()
        if self._ended:
            self._transport.close()
        self._deaf = True
        self._transport.resume_reading()
        self._loop.call_later(FAREWELL_SECONDS, self.abort)

    def reset(self) -> None:
        self._forget_late()
        if self._transport is None:
            return
        # Through a duplicate: what a transport shows of its socket differs from one event loop to the other.
        with socket.socket(fileno=socket.dup(self._transport.get_extra_info("socket").fileno())) as same:
            same.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, NO_LINGER)
        self._transport.abort()

    def _forget_late(self) -> None:
        self._stop_timer()
        self._late.clear()
        self._late_bytes = 0

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


class Link:
    """A connection through the proxy: the client's socket, and ours to the target."""

    def __init__(self, weather: Weather) -> None:
        self._weather = weather
        self._client = _End(weather, self._lost)
        self._server = _End(weather, self._lost)
        self._client.peer, self._server.peer = self._server, self._client
        self._target_in_sight = asyncio.Event()
        self._over = asyncio.Event()
        self._doomed = False
        self._broken = False

    async def run(self, accepted: socket.socket, target: tuple[str, int]) -> None:
        """Forward until both sockets are closed. A target that does not answer resets the client."""
        loop = asyncio.get_running_loop()
        try:
            await loop.connect_accepted_socket(lambda: self._client, accepted)
            self.refresh()
            await self._target_in_sight.wait()
            await self._connect(target)
            await self._over.wait()
        finally:
            self._client.abort()
            self._server.abort()

    async def _connect(self, target: tuple[str, int]) -> None:
        if self._doomed:
            return
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                await asyncio.get_running_loop().create_connection(lambda: self._server, *target)
        except OSError:
            self._client.reset()
            return
        if self._doomed:
            self._server.abort()

    def refresh(self) -> None:
        if not self._weather.silent:
            self._target_in_sight.set()
        if self._broken and not self._weather.silent:
            self.reset()
            return
        self._client.refresh()
        self._server.refresh()

    def cut(self) -> None:
        self._doom()
        self._client.farewell()
        self._server.farewell()

    def reset(self) -> None:
        self._doom()
        self._client.reset()
        self._server.reset()

    def _doom(self) -> None:
        self._doomed = True
        self._target_in_sight.set()

    def _lost(self, end: _End, broken: bool) -> None:
        """One socket is gone, and so is the other, in the same manner; in a black hole nobody hears of it yet."""
        if not end.peer.alive:
            self._doom()
            self._over.set()
        elif self._doomed:
            return
        elif not broken:
            end.peer.close()
        elif self._weather.silent:
            self._broken = True
        else:
            end.peer.reset()
