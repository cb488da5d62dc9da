"""A real Prometheus with the exporters that the dashboards need, on ports and in folders of its own.

It is configured by ``deploy/prometheus`` itself, with other targets and a shorter clock.
"""

import shutil
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from math import isnan
from pathlib import Path
from typing import Any, Final

import aiohttp
import msgspec

from prosa.cluster.child import Program
from prosa.cluster.loopback import HOST
from prosa.cluster.nodes.node import PATH, Node
from prosa.core.errors import SetupError
from tests.system.cluster import House, folder, place, until
from tools.observability.rules import Scale
from tools.observability.server import SCRAPE_SECONDS, laid_out

SCALE: Final = Scale(1 / 60)
"""An hour is a minute, and the shortest window, of five minutes, holds five scrapes."""
RATE_INTERVAL: Final = f"{4 * SCRAPE_SECONDS}s"
"""What Grafana puts in for ``$__rate_interval``: four scrapes at least."""
ANSWER_SECONDS: Final = 5.0


class Watcher(Node):
    """One of the programs that watch, and the path at which it answers once it is up."""

    path = "/metrics"

    def __init__(self, folder: Path, *options: str, **environment: str) -> None:
        super().__init__(folder)
        self._options = options
        self._given = environment

    @property
    def url(self) -> str:
        return f"http://{self.address}"

    @property
    def address(self) -> str:
        return f"{HOST}:{self.port}"

    async def _launch(self) -> None:
        program = shutil.which(self.service, path=PATH)
        if program is None:
            raise SetupError(f"The tests need {self.service}. Install it: sudo apt-get install {self.service}")
        self._run(
            Program(
                command=[program, f"--web.listen-address={self.address}", *self._options],
                environment={"PATH": PATH, **self._given},
                folder=self.folder,
                log=self.log,
                keeps=self._keeps(),
            )
        )
        await self._until(self._serves)

    async def _serves(self) -> bool:
        try:
            async with (
                aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(ANSWER_SECONDS)) as http,
                http.get(self.url + self.path) as response,
            ):
                return response.status == 200
        except (aiohttp.ClientError, TimeoutError):
            return False


class PostgresExporter(Watcher):
    service = "prometheus-postgres-exporter"


class NodeExporter(Watcher):
    service = "prometheus-node-exporter"


class Server(Watcher):
    service = "prometheus"
    path = "/-/ready"


class Series(msgspec.Struct, frozen=True):
    """One line of a query's result, at this moment."""

    labels: dict[str, str]
    value: float


class Prometheus:
    """What is asked of it, over its own API."""

    def __init__(self, url: str, http: aiohttp.ClientSession) -> None:
        self.url = url
        self._http = http

    async def query(self, expr: str) -> list[Series]:
        """What an instant query finds now; numbers only. Raises AssertionError with Prometheus' own words."""
        found = await self._get("query", query=expr)
        return [Series(one["metric"], float(one["value"][1])) for one in found["result"] if not isnan(_number(one))]

    async def becomes(self, expr: str, value: float, seconds: float) -> None:
        """Wait until a query has one line, with this value."""
        found: list[Series] = []

        async def asked() -> bool:
            found[:] = await self.query(expr)
            return [series.value for series in found] == [value]

        try:
            await until(asked, seconds)
        except TimeoutError:
            raise AssertionError(f"Within {seconds:g} s {expr} did not become {value:g}: {found}") from None

    async def without_data(self, queries: Iterable[str], seconds: float) -> set[str]:
        """Those of the queries that return no number within this time."""
        missing = set(queries)

        async def asked() -> bool:
            for expr in list(missing):
                if await self.query(expr):
                    missing.discard(expr)
            return not missing

        try:
            await until(asked, seconds)
        except TimeoutError:
            return missing
        return set()

    async def alerts(self, state: str = "firing") -> list[dict[str, str]]:
        """The labels of the alerts in this state."""
        found = (await self._get("alerts"))["alerts"]
        return [one["labels"] for one in found if one["state"] == state]

    async def fires(self, seconds: float, **labels: str) -> dict[str, str]:
        """Wait until an alert with these labels fires; all of its labels."""
        fired: list[dict[str, str]] = []

        async def asked() -> bool:
            fired[:] = [one for one in await self.alerts() if labels.items() <= one.items()]
            return bool(fired)

        await self._until(asked, seconds, f"did not fire: {labels}")
        return fired[0]

    async def resolves(self, seconds: float, **labels: str) -> None:
        """Wait until no alert with these labels fires any more."""

        async def asked() -> bool:
            return not any(labels.items() <= one.items() for one in await self.alerts())

        await self._until(asked, seconds, f"still fires: {labels}")

    async def targets(self) -> list[tuple[str, str, str]]:
        """Job, health and the last error of each."""
        found = (await self._get("targets", state="active"))["activeTargets"]
        return [(one["labels"]["job"], one["health"], one["lastError"]) for one in found]

    async def broken_rules(self) -> list[tuple[str, str]]:
        """Rules that could not be evaluated, and why."""
        groups = (await self._get("rules"))["groups"]
        every = [rule for group in groups for rule in group["rules"]]
        assert every
        return [(rule["name"], rule.get("lastError", "")) for rule in every if rule["health"] != "ok"]

    async def _until(self, asked: Callable[[], Awaitable[bool]], seconds: float, what: str) -> None:
        try:
            await until(asked, seconds)
        except TimeoutError:
            raise AssertionError(f"Within {seconds:g} s it {what}. Firing: {await self.alerts()}") from None

    async def _get(self, what: str, **parameters: str) -> Any:  # noqa: ANN401 - each answer has its own shape
        async with self._http.get(f"{self.url}/api/v1/{what}", params=parameters) as response:
            body = await response.json()
        assert body["status"] == "success", (parameters, body)
        return body["data"]


def _number(found: Mapping[str, Any]) -> float:
    return float(found["value"][1])


@asynccontextmanager
async def watched(house: House) -> AsyncIterator[Prometheus]:
    """Prometheus beside a cluster, with all of its jobs: everything is ended with the block."""
    async with AsyncExitStack() as stack:
        made = await stack.enter_async_context(folder("watched"))
        source = house.nodes.postgres.url(house.database) + "?sslmode=disable"
        postgres = PostgresExporter(made / "postgres", DATA_SOURCE_NAME=source)
        node = NodeExporter(made / "node")
        server = Server(
            made / "server", f"--config.file={made / 'prometheus.yml'}", f"--storage.tsdb.path={made / 'data'}"
        )
        targets = {
            "gateways": [_address(house.at(name)) for name in house.gateways],
            "workers": [_address(house.at(name)) for name in house.workers],
            "rabbitmq": [f"{HOST}:{house.nodes.rabbit.metrics_port}"],
            "postgres": [postgres.address],
            "nodes": [node.address],
        }
        for name, text in laid_out(targets, SCALE).items():
            (made / name).parent.mkdir(exist_ok=True)
            (made / name).write_text(text, "utf-8")
        for one in (postgres, node, server):
            await stack.enter_async_context(one)
        timeout = aiohttp.ClientTimeout(ANSWER_SECONDS)
        http = await stack.enter_async_context(aiohttp.ClientSession(timeout=timeout))
        yield Prometheus(server.url, http)


def _address(url: str) -> str:
    host, port = place(url)
    return f"{host}:{port}"
