"""The fault proxy between two ends of real loopback sockets, under both event loops that may carry it."""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import wraps

import pytest
import uvloop

from prosa.cluster.loopback import HOST, free_port
from prosa.cluster.proxy import FaultProxy

QUIET_SECONDS = 0.15
"""How long nothing must happen until a test believes that nothing happens."""

type_of_loop = Callable[[], asyncio.AbstractEventLoop]


class Peer:
    """One end of a connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def receive(self, length: int) -> bytes:
        return await self.reader.readexactly(length)

    async def rest(self) -> bytes:
        return await self.reader.read(-1)

    async def hears_nothing(self) -> bool:
        try:
            async with asyncio.timeout(QUIET_SECONDS):
                await self.reader.read(1)
        except TimeoutError:
            return True
        return False

    async def breaks(self) -> bool:
        """Whether the connection ends by a reset."""
        try:
            await self.rest()
        except ConnectionResetError:
            return True
        return False


class Scene:
    """A target, a proxy in front of it, and who comes through."""

    def __init__(self) -> None:
        self.arrivals: asyncio.Queue[Peer] = asyncio.Queue()
        self.peers: list[Peer] = []
        self.proxy: FaultProxy

    def arrive(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = Peer(reader, writer)
        self.peers.append(peer)
        self.arrivals.put_nowait(peer)

    async def dial(self) -> Peer:
        peer = Peer(*await asyncio.open_connection(HOST, self.proxy.port))
        self.peers.append(peer)
        return peer

    async def pair(self) -> tuple[Peer, Peer]:
        """A new client, and the target's end of its connection."""
        client = await self.dial()
        return client, await self.arrivals.get()


@asynccontextmanager
async def opened() -> AsyncIterator[Scene]:
    scene = Scene()
    target = await asyncio.start_server(scene.arrive, HOST, 0)
    try:
        async with FaultProxy(HOST, target.sockets[0].getsockname()[1]) as scene.proxy:
            yield scene
    finally:
        target.close()
        for peer in scene.peers:
            peer.writer.transport.abort()
        await asyncio.sleep(0)


def on_both_loops(scenario: Callable[[Scene], Awaitable[None]]) -> Callable[[type_of_loop], None]:
    async def play() -> None:
        async with asyncio.timeout(20), opened() as scene:
            await scenario(scene)

    @wraps(scenario)
    def test(loop: type_of_loop) -> None:
        with asyncio.Runner(loop_factory=loop) as runner:
            runner.run(play())

    del test.__wrapped__
    factories = [asyncio.new_event_loop, uvloop.new_event_loop]
    return pytest.mark.parametrize("loop", factories, ids=["asyncio", "uvloop"])(test)


# ── no fault ──


@on_both_loops
async def test_bytes_pass_unchanged_both_ways_on_several_connections(scene: Scene) -> None:
    pairs = [await scene.pair() for _ in range(5)]
    for number, (client, server) in enumerate(pairs):
        await client.send(b"to %d" % number)
        await server.send(b"from %d" % number)
    for number, (client, server) in enumerate(pairs):
        assert await server.receive(4) == b"to %d" % number
        assert await client.receive(6) == b"from %d" % number
    assert scene.proxy.connections == 5


@on_both_loops
async def test_a_target_that_speaks_first_is_heard(scene: Scene) -> None:
    client, server = await scene.pair()
    await server.send(b"welcome")
    assert await client.receive(7) == b"welcome"


@on_both_loops
async def test_much_passes_whole_and_in_order(scene: Scene) -> None:
    client, server = await scene.pair()
    much = b"".join(number.to_bytes(4) for number in range(1_000_000))
    async with asyncio.TaskGroup() as group:
        group.create_task(client.send(much))
        there = group.create_task(server.receive(len(much)))
        group.create_task(server.send(much[::-1]))
        back = group.create_task(client.receive(len(much)))
    assert there.result() == much
    assert back.result() == much[::-1]


@on_both_loops
async def test_one_side_may_end_while_the_other_still_speaks(scene: Scene) -> None:
    client, server = await scene.pair()
    await client.send(b"all I have")
    client.writer.write_eof()
    assert await server.rest() == b"all I have"
    await server.send(b"and mine")
    server.writer.close()
    assert await client.rest() == b"and mine"
    client.writer.close()


@on_both_loops
async def test_a_connection_that_both_sides_ended_is_forgotten(scene: Scene) -> None:
    client, server = await scene.pair()
    client.writer.close()
    assert await server.rest() == b""
    server.writer.close()
    async with asyncio.timeout(2):
        while scene.proxy.connections:  # noqa: ASYNC110 - it offers no event for what only a test asks
            await asyncio.sleep(0.001)


@on_both_loops
async def test_a_side_that_breaks_off_breaks_the_other(scene: Scene) -> None:
    client, server = await scene.pair()
    raw = server.writer.get_extra_info("socket")
    with socket.socket(fileno=socket.dup(raw.fileno())) as same:
        same.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    server.writer.transport.abort()
    assert await client.breaks()


@on_both_loops
async def test_a_target_that_is_away_resets_whoever_comes(scene: Scene) -> None:
    away = free_port()
    scene.proxy.retarget(HOST, away)
    assert await (await scene.dial()).breaks()


@on_both_loops
async def test_a_slow_reader_holds_its_sender_back(scene: Scene) -> None:
    for change in (scene.proxy.pass_through, lambda: scene.proxy.delay(0.001)):
        change()
        client, server = await scene.pair()
        server.writer.transport.pause_reading()  # type: ignore[attr-defined]
        client.writer.transport.set_write_buffer_limits(high=0)
        sent = await sends_until_held_back(client)
        assert sent < 48 * 1024 * 1024
        server.writer.transport.resume_reading()  # type: ignore[attr-defined]
        client.writer.write_eof()
        assert len(await server.rest()) == sent


