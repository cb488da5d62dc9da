"""What sockets cost the process: idle ones, and a reader that stops reading while its answer streams."""

import asyncio
import json
import socket
from pathlib import Path

import msgspec
from uuid_utils.compat import uuid7
from websockets.asyncio.client import ClientConnection, connect
from websockets.typing import Subprotocol

from benchmarks.people import people
from prosa.adapters.scripted_engine import expected_reply
from tests.reader import Runs
from tests.system.harness import Served

SMALL_BUFFER = 8 * 1024
WARM_STREAMS = 3


class Idle(msgspec.Struct):
    """``kilobytes`` of resident memory a socket."""

    sockets: int
    kilobytes: float


class Stalled(msgspec.Struct):
    """``grown``: kilobytes of resident memory while the reader did not read, after streams of the same length that
    were read. ``deltas`` and the ``largest`` one, in characters: what it woke to."""

    words: int
    grown: int
    deltas: int
    largest: int
    whole: bool


async def idle(folder: Path, count: int) -> Idle:
    """Open ``count`` signed-in sockets of different users and let them be."""
    tokens = await people(folder, min(count, 200))
    served = Served(folder)
    await served.start()
    try:
        warm = [await _open(served, tokens[n % len(tokens)]) for n in range(50)]
        await asyncio.sleep(2)
        before = _resident(served.pid)
        opened = [await _open(served, tokens[n % len(tokens)]) for n in range(count)]
        await asyncio.sleep(3)
        after = _resident(served.pid)
        for connection in [*warm, *opened]:
            connection.transport.abort()
        return Idle(count, round((after - before) / count, 1))
    finally:
        served.kill()


async def stalled(folder: Path, words: int, rate: int) -> Stalled:
    """Ask, read nothing until the model is done, then read to the end."""
    (token,) = await people(folder, 1)
    served = Served(folder)
    await served.start()
    try:
        chat, text = str(uuid7()), f"stall [[n={words} r={rate}]]"
        # The first streams pay for what every process loads once: the database's cache, the allocator's arenas.
        for n in range(WARM_STREAMS):
            await _read(await _asked(served, token, str(uuid7()), f"warm {n} [[n={words} r={rate}]]"))
        connection = await _asked(served, token, chat, text)
        await asyncio.sleep(0.5)
        before = _resident(served.pid)
        await asyncio.sleep(words / rate + 1)
        grown = _resident(served.pid) - before
        reader = (await _read(connection)).popitem()[1]
        return Stalled(words, grown, reader.deltas, reader.largest, reader.text == expected_reply(text))
    finally:
        served.kill()


async def _asked(served: Served, token: str, chat: str, text: str) -> ClientConnection:
    connection = await _open(served, token, buffer=SMALL_BUFFER)
    await connection.send(json.dumps({"type": "send", "id": str(uuid7()), "chat": chat, "text": text}))
    return connection


async def _read(connection: ClientConnection) -> Runs:
    runs = Runs()
    async with asyncio.timeout(60):
        while not any(reader.end for reader in runs.values()):
            runs.take(json.loads(await connection.recv()))
    await connection.close()
    return runs


async def _open(served: Served, token: str, buffer: int | None = None) -> ClientConnection:
    """``buffer``: the bytes that the kernel holds for this reader; the library then holds one frame."""
    raw = socket.socket()
    if buffer is not None:
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
    raw.setblocking(False)
    await asyncio.get_running_loop().sock_connect(raw, ("127.0.0.1", served.port))
    return await connect(
        f"ws://127.0.0.1:{served.port}/api/ws",
        sock=raw,
        subprotocols=[Subprotocol("prosa.v1"), Subprotocol(f"bearer.{token}")],
        compression=None,
        max_queue=1,
        max_size=None,
        ping_interval=None,
    )


def _resident(pid: int) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1])
    raise AssertionError(f"process {pid} is gone")
