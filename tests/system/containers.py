"""The processes that compose.yaml describes, without containers: each service at addresses of its own on the loopback
network, with the file's commands, variables and configuration.

What a container would bring is put in: names of services become addresses (for the balancer by a name server, as
there), paths of volumes become folders. Nothing else is changed.
"""

import asyncio
import os
import shutil
import socket
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, Self, cast

import aiohttp
import asyncpg
import msgspec
import yaml

from prosa.cluster.child import Child, Program
from prosa.cluster.nodes.node import PATH
from tests.deployment import ROOT, Service, compose
from tests.receiver import Receiver, receiving
from tests.system.cluster import PATIENT_SECONDS, Nodes, folder, until

VARIABLES = {
    "PROSA_SCRIPTED": "true",
    "PROSA_LOCAL": "false",
    "PROSA_DEFAULT_MODEL": "scripted",
    "PROSA_CLASSIC_SOCKET": "true",
}
"""As in an operator's .env."""
BALANCER = "127.0.0.1"
"""Where connections to other addresses of the loopback network come from."""
USER = "prosa"


class Names(asyncio.DatagramProtocol):
    """A name server for A records; another name does not exist."""

    def __init__(self, known: Mapping[str, list[str]]) -> None:
        self._known = known
        self._transport: asyncio.DatagramTransport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self._transport.sendto(answer(data, self._known), addr)


def answer(query: bytes, known: Mapping[str, list[str]]) -> bytes:
    """RFC 1035, as far as a resolver in a local network needs it."""
    labels, at = [], 12
    while query[at]:
        labels.append(query[at + 1 : at + 1 + query[at]].decode())
        at += 1 + query[at]
    question = query[12 : at + 5]
    name, is_a = ".".join(labels).lower(), question[-4:-2] == b"\x00\x01"
    found = known.get(name)
    addresses = found or [] if is_a else []
    # A response, recursion available; NXDOMAIN (3) for a name that nobody has.
    flags = 0x8180 | (0 if found else 3)
    head = query[:2] + flags.to_bytes(2) + b"\x00\x01" + len(addresses).to_bytes(2) + bytes(4)
    record = b"\xc0\x0c\x00\x01\x00\x01" + (1).to_bytes(4) + b"\x00\x04"
    return head + question + b"".join(record + socket.inet_aton(address) for address in addresses)


class Container(msgspec.Struct):
    """One process. ``address``: its own."""

    name: str
    address: str
    child: Child

    @property
    def pid(self) -> int:
        return self.child.pid


