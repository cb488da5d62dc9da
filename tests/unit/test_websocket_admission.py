"""Who is let in at the socket, where whoever asked has left before the answer."""

from collections.abc import MutableMapping
from typing import Any, cast

from starlette.websockets import WebSocket

from prosa.app.access import Access
from prosa.gateway.websocket import Door, route

SCOPE = {"type": "websocket", "path": "/api/ws", "headers": [], "subprotocols": []}


def door() -> Door:
    """Nobody is signed in, so that of all its parts only the access is asked, and that by itself."""
    nothing = cast("Any", None)
    return Door(
        access=Access(nothing, nothing, nothing),
        intake=nothing,
        hub=nothing,
        reads=nothing,
        tokens=nothing,
        clock=nothing,
        metrics=nothing,
        origins=(),
        models=(),
        sockets_a_user=None,
    )


async def test_who_does_not_wait_to_be_turned_away_is_no_error() -> None:
    """As servers say it: sending to somebody who is gone raises OSError."""
    sent: list[str] = []

    async def receive() -> dict[str, str]:
        return {"type": "websocket.connect"}

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message["type"])
        if message["type"] == "websocket.close":
            raise OSError("The client is gone.")

    await route(door()).endpoint(WebSocket(SCOPE, receive, send))
    assert sent == ["websocket.accept", "websocket.close"]
