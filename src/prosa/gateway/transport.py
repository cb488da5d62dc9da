"""The socket's transport: small buffers for those that stream, so that a reader that stops is noticed soon (L8)."""

import asyncio
import socket
from typing import Final, cast

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

KERNEL_BYTES: Final = 32 * 1024
PROCESS_BYTES: Final = 16 * 1024


class SmallBuffers(WebSocketsSansIOProtocol):
    """uvicorn's protocol, with little room between a send and its reader: what waits longer waits as one delta."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        raw = transport.get_extra_info("socket")
        if raw is not None:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, KERNEL_BYTES)
        cast("asyncio.Transport", transport).set_write_buffer_limits(PROCESS_BYTES)
