"""Addresses on this machine's own interface."""

import socket
from typing import Final

HOST: Final = "127.0.0.1"


def free_port() -> int:
    """A TCP port on which nothing listens now; whoever binds it first has it."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port
