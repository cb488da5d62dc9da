"""A RabbitMQ of our own, which no other broker of this machine hears of."""

import asyncio
import shutil
from pathlib import Path
from typing import Final

from prosa.cluster.child import Program
from prosa.cluster.loopback import HOST, free_port
from prosa.cluster.nodes.node import PATH, Node
from prosa.core.errors import SetupError

# Ahead of PATH: Debian's command there changes the user and the folder.
SERVERS: Final = (Path("/usr/lib/rabbitmq/bin/rabbitmq-server"), Path("/usr/lib/rabbitmq/sbin/rabbitmq-server"))
NAME: Final = "prosa@localhost"
"""The same for all: each is registered in a directory (epmd) of its own, and has a secret (cookie) of its own."""
ANSWER_SECONDS: Final = 2.0
PROTOCOL_HEADER: Final = b"AMQP\x00\x00\x09\x01"
METHOD_FRAME: Final = b"\x01"

CONFIGURATION: Final = """\
listeners.tcp.local = {host}:{port}
loopback_users.guest = true
disk_free_limit.absolute = 1MB
log.console = true
"""
METRICS: Final = """\
prometheus.tcp.ip = {host}
prometheus.tcp.port = {port}
"""


class RabbitNode(Node):
    """``guest`` with the password ``guest`` may do everything, from this machine alone. ``pid`` is the Erlang VM's.

    With a ``metrics_port`` its plugin for Prometheus answers there.
    """

    service = "RabbitMQ"
    _directory_port = 0

    def __init__(self, folder: Path, port: int | None = None, metrics_port: int | None = None) -> None:
        super().__init__(folder, port)
        self.metrics_port = metrics_port

    @property
    def url(self) -> str:
        return f"amqp://guest:guest@{HOST}:{self.port}/"

    async def wipe(self) -> None:
        """Stop it, delete all it holds (queues, messages, users), and start it as if for the first time."""
        await self.stop()
        await asyncio.to_thread(shutil.rmtree, self._held, ignore_errors=True)
        await self.start()

    async def _launch(self) -> None:
        server, directory = _server(), _directory()
        self._directory_port = directory_port = free_port()
        self._write_configuration()
        self._run(self._program([directory, "-port", str(directory_port), "-address", HOST], {}))
        # Otherwise the server would start one itself, which outlives it.
        await self._until(lambda: _listens(directory_port))
        self._run(self._program([server], self._environment(directory_port)))
        await self._until(self._serves)

    @property
    def _held(self) -> Path:
        return self.folder / "mnesia"

    def _write_configuration(self) -> None:
        for folder in (self._held, self.folder / "home"):
            folder.mkdir(exist_ok=True)
        metrics = METRICS.format(host=HOST, port=self.metrics_port) if self.metrics_port else ""
        (self.folder / "rabbitmq.conf").write_text(CONFIGURATION.format(host=HOST, port=self.port) + metrics)
        (self.folder / "enabled_plugins").write_text("[rabbitmq_prometheus].\n" if metrics else "[].\n")

    @property
    def control(self) -> dict[str, str]:
        """The variables with which ``rabbitmqctl`` reaches this node while it runs."""
        names = ("ERL_EPMD_ADDRESS", "ERL_EPMD_PORT", "RABBITMQ_CONF_ENV_FILE", "RABBITMQ_NODENAME")
        known = self._environment(self._directory_port)
        # Beside the server: the one in the usual path changes to another user, whom this node does not know.
        path = f"{_server().parent}:{PATH}"
        return {"PATH": path, "HOME": str(self.folder / "home"), **{name: known[name] for name in names}}

    def _environment(self, directory_port: int) -> dict[str, str]:
        return {
            "ERL_EPMD_ADDRESS": HOST,
            "ERL_EPMD_PORT": str(directory_port),
            # The shell script then becomes the Erlang VM, which ends cleanly on SIGTERM, instead of waiting for it.
            "RABBITMQ_ALLOW_INPUT": "true",
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-noinput -kernel inet_dist_use_interface {127,0,0,1}",
            "RABBITMQ_CONF_ENV_FILE": "/dev/null",
            "RABBITMQ_CONFIG_FILE": str(self.folder / "rabbitmq.conf"),
            "RABBITMQ_ADVANCED_CONFIG_FILE": "/dev/null",
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(self.folder / "enabled_plugins"),
            "RABBITMQ_NODENAME": NAME,
            "RABBITMQ_NODE_PORT": str(self.port),
            "RABBITMQ_DIST_PORT": str(free_port()),
            "RABBITMQ_MNESIA_BASE": str(self._held),
            "RABBITMQ_LOG_BASE": str(self.folder),
            "RABBITMQ_LOGS": "-",
        }

    def _program(self, command: list[str | Path], environment: dict[str, str]) -> Program:
        common = {"PATH": PATH, "LANG": "C.UTF-8", "HOME": str(self.folder / "home")}
        return Program(
            command=command,
            environment={**common, **environment},
            folder=self.folder,
            log=self.log,
            keeps=self._keeps(),
        )

    async def _serves(self) -> bool:
        """Whether it answers the first bytes of AMQP with a method, as one that is ready does."""
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                return await _greets(self.port)
        except (OSError, asyncio.IncompleteReadError):
            return False


async def _listens(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection(HOST, port)
    except OSError:
        return False
    writer.close()
    return True


async def _greets(port: int) -> bool:
    reader, writer = await asyncio.open_connection(HOST, port)
    try:
        writer.write(PROTOCOL_HEADER)
        return await reader.readexactly(1) == METHOD_FRAME
    finally:
        writer.close()


def _server() -> Path:
    for server in SERVERS:
        if server.exists():
            return server
    if found := shutil.which("rabbitmq-server"):
        return Path(found)
    raise SetupError("RabbitMQ is not installed. Install it: sudo apt-get install rabbitmq-server")


def _directory() -> Path:
    """The program with which Erlang's nodes find each other."""
    found = shutil.which("epmd", path=f"{PATH}:/usr/lib/erlang/bin")
    if found is None:
        raise SetupError("RabbitMQ needs Erlang's program epmd. Install it: sudo apt-get install erlang-base")
    return Path(found)
