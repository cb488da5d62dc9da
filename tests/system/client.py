"""Somebody who asks one question and follows its answer over as many sockets as it takes, as the page does."""

import asyncio
import time
from collections.abc import Callable
from uuid import UUID

from uuid_utils.compat import uuid7
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidMessage

from prosa.adapters.scripted_engine import expected_reply
from tests.reader import Frame, StrictReader
from tests.system.harness import Person, Tab

LOST = (ConnectionClosed, InvalidHandshake, InvalidMessage, OSError, EOFError)
AGAIN_SECONDS = 0.2
SILENT_SECONDS = 45.0


class Client:
    """``live`` is its task: it asks until it is accepted, follows until the end, and connects again whenever it must.

    Each of its sockets has a strict reader. ``accepted``: somebody else has asked already, this is another device.
    """

    def __init__(self, person: Person, text: str, chat: UUID | None = None, *, accepted: Frame | None = None) -> None:
        self.person = person
        self.text = text
        self.chat = UUID(accepted["chat"]) if accepted else chat or uuid7()
        self.id = uuid7()
        self.accepted = accepted
        self.tabs: list[Tab] = []
        self.closes: list[str] = []
        self.refusals: list[Frame] = []
        self.frames: list[tuple[float, Frame]] = []
        self.taken_back: list[str] = []
        """Where a socket began with less than another one had shown of the same attempt."""
        self.go = asyncio.Event()
        """Cleared, it only connects, and asks when this is set."""
        self.go.set()
        self._shown: dict[int, int] = {}
        self._news = asyncio.Event()

    # ── what it has seen ──

    @property
    def run(self) -> UUID:
        assert self.accepted is not None
        return UUID(self.accepted["run"])

    @property
    def reader(self) -> StrictReader | None:
        """Of its present socket, or the last one."""
        return self.tabs[-1].runs.get(self.run) if self.tabs and self.accepted else None

    @property
    def whole(self) -> str:
        return self.reader.text if self.reader else ""

    @property
    def attempt(self) -> int:
        """The newest of which it has heard."""
        return max((frame["attempt"] for _, frame in self.of_run() if "attempt" in frame), default=0)

    @property
    def end(self) -> Frame | None:
        return self.reader.end if self.reader else None

    def of_run(self) -> list[tuple[float, Frame]]:
        if self.accepted is None:
            return []
        return [(at, frame) for at, frame in self.frames if frame.get("run") == self.accepted["run"]]

    def first(self, attempt: int) -> float:
        """When the first frame of an attempt came, on the monotonic clock."""
        return min(at for at, frame in self.of_run() if frame.get("attempt", 0) == attempt)

    def kinds(self) -> list[str]:
        return [frame["type"] for _, frame in self.of_run()]

    # ── waiting ──

    async def until(self, true: Callable[["Client"], object], seconds: float = 30) -> None:
        async with asyncio.timeout(seconds):
            while not true(self):
                self._news.clear()
                await self._news.wait()

    async def shows(self, characters: int, seconds: float = 30) -> None:
        """Until this much of the text is seen."""
        await self.until(lambda client: len(client.whole) >= characters, seconds)

    async def reaches(self, attempt: int, seconds: float = 30) -> None:
        await self.until(lambda client: client.attempt >= attempt, seconds)

    async def ends(self, seconds: float = 40) -> Frame:
        await self.until(lambda client: client.end, seconds)
        assert self.end is not None
        return self.end

    # ── its life ──

    async def stop(self) -> None:
        """Its user has had enough."""
        await self.tabs[-1].send({"type": "stop", "run": str(self.run)})

    async def live(self) -> None:
        while self.end is None:
            try:
                async with self.person.socket() as tab:
                    await self._follow(tab)
            except LOST as error:
                self.closes.append(str(error))
                self._news.set()
                await asyncio.sleep(AGAIN_SECONDS)

    async def _follow(self, tab: Tab) -> None:
        self.tabs.append(tab)
        self._news.set()
        await self.go.wait()
        await self._begin(tab)
        while self.end is None:
            frame = await tab.receive(SILENT_SECONDS)
            await self._take(tab, frame)
            self._news.set()

    async def _begin(self, tab: Tab) -> None:
        if self.accepted is None:
            await tab.send({"type": "send", "id": str(self.id), "chat": str(self.chat), "text": self.text})
        else:
            await tab.send({"type": "watch", "chat": str(self.chat), "runs": [self.accepted["run"]]})

    async def _take(self, tab: Tab, frame: Frame) -> None:
        self.frames.append((time.monotonic(), frame))
        match frame["type"]:
            case "accepted" if frame["id"] == str(self.id):
                assert self.accepted is None or self.accepted["run"] == frame["run"]
                self.accepted = self.accepted or frame
            case "error":
                assert frame["retryable"], f"refused for good: {frame}"
                self.refusals.append(frame)
                await asyncio.sleep(AGAIN_SECONDS)
                await self._begin(tab)
            case "snapshot" | "delta" if self.accepted and frame["run"] == self.accepted["run"]:
                self._compare(frame)

    def _compare(self, frame: Frame) -> None:
        """Across sockets: whatever is shown is a part of the one answer, and within an attempt it never shrinks."""
        attempt, seen = frame["attempt"], len(self.whole)
        assert expected_reply(self.text).startswith(self.whole)
        assert attempt == max(self._shown, default=attempt) or attempt > max(self._shown)
        if seen < self._shown.get(attempt, 0):
            self.taken_back.append(f"{self._shown[attempt]} characters became {seen} in attempt {attempt}: {frame}")
        self._shown[attempt] = max(seen, self._shown.get(attempt, 0))
