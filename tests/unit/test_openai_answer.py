"""The connection under a streamed answer."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp

from prosa.adapters.openai_engine.answer import unread

HEAD = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
WORD = b"5\r\nword \r\n"
END = b"0\r\n\r\n"
ARRIVAL_SECONDS = 0.05


@asynccontextmanager
async def answer() -> AsyncIterator[tuple[aiohttp.ClientResponse, asyncio.StreamWriter]]:
    """An answer that is streamed, and the server's end of it."""
    server_ends: asyncio.Queue[asyncio.StreamWriter] = asyncio.Queue()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(HEAD)
        server_ends.put_nowait(writer)

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with (
        asyncio.timeout(10),
        server,
        aiohttp.ClientSession() as session,
        session.get(f"http://127.0.0.1:{port}/") as opened,
    ):
        writer = await server_ends.get()
        yield opened, writer
        writer.close()


async def test_what_comes_while_nobody_reads_is_kept_by_the_system_and_comes_whole_after() -> None:
    async with answer() as (opened, writer):
        with unread(opened):
            writer.write(WORD * 3)
            await asyncio.sleep(ARRIVAL_SECONDS)
            assert opened.content.total_bytes == 0
        writer.write(END)
        assert await opened.content.read() == b"word " * 3


async def test_a_connection_that_ends_meanwhile_is_noticed_after() -> None:
    async with answer() as (opened, writer):
        with unread(opened):
            writer.write(WORD + END)
            writer.close()
            await asyncio.sleep(ARRIVAL_SECONDS)
        assert await opened.content.read() == b"word "


async def test_an_answer_that_is_over_already_has_nothing_to_keep() -> None:
    async with answer() as (opened, writer):
        writer.write(WORD + END)
        assert await opened.content.read() == b"word "
        with unread(opened):
            pass
        assert opened.content.at_eof()


async def test_an_answer_that_is_closed_meanwhile_stays_closed() -> None:
    async with answer() as (opened, _writer):
        with unread(opened):
            opened.close()
        assert opened.closed
