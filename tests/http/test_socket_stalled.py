"""A reader of ``/api/ws`` that stops reading: its socket is closed as overloaded after a while (L8)."""

import asyncio
from typing import cast

import pytest
from starlette.websockets import WebSocket

from prosa.adapters.tokens import SystemTokens
from prosa.app.intake import Intake
from prosa.gateway.session import OVERLOADED
from prosa.gateway.traffic import SLOW_SECONDS
from prosa.gateway.websocket import Door, route
from tests.http.classics import Socket
from tests.http.world import Person, World

SEND_SECONDS = 0.05


@pytest.fixture
def door(world: World) -> Door:
    parts = world.parts
    return Door(
        access=parts.access,
        intake=cast("Intake", parts.intake),
        hub=world.hub,
        reads=parts.reads,
        tokens=SystemTokens(),
        clock=world.clock,
        metrics=parts.metrics,
        origins=(),
        models=parts.models,
        sockets_a_user=None,
        send_seconds=SEND_SECONDS,
    )


async def test_a_socket_that_reads_nothing_is_closed_as_overloaded(world: World, ana: Person, door: Door) -> None:
    token = await world.token("ana")
    socket = Socket()
    socket.read.clear()
    scope = {
        "type": "websocket",
        "path": "/api/ws",
        "headers": [(b"authorization", f"Bearer {token}".encode())],
        "subprotocols": [],
    }
    async with asyncio.timeout(10):
        await route(door).endpoint(WebSocket(scope, socket.receive, socket.send))
    assert (await socket.message())["type"] == "websocket.accept"
    assert await socket.code() == OVERLOADED
    assert f'socket_closes_total{{code="{OVERLOADED}"}} 1.0' in world.shown()
    assert world.hub.sockets == 0
    world.hub.traffic.show()
    # The one frame that it never took; nothing waits any more.
    assert 'socket_frames_total{direction="out"} 1.0' in world.shown()
    await world.clock.advance(SLOW_SECONDS)
    world.hub.traffic.show()
    assert "prosa_slow_sockets 0.0" in world.shown()
