"""The bench's cheap socket: bytes in any portions make whole frames, and what is rare is the library's."""

import asyncio
import base64
import hashlib
import re

import pytest

from prosa.load.link import Link

ACCEPT = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


class Wire(asyncio.Transport):
    """What was written, and whether it is closed."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.gone = ""

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written += bytes(data)

    def close(self) -> None:
        self.gone = self.gone or "closed"

    def abort(self) -> None:
        self.gone = self.gone or "aborted"


class Scene:
    """A link, the frames that it handed on, and the server that the test plays."""

    def __init__(self) -> None:
        self.heard: list[bytes] = []
        self.wire = Wire()
        self.link = Link("ws://127.0.0.1:1/api/ws", "secret", self.heard.append)
        self.link.connection_made(self.wire)

    def welcome(self) -> bytes:
        found = re.search(rb"Sec-WebSocket-Key: (\S+)\r\n", self.wire.written)
        assert found is not None
        digest = base64.b64encode(hashlib.sha1(found[1] + ACCEPT, usedforsecurity=False).digest())
        return (
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: " + digest + b"\r\nSec-WebSocket-Protocol: prosa.v1\r\n\r\n"
        )


def frame(payload: bytes, first: int = 0x81) -> bytes:
    size = len(payload)
    if size < 126:
        return bytes([first, size]) + payload
    if size < 65_536:
        return bytes([first, 126]) + size.to_bytes(2, "big") + payload
    return bytes([first, 127]) + size.to_bytes(8, "big") + payload


@pytest.mark.parametrize("portion", [1, 7, 1000, 10_000_000])
async def test_frames_of_every_size_come_whole_and_in_order_in_any_portions(portion: int) -> None:
    scene = Scene()
    texts = [b"", b"a", b"b" * 125, b"c" * 126, b"d" * 65_535, b"e" * 65_536, b"f"]
    data = scene.welcome() + b"".join(frame(text) for text in texts)
    for at in range(0, len(data), portion):
        scene.link.data_received(data[at : at + portion])
    assert scene.heard == texts
    assert scene.link.open


async def test_a_text_in_fragments_comes_whole_and_a_ping_between_them_is_answered() -> None:
    scene = Scene()
    scene.link.data_received(scene.welcome())
    sent = len(scene.wire.written)
    scene.link.data_received(
        frame(b"one ", 0x01) + frame(b"hello", 0x89) + frame(b"two ", 0x00) + frame(b"three", 0x80)
    )
    scene.link.data_received(frame(b"four"))
    assert scene.heard == [b"one two three", b"four"]
    assert scene.wire.written[sent] == 0x8A


async def test_a_close_is_answered_and_its_code_is_told() -> None:
    scene = Scene()
    scene.link.data_received(scene.welcome() + frame((1012).to_bytes(2, "big"), 0x88))
    assert scene.wire.gone == "closed"
    scene.link.connection_lost(None)
    assert (scene.link.why, scene.link.open, scene.link.closed.done()) == (1012, False, True)


async def test_a_refused_handshake_tells_its_status() -> None:
    scene = Scene()
    scene.link.data_received(b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n")
    scene.link.connection_lost(None)
    assert (scene.link.why, scene.wire.gone) == (503, "aborted")


async def test_a_connection_that_breaks_is_abnormal_and_swallows_what_is_sent() -> None:
    scene = Scene()
    scene.link.data_received(scene.welcome())
    scene.link.connection_lost(ConnectionResetError())
    sent = scene.wire.written
    scene.link.send(b"anything")
    assert (scene.link.why, scene.wire.written) == (1006, sent)


@pytest.mark.parametrize("close", [frame((1012).to_bytes(2, "big"), 0x88), b""])
async def test_between_the_other_sides_end_and_that_of_the_socket_nothing_is_sent(close: bytes) -> None:
    scene = Scene()
    scene.link.data_received(scene.welcome() + close)
    scene.link.eof_received()
    sent = scene.wire.written
    scene.link.send(b"{}")
    scene.link.close()
    assert scene.wire.written == sent
    assert not scene.link.closed.done()


async def test_the_token_goes_as_a_subprotocol_and_nothing_is_compressed() -> None:
    request = Scene().wire.written
    assert b"prosa.v1, bearer.secret" in request
    assert b"permessage-deflate" not in request
