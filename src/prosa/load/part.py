"""A process that plays some of the people of a bench; ``parts`` says how it is spoken to."""

import asyncio
import sys
from typing import Final

import msgspec
import uvloop
from uuid_utils.compat import uuid7

from prosa.adapters.clock import SystemClock
from prosa.bootstrap.server import raise_open_files
from prosa.core.errors import ProsaError
from prosa.load.crowd import Crowd, Harvest
from prosa.load.parts import CONNECTED, ERROR, START, Part

LONGEST_LINE_BYTES: Final = 64 * 1024 * 1024


def main() -> None:
    raise_open_files()
    try:
        harvest = uvloop.run(_play())
    except ProsaError as error:
        _say(f"{ERROR}{error.message}")
        sys.exit(1)
    _say(msgspec.json.encode(harvest).decode())


async def _play() -> Harvest:
    words = await _input()
    part = msgspec.json.decode(await words.readline(), type=Part)
    crowd = Crowd(part.plan, part.cast, uuid7, SystemClock().monotonic)
    async with crowd.connected():
        _say(CONNECTED)
        crowd.start(float((await words.readline()).decode().removeprefix(START)))
        async with asyncio.TaskGroup() as group:
            listening = group.create_task(_stop_when_told(words, crowd))
            await crowd.finished()
            listening.cancel()
    return await crowd.harvest()


async def _stop_when_told(words: asyncio.StreamReader, crowd: Crowd) -> None:
    """The end of the input is a word too: whoever began this is gone."""
    await words.readline()
    crowd.stop()


async def _input() -> asyncio.StreamReader:
    reader = asyncio.StreamReader(LONGEST_LINE_BYTES)
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    return reader


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
