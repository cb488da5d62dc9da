"""One simulated person: carries out what the dialogue says, over as many connections as it takes."""

import asyncio
import random
from collections.abc import Callable, Sequence
from typing import Final, get_args

import msgspec

from prosa.core.errors import NotSignedIn
from prosa.core.protocol import ClientMessage, Done, Failed, Hello, Refusal, ServerMessage
from prosa.load.dialogue import Dialogue
from prosa.load.link import Link, connect
from prosa.load.patience import Patience
from prosa.load.tally import Tally

CONNECT_SECONDS: Final = 5.0
HELLO_SECONDS: Final = 5.0
GOODBYE_SECONDS: Final = 2.0
NOT_LET_IN: Final = (401, 403, 4401, 4403)

_decoder: Final = msgspec.json.Decoder(ServerMessage)
_encoder: Final = msgspec.json.Encoder()
_KINDS: Final = frozenset(kind.__struct_config__.tag for kind in get_args(ServerMessage))


class _Kind(msgspec.Struct):
    type: str = ""


class Person:
    """``urls`` are the socket addresses of the deployment: one is used, and another one after it was lost."""

    def __init__(
        self, dialogue: Dialogue, urls: Sequence[str], token: str, tally: Tally, clock: Callable[[], float]
    ) -> None:
        self.dialogue = dialogue
        self.welcomed = asyncio.Event()
        """There was a first `hello`."""
        self.over = asyncio.Event()
        """Everything is answered or given up. The connection stays, for what must not come any more."""
        self._urls = urls
        self._at = dialogue.person % len(urls)
        self._token = token
        self._tally = tally
        self._clock = clock
        self._link: Link | None = None
        self._deadline: asyncio.Timeout | None = None
        self._live = False
        self._live_since = 0.0
        self._patience = Patience()
        self._due: asyncio.TimerHandle | None = None
        self._left = asyncio.Event()

    async def live(self) -> None:
        """Be connected until ``leave``. Raises NotSignedIn where the deployment does not know this person."""
        while not self._left.is_set():
            why, welcomed = await self._once()
            if self._left.is_set():
                return
            self._tally.closed(str(why))
            if why in NOT_LET_IN:
                raise NotSignedIn(
                    f"A person of the bench was not let in ({why}). Remove its file of accounts and start again."
                )
            await self._pause(self._delay(why, welcomed))

    def begin(self, since: float) -> None:
        """Ask the first message; ``since``: when the whole bench began."""
        self._say(self.dialogue.begin(self._clock(), since))
        self._go_on()

    def stop(self) -> None:
        """Wait for no more answers."""
        self.dialogue.stop()
        self._go_on()

    def leave(self) -> None:
        """Close the connection for good."""
        self._left.set()
        if self._link is not None:
            self._link.close()
        if self._deadline is not None:
            self._deadline.reschedule(asyncio.get_running_loop().time() + GOODBYE_SECONDS)

    def tick(self) -> None:
        """To be called twice a second."""
        now = self._clock()
        self._say(self.dialogue.tick(now, online=self._live))
        self._go_on()
        if self._live and self._link is not None and self.dialogue.dead(now):
            self._link.abort()

    # ── one connection ───────────────────────────────────────────────────────────────────────────────────────

    async def _once(self) -> tuple[int | str, bool]:
        """Why the connection ended, and whether there was a `hello`."""
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                self._link = await connect(self._urls[self._at], self._token, self._heard)
        except OSError as error:  # a timeout is one
            return type(error).__name__, False
        try:
            return await self._through(self._link)
        finally:
            self._live, self._deadline = False, None
            self._link.abort()
            self._link = None

    async def _through(self, link: Link) -> tuple[int | str, bool]:
        try:
            # The `hello` may be here already: it comes with the first bytes, before whoever connected goes on.
            async with asyncio.timeout(None if self._live else HELLO_SECONDS) as self._deadline:
                await asyncio.shield(link.closed)
        except TimeoutError:
            return "no hello", False
        silent = self._live and self.dialogue.dead(self._clock())
        return "silent" if silent else link.why, self._live

    def _heard(self, data: bytes) -> None:
        now = self._clock()
        try:
            message = _decoder.decode(data)
        except msgspec.MsgspecError:
            self._tally.unreadable += _calls_itself_known(data)
            return
        if isinstance(message, Hello):
            self._greeted(now)
            return
        frames = self.dialogue.hear(message, now)
        if frames:
            self._say(frames)
        if isinstance(message, Done | Failed | Refusal):
            self._go_on()

    def _greeted(self, now: float) -> None:
        if self._deadline is not None and not self._left.is_set():
            self._deadline.reschedule(None)
        self._live, self._live_since = True, now
        self._tally.connections += 1
        self.welcomed.set()
        self._say(self.dialogue.connected(now))

    def _say(self, frames: list[ClientMessage]) -> None:
        if self._link is None or not self._live:
            return  # what matters is said again behind the next `hello`
        for frame in frames:
            self._link.send(_encoder.encode(frame))

    def _go_on(self) -> None:
        """What the dialogue waits for: its end, or the time of its next message."""
        if self.dialogue.over:
            self.over.set()
        elif self.dialogue.next_at is not None and self._due is None:
            wait = max(self.dialogue.next_at - self._clock(), 0.0)
            self._due = asyncio.get_running_loop().call_later(wait, self._next)

    def _next(self) -> None:
        self._due = None
        self._say(self.dialogue.due(self._clock()))
        self._go_on()

    # ── between two connections ──────────────────────────────────────────────────────────────────────────────

    def _delay(self, why: int | str, welcomed: bool) -> float:
        """Seconds to wait, with jitter; another address is taken next."""
        self._at = (self._at + random.randint(1, max(len(self._urls) - 1, 1))) % len(self._urls)  # noqa: S311
        lived = self._clock() - self._live_since if welcomed else None
        return self._patience.seconds(why, lived=lived, chance=random.random())  # noqa: S311 — jitter, not a secret

    async def _pause(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._left.wait()
        except TimeoutError:
            return


def _calls_itself_known(data: bytes) -> bool:
    """A type of a later version is no fault; what is of a known type and cannot be read, is."""
    try:
        return msgspec.json.decode(data, type=_Kind).type in _KINDS
    except msgspec.MsgspecError:
        return True
