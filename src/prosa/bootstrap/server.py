"""A process's HTTP server, and the sockets on which it listens."""

import errno
import resource
import socket
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Final

import msgspec
import structlog
import uvicorn

from prosa.bootstrap.foundation import VERSION
from prosa.core.errors import BadConfig, PortTaken
from prosa.gateway.transport import SmallBuffers
from prosa.lines import offer
from prosa.settings import Settings

log = structlog.get_logger()

STALLED_MS: Final = 60_000
BACKLOG: Final = 2048
OPEN_FILES: Final = 65_536
GRACE_SECONDS: Final = 5


class Server(uvicorn.Server):
    """Says where it is when it can be reached, and leaves signals to whoever owns the process.

    uvicorn raises a signal again when its sockets are closed, which would end the process before its worker has
    given back what it holds.
    """

    def __init__(self, config: uvicorn.Config, greeting: str, said: str) -> None:
        super().__init__(config)
        self._greeting = greeting
        self._said = said

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        for listener in sockets or ():
            where = address_of(listener)
            log.info(self._said, address=where, version=VERSION)
            if self._greeting:
                offer(sys.stdout, self._greeting.format(address=where) + "\n")

    def stop_listening(self) -> None:
        """Take no more connections; those that are there stay."""
        for server in self.servers:
            server.close()


class Manner(msgspec.Struct, frozen=True):
    """How a server serves. ``said``: what it logs with each address.

    ``connections``: who comes when there are as many gets a 503. ``leave_seconds``: for requests when it ends.
    """

    said: str = "prosa.listening"
    connections: int | None = None
    leave_seconds: int = GRACE_SECONDS


PUBLIC: Final = Manner()


def server(settings: Settings, app: Callable[..., object], greeting: str = "", manner: Manner = PUBLIC) -> Server:
    """``greeting`` is printed when the server can be reached; ``{address}`` in it is where."""
    config = uvicorn.Config(
        app,
        ws=SmallBuffers,
        ws_max_size=settings.limits.frame_bytes,
        ws_per_message_deflate=False,
        log_config=None,
        access_log=False,
        lifespan="off",
        server_header=False,
        limit_concurrency=manner.connections,
        timeout_graceful_shutdown=manner.leave_seconds,
        timeout_keep_alive=30,
        forwarded_allow_ips=list(settings.proxies),
    )
    return Server(config, greeting, manner.said)


def address_of(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    shown = f"[{host}]" if ":" in host else host
    return f"http://{shown}:{port}/"


@contextmanager
def listening(host: str, port: int, inherited: Sequence[int], option: str) -> Iterator[list[socket.socket]]:
    """The sockets to serve on: those inherited from whoever started this process, else one of our own.

    ``option`` is the one with which a person gives another port.

    Raises PortTaken, and BadConfig for an inherited descriptor that is no listening socket.
    """
    with ExitStack() as stack:
        if inherited:
            yield [stack.enter_context(_inherited(descriptor)) for descriptor in inherited]
        else:
            yield [stack.enter_context(bound(host, port, option))]


def _inherited(descriptor: int) -> socket.socket:
    try:
        found = socket.socket(fileno=descriptor)
        listens = found.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
    except OSError as error:
        raise BadConfig(f"--fd {descriptor} is no socket of this process: {error.strerror}. Leave it out.") from error
    if not listens:
        raise BadConfig(f"--fd {descriptor} is a socket that does not listen. Leave it out.")
    found.setblocking(False)
    return found


def bound(host: str, port: int, option: str = "--port", host_option: str = "--host") -> socket.socket:
    """A listening socket whose connections give up on peers that stopped. Raises PortTaken, which names the options."""
    try:
        family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind)
    except OSError as error:
        raise PortTaken(f"Prosa cannot listen on {host}: {error.strerror}. Give another {host_option}.") from error
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if hasattr(socket, "TCP_USER_TIMEOUT"):
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, STALLED_MS)
    try:
        listener.bind(address)
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        raise _taken(host, port, (host_option, option), error) from error
    return listener


def _taken(host: str, port: int, options: tuple[str, str], error: OSError) -> PortTaken:
    host_option, option = options
    if error.errno == errno.EADDRINUSE:
        return PortTaken(f"Port {port} on {host} is taken by another program. Stop it, or give another {option}.")
    return PortTaken(f"Prosa cannot listen on {host}:{port}: {error.strerror}. Give another {host_option} or {option}.")


def raise_open_files() -> None:
    """Each socket is an open file, and the usual soft limit of 1,024 is meant for other programs."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = OPEN_FILES if hard == resource.RLIM_INFINITY else min(OPEN_FILES, hard)
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
