"""Real processes and real sockets for the system tests: `prosa serve`, and a client of its protocol."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from uuid import UUID

import aiohttp
from uuid_utils.compat import uuid7
from websockets.asyncio.client import ClientConnection, connect
from websockets.typing import Subprotocol

from tests.reader import Frame, Runs, StrictReader

START_SECONDS = 20.0
PASSWORD = "correct horse"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Served:
    """One `prosa serve` on a data folder. Starting it again goes on with the same folder and port."""

    def __init__(self, folder: Path, settings: Mapping[str, str] | None = None) -> None:
        self.folder = folder
        self.port = free_port()
        self.settings = {
            "PROSA_DATA_DIR": str(folder),
            "PROSA_PORT": str(self.port),
            "PROSA_LOCAL": "false",
            "PROSA_SCRIPTED": "true",
            "PROSA_SLOTS": "250",
            "PROSA_RATE_LIMITS": "off",
            "PROSA_LOG_FORMAT": "json",
            **(settings or {}),
        }
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def base(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def log(self) -> str:
        return (self.folder.parent / f"{self.folder.name}.log").read_text(errors="replace")

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    def launch(self) -> None:
        """Start without waiting."""
        with (self.folder.parent / f"{self.folder.name}.log").open("ab") as log:
            self.process = subprocess.Popen(
                [Path(sys.executable).with_name("prosa"), "serve"],
                env={"PATH": os.defpath, "HOME": str(self.folder.parent), **self.settings},
                cwd=self.folder.parent,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    async def start(self) -> float:
        """Start and wait until it is ready; the seconds that took."""
        begun = time.monotonic()
        self.launch()
        async with aiohttp.ClientSession() as http:
            while time.monotonic() - begun < START_SECONDS:
                assert self.process is not None
                assert self.process.poll() is None, f"prosa serve ended: {self.log}"
                if await _answers(http, f"{self.base}/health/ready"):
                    return time.monotonic() - begun
                await asyncio.sleep(0.05)
        raise AssertionError(f"prosa serve is not ready after {START_SECONDS} s: {self.log}")

    def kill(self) -> None:
        """As a power cut: no handler of the process runs."""
        self._signal(signal.SIGKILL)

    def stop(self) -> int:
        """As a deploy. Returns the exit code."""
        return self._signal(signal.SIGTERM)

    def _signal(self, number: int) -> int:
        if self.process is None:
            return 0
        if self.process.poll() is None:
            self.process.send_signal(number)
        code = self.process.wait(15)
        self.process = None
        return code


async def _answers(http: aiohttp.ClientSession, url: str) -> bool:
    try:
        async with http.get(url, timeout=aiohttp.ClientTimeout(2)) as response:
            return response.status == 200
    except (aiohttp.ClientError, TimeoutError):
        return False


class Person:
    """Somebody with an account and a token."""

    def __init__(self, base: str, username: str, token: str) -> None:
        self.base = base
        self.username = username
        self.token = token

    @classmethod
    async def sign_up(cls, base: str, username: str | None = None, password: str = PASSWORD) -> "Person":
        username = username or f"person-{uuid7().hex[-12:]}"
        body = {"username": username, "password": password}
        async with aiohttp.ClientSession() as http:
            async with http.post(f"{base}/api/auth/register", json=body) as response:
                assert response.status < 300, await response.text()
            async with http.post(f"{base}/api/auth/token", json=body) as response:
                assert response.status == 200, await response.text()
                token: str = (await response.json())["access_token"]
        return cls(base, username, token)

    async def http(self, method: str, path: str, body: object = None) -> tuple[int, Any]:
        """The status and the JSON body."""
        headers = {"Authorization": f"Bearer {self.token}"}
        async with (
            aiohttp.ClientSession() as http,
            http.request(method, self.base + path, json=body, headers=headers) as response,
        ):
            text = await response.text()
            return response.status, json.loads(text) if text else None

    async def history(self, chat: UUID) -> Frame:
        status, body = await self.http("GET", f"/api/chats/{chat}")
        assert status == 200, body
        history: Frame = body
        return history

    @asynccontextmanager
    async def socket(self) -> AsyncIterator["Tab"]:
        url = self.base.replace("http", "ws", 1) + "/api/ws"
        protocols = [Subprotocol("prosa.v1"), Subprotocol(f"bearer.{self.token}")]
        async with connect(url, subprotocols=protocols, compression=None) as connection, Tab(connection) as tab:
            yield tab


class Tab:
    """An open socket. Every frame goes through the strict reader of its run."""

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection
        self.frames: list[Frame] = []
        self.times: list[float] = []
        self.runs = Runs()

    async def __aenter__(self) -> Self:
        assert (await self.receive())["type"] == "hello"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    async def send(self, frame: Frame | str) -> None:
        await self.connection.send(frame if isinstance(frame, str) else json.dumps(frame))

    async def receive(self, seconds: float = 10) -> Frame:
        async with asyncio.timeout(seconds):
            frame: Frame = json.loads(await self.connection.recv())
        self.frames.append(frame)
        self.times.append(time.monotonic())
        self.runs.take(frame)
        return frame

    async def until(self, *kinds: str, seconds: float = 20, **fields: object) -> Frame:
        """The next frame of one of these types with these fields."""
        async with asyncio.timeout(seconds):
            while True:
                frame = await self.receive(seconds)
                if frame["type"] in kinds and all(frame.get(key) == str(value) for key, value in fields.items()):
                    return frame

    async def ask(self, text: str, chat: UUID | None = None, **fields: object) -> Frame:
        """Send a question and wait until it is accepted."""
        request = uuid7()
        await self.send({"type": "send", "id": str(request), "chat": str(chat or uuid7()), "text": text, **fields})
        frame = await self.until("accepted", "error", id=request)
        assert frame["type"] == "accepted", frame
        return frame

    async def text(self, run: UUID, characters: int, seconds: float = 10) -> str:
        """Follow a run until this much of it was shown."""
        reader = self.runs.setdefault(run, StrictReader())
        while len(reader.text) < characters:
            await self.receive(seconds)
        return reader.text

    async def answer(self, run: str, seconds: float = 30) -> StrictReader:
        """Follow a run to its end."""
        reader = self.runs.setdefault(UUID(run), StrictReader())
        async with asyncio.timeout(seconds):
            while reader.end is None:
                await self.receive(seconds)
        return reader