class Stack:
    """The deployment while it runs. ``base``: the balancer's address for people."""

    def __init__(self, nodes: Nodes, made: Path, receiver: Receiver) -> None:
        self.file = compose(VARIABLES)
        self.nodes = nodes
        self.made = made
        self.receiver = receiver
        self.running: dict[str, Container] = {}
        net = f"127.{64 + os.getpid() % 150}.{os.getpid() // 150 % 250}"
        self.addresses = {
            name: [f"{net}.{10 * place + number}" for number in range(self._replicas(name))]
            for place, name in enumerate(("balancer", "gateway", "worker", "prometheus", "rabbitmq", "postgres"), 1)
        }

    @property
    def base(self) -> str:
        return f"http://{self.addresses['balancer'][0]}:8000"

    def service(self, name: str) -> Service:
        found: Service = self.file["services"][name]
        return found

    def secret(self, path: str) -> str:
        return (self.made / path.removeprefix("/")).read_text()

    def _replicas(self, name: str) -> int:
        return int(self.file["services"][name].get("deploy", {}).get("replicas", 1))

    # ── what a container would bring ──

    def placed(self, text: str, address: str) -> str:
        """Names and paths that are valid in a container, as they are here."""
        there = {
            "postgres:5432": f"127.0.0.1:{self.nodes.postgres.port}",
            "rabbitmq:5672": f"127.0.0.1:{self.nodes.rabbit.port}",
            "http://jaeger:4318": self.receiver.address,
            self.service("balancer")["networks"]["front"]["ipv4_address"]: BALANCER,
            "/secrets/": f"{self.made}/secrets/",
            "/own/": f"{self.made}/own/",
            "/etc/prosa/": f"{ROOT}/deploy/compose/",
            "0.0.0.0": address,  # noqa: S104 — of a container
        }
        for container, here in there.items():
            text = text.replace(container, here)
        return text

    def environment(self, name: str, address: str) -> dict[str, str]:
        given = {key: self.placed(str(value), address) for key, value in self.service(name)["environment"].items()}
        home = self.made / f"{name}-{address}"
        home.mkdir(exist_ok=True)
        # As the image sets them.
        return {"PATH": PATH, "PROSA_HOST": address, "PROSA_DATA_DIR": str(home), "PROSA_LOG_FORMAT": "json", **given}

    def probe(self, name: str, address: str) -> list[str]:
        """The service's own question whether it is well, with this interpreter."""
        _, program, *rest = self.service(name)["healthcheck"]["test"]
        words = [word.replace("127.0.0.1", address) for word in rest]
        return [sys.executable if program == "python" else program, *words]

    # ── starting ──

    async def up(self) -> None:
        """In the order that the file demands: secrets, services, migration, gateways and workers, balancer."""
        await self._secrets()
        await self._users()
        assert await self._once("migrate") == 0, self.log("migrate")
        for name in ("gateway", "worker"):
            for address in self.addresses[name]:
                self.start(name, [sys.executable, "-P", "-m", "prosa", *self.service(name)["command"]], address)
        for name in ("gateway", "worker"):
            for address in self.addresses[name]:
                await self.well(name, address)
        await self._balancer()
        await self._prometheus()

    def start(self, name: str, command: list[str], address: str, more: Mapping[str, str] | None = None) -> None:
        environment = {**self.environment(name, address), **(more or {})} if "environment" in self.service(name) else {}
        environment = {"PATH": PATH, **environment}
        log = self.made / f"{name}-{address}.log"
        child = Child(Program(command=command, environment=environment, folder=self.made, log=log))
        self.running[address] = Container(name, address, child)

    def log(self, name: str) -> str:
        return "\n".join(path.read_text(errors="replace") for path in sorted(self.made.glob(f"{name}-*.log")))

    def said(self, address: str) -> str:
        """What the process at this address has printed."""
        (log,) = self.made.glob(f"*-{address}.log")
        return log.read_text(errors="replace")

    async def well(self, name: str, address: str) -> None:
        async def asked() -> bool:
            process = await asyncio.create_subprocess_exec(
                *self.probe(name, address), stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL
            )
            return await process.wait() == 0

        try:
            await until(asked, PATIENT_SECONDS)
        except TimeoutError:
            raise AssertionError(f"{name} is not well:\n{self.log(name)}") from None

    async def _secrets(self) -> None:
        for kind in ("postgres", "rabbitmq", "metrics", "grafana", "models"):
            (self.made / "secrets" / kind).mkdir(parents=True)
        (self.made / "own").mkdir()
        script = self.placed((ROOT / "deploy/compose/secrets.sh").read_text("utf-8"), "")
        (self.made / "secrets.sh").write_text(script)
        for _ in range(2):
            process = await asyncio.create_subprocess_exec("/bin/sh", str(self.made / "secrets.sh"))
            assert await process.wait() == 0

    async def _users(self) -> None:
        """What the images of PostgreSQL and RabbitMQ do at their first start, by their variables and files."""
        given = self.service("postgres")["environment"]
        password = self.secret(given["POSTGRES_PASSWORD_FILE"])
        connection = await asyncpg.connect(self.nodes.postgres.url("postgres"))
        try:
            await connection.execute(f"DROP DATABASE IF EXISTS {given['POSTGRES_DB']} WITH (FORCE)")
            await connection.execute(f"DROP ROLE IF EXISTS {USER}")
            await connection.execute(f"CREATE ROLE {USER} LOGIN PASSWORD '{password}'")
            await connection.execute(f"CREATE DATABASE {given['POSTGRES_DB']} OWNER {USER}")
        finally:
            await connection.close()
        lines = dict(line.split(" = ") for line in self.secret("/secrets/rabbitmq/90-user.conf").splitlines())
        for words in (
            ("add_user", lines["default_user"], lines["default_pass"]),
            ("set_permissions", lines["default_user"], ".*", ".*", ".*"),
        ):
            process = await asyncio.create_subprocess_exec(
                "rabbitmqctl", *words, env=self.nodes.rabbit.control, stdout=asyncio.subprocess.DEVNULL
            )
            assert await process.wait() == 0

    async def _once(self, name: str) -> int:
        address = "127.0.0.1"
        with (self.made / f"{name}-{address}.log").open("wb") as log:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-P", "-m", "prosa", *self.service(name)["command"]),
                env=self.environment(name, address),
                stdout=log,
                stderr=log,
                cwd=self.made,
            )
            return await process.wait()

    async def _balancer(self) -> None:
        (address,) = self.addresses["balancer"]
        program = shutil.which("haproxy", path=f"{PATH}:/usr/sbin")
        assert program, "The tests need HAProxy. Install it: sudo apt-get install haproxy"
        config = str(ROOT / "deploy" / "compose" / "haproxy.cfg")
        more = {"LISTEN": address, "RESOLVER": f"{address}:5353"}
        self.start("balancer", [program, "-db", "-f", config], address, more)
        await self.well("balancer", address)

        async def served() -> bool:
            async with aiohttp.ClientSession() as http, http.get(f"{self.base}/health/ready") as response:
                return response.status == 200

        await until(served)

    async def _prometheus(self) -> None:
        """Its file, with names resolved here: it asks the machine's own resolver."""
        (address,) = self.addresses["prometheus"]
        config: dict[str, Any] = yaml.safe_load((ROOT / "deploy/compose/prometheus.yml").read_text("utf-8"))
        config["global"] = {"scrape_interval": "1s", "scrape_timeout": "1s"}
        config["rule_files"] = [f"{ROOT}/deploy/prometheus/rules/*.yml"]
        for job in config["scrape_configs"]:
            (found,) = job.pop("dns_sd_configs")
            hosts = [one for name in found["names"] if name != "rabbitmq" for one in self.addresses.get(name, ())]
            job["static_configs"] = [{"targets": [f"{host}:{found['port']}" for host in hosts]}]
        (self.made / "prometheus.yml").write_text(self.placed(yaml.safe_dump(config), address))
        options = {"config.file": self.made / "prometheus.yml", "storage.tsdb.path": self.made / "prometheus"}
        words = [word.removeprefix("--").split("=", 1) for word in self.service("prometheus")["command"]]
        given = {**dict(words), **options, "web.listen-address": f"{address}:9090"}
        self.start("prometheus", ["prometheus", *(f"--{key}={value}" for key, value in given.items())], address)

    async def __aenter__(self) -> Self:
        aliases = self.service("gateway")["networks"]["front"]["aliases"]
        known = {alias: self.addresses["gateway"] for alias in aliases}
        loop = asyncio.get_running_loop()
        place = (self.addresses["balancer"][0], 5353)
        self._names, _ = await loop.create_datagram_endpoint(lambda: Names(known), local_addr=place)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._names.close()
        for container in self.running.values():
            container.child.destroy()


@asynccontextmanager
async def deployed(nodes: Nodes) -> AsyncIterator[Stack]:
    """All of it, ready."""
    await nodes.heal()
    async with AsyncExitStack() as stack:
        made = await stack.enter_async_context(folder("compose"))
        receiver = await stack.enter_async_context(receiving())
        found = await stack.enter_async_context(Stack(nodes, made, receiver))
        await found.up()
        yield found
