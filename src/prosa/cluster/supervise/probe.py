"""Asking a process whether it is ready."""

import asyncio
from typing import Final

ANSWER_SECONDS: Final = 5.0
REQUEST: Final = b"GET /health/ready HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"


async def is_ready(host: str, port: int, seconds: float = ANSWER_SECONDS) -> bool:
    """Whether the process behind a socket says that it takes work.

    The socket listens whether its process runs or not: a question put before the process is there is answered as
    soon as it is, within ``seconds``.
    """
    try:
        async with asyncio.timeout(seconds):
            return (await _status(host, port)).split()[1:2] == [b"200"]
    except (OSError, ValueError):
        return False


async def _status(host: str, port: int) -> bytes:
    reader, writer = await asyncio.open_connection(host, port)
    try:
        writer.write(REQUEST)
        return await reader.readline()
    finally:
        writer.close()