async def sends_until_held_back(client: Peer) -> int:
    """Bytes given to the client's transport until it waited for a whole quiet time."""
    sent, block = 0, b"x" * 1024 * 1024
    while sent < 256 * len(block):
        client.writer.write(block)
        sent += len(block)
        try:
            async with asyncio.timeout(QUIET_SECONDS):
                await client.writer.drain()
        except TimeoutError:
            return sent
    raise AssertionError("nobody held the sender back")


# ── cut ──


@on_both_loops
async def test_a_cut_ends_both_sides_and_refuses_new_ones_until_it_is_mended(scene: Scene) -> None:
    client, server = await scene.pair()
    scene.proxy.cut()
    assert await client.rest() == b""
    assert await server.rest() == b""
    with pytest.raises(ConnectionRefusedError):
        await scene.dial()
    scene.proxy.pass_through()
    client, server = await scene.pair()
    await client.send(b"again")
    assert await server.receive(5) == b"again"


@on_both_loops
async def test_a_cut_is_no_reset_even_with_bytes_on_the_way(scene: Scene) -> None:
    client, server = await scene.pair()
    scene.proxy.black_hole()
    await client.send(b"never seen")
    await server.send(b"never seen")
    scene.proxy.cut()
    assert await client.rest() == b""
    assert await server.rest() == b""


@on_both_loops
async def test_a_cut_also_ends_those_that_wait_in_a_black_hole_or_late(scene: Scene) -> None:
    scene.proxy.delay(60)
    client, server = await scene.pair()
    await client.send(b"never seen")
    scene.proxy.black_hole()
    waiting = await scene.dial()
    scene.proxy.cut()
    assert await waiting.rest() == b""
    assert await client.rest() == b""
    assert await server.rest() == b""
    assert scene.arrivals.empty()


# ── reset ──


@on_both_loops
async def test_a_reset_breaks_both_sides_and_new_ones_pass(scene: Scene) -> None:
    client, server = await scene.pair()
    scene.proxy.reset()
    assert await client.breaks()
    assert await server.breaks()
    client, server = await scene.pair()
    await server.send(b"fresh")
    assert await client.receive(5) == b"fresh"


# ── black hole ──


@on_both_loops
async def test_a_black_hole_swallows_both_ways_and_gives_back_when_it_is_gone(scene: Scene) -> None:
    client, server = await scene.pair()
    scene.proxy.black_hole()
    await client.send(b"there")
    await server.send(b"back")
    assert await server.hears_nothing()
    assert await client.hears_nothing()
    scene.proxy.pass_through()
    assert await server.receive(5) == b"there"
    assert await client.receive(4) == b"back"


@on_both_loops
async def test_who_comes_into_a_black_hole_is_accepted_and_served_after_it(scene: Scene) -> None:
    scene.proxy.black_hole()
    client = await scene.dial()
    await client.send(b"hello?")
    assert await client.hears_nothing()
    assert scene.arrivals.empty()
    scene.proxy.pass_through()
    server = await scene.arrivals.get()
    assert await server.receive(6) == b"hello?"


@on_both_loops
async def test_nobody_hears_of_an_end_in_a_black_hole_before_it_is_gone(scene: Scene) -> None:
    client, server = await scene.pair()
    scene.proxy.black_hole()
    await client.send(b"bye")
    client.writer.close()
    assert await server.hears_nothing()
    scene.proxy.pass_through()
    assert await server.rest() == b"bye"


# ── delay ──


@on_both_loops
async def test_a_delay_makes_every_chunk_late_and_keeps_the_order(scene: Scene) -> None:
    client, server = await scene.pair()
    scene.proxy.delay(0.05)
    loop = asyncio.get_running_loop()
    begun = loop.time()
    for number in range(20):
        await client.send(bytes([number]))
        await asyncio.sleep(0)
    assert await server.receive(20) == bytes(range(20))
    assert loop.time() - begun >= 0.045  # uvloop's clock counts milliseconds
    await server.send(b"back")
    assert await client.receive(4) == b"back"
    assert 0.095 <= loop.time() - begun < 5


@on_both_loops
async def test_an_end_comes_as_late_as_the_bytes_before_it(scene: Scene) -> None:
    client, server = await scene.pair()
    scene.proxy.delay(0.05)
    await client.send(b"last words")
    client.writer.close()
    assert await server.rest() == b"last words"


@on_both_loops
async def test_what_is_late_comes_at_once_and_first_when_the_delay_ends(scene: Scene) -> None:
    client, server = await scene.pair()
    scene.proxy.delay(60)
    await client.send(b"one ")
    assert await server.hears_nothing()
    scene.proxy.pass_through()
    await client.send(b"two")
    assert await server.receive(7) == b"one two"


@on_both_loops
async def test_a_shorter_delay_never_lets_bytes_overtake(scene: Scene) -> None:
    client, server = await scene.pair()
    scene.proxy.delay(QUIET_SECONDS * 2)
    await client.send(b"slow ")
    assert await server.hears_nothing()
    scene.proxy.delay(0.001)
    await client.send(b"fast")
    assert await server.receive(9) == b"slow fast"


# ── its life ──


@on_both_loops
async def test_leaving_closes_every_connection_and_the_port(scene: Scene) -> None:
    target = scene.proxy
    async with FaultProxy(HOST, target.port) as inner:
        client = Peer(*await asyncio.open_connection(HOST, inner.port))
        server = await scene.arrivals.get()
    assert await client.rest() == b""
    assert await server.rest() == b""
    client.writer.close()
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection(HOST, inner.port)
