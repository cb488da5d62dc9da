"""`python -m benchmarks.provider PORT`: a model server as providers have them, which says the scripted words.

It streams as OpenAI-compatible servers do, one event a word, at the pace that the message asks for; so `prosa bench`
verifies what came through the engine `openai` character by character. It does as little as it can beside that: what
it costs is no part of what is measured.
"""

import asyncio
import sys
from collections.abc import Iterator
from typing import Final

import msgspec
import uvloop

from prosa.adapters.scripted_engine.words import reply_words, script

HEAD: Final = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
LAST: Final = (
    '{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}],"usage":{"prompt_tokens":1,"completion_tokens":1}}'
)
MODELS: Final = b'{"object":"list","data":[{"id":"scripted-provider","object":"model"}]}'


class Message(msgspec.Struct):
    role: str
    content: str


class Request(msgspec.Struct):
    messages: list[Message]


def events(question: str) -> Iterator[bytes]:
    """The body's chunks, one a word."""
    for word in reply_words(question):
        text = msgspec.json.encode(word).decode()
        yield chunk(f'data: {{"choices":[{{"index":0,"delta":{{"content":{text}}}}}]}}\n\n')


def chunk(text: str) -> bytes:
    data = text.encode()
    return b"%x\r\n%s\r\n" % (len(data), data)


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """One connection, request after request."""
    try:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            if head.startswith(b"GET"):
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(MODELS), MODELS))
                continue
            lines = head.lower().split(b"\r\n")
            length = next(int(line[15:]) for line in lines if line.startswith(b"content-length:"))
            asked = msgspec.json.decode(await reader.readexactly(length), type=Request)
            await answer(writer, next(one.content for one in reversed(asked.messages) if one.role == "user"))
    except (asyncio.IncompleteReadError, ConnectionError):
        return
    finally:
        writer.close()


async def answer(writer: asyncio.StreamWriter, question: str) -> None:
    plan, clock = script(question), asyncio.get_running_loop()
    writer.write(HEAD)
    begun = clock.time()
    for word, event in enumerate(events(question)):
        wait = begun + plan.due(word) - clock.time()
        if wait > 0:
            await asyncio.sleep(wait)
        writer.write(event)
    writer.write(chunk(f"data: {LAST}\n\n") + chunk("data: [DONE]\n\n") + b"0\r\n\r\n")
    await writer.drain()


async def main(port: int) -> None:
    server = await asyncio.start_server(serve, "127.0.0.1", port, backlog=2048)
    async with server:
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1])))
