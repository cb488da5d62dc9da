"""Fixtures of the contract tests: each law is asked of what is in the process, and of a server where there is one."""

import os
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import uuid4

import pytest
from sqlalchemy import make_url, text
from sqlalchemy.ext.asyncio import create_async_engine

from prosa.adapters.memory_bus import MemoryBus
from prosa.adapters.sql.migrate import migrate
from prosa.adapters.sql.store import open_store
from prosa.ports import Bus
from tests.contract import broker as rabbitmq
from tests.contract.broker import Broker, Tally
from tests.contract.scene import Scene

# A server on which the tests make and drop their own databases, such as postgresql://postgres@127.0.0.1.
SERVER = os.environ.get("TEST_POSTGRES_URL")  # noqa: TID251 - a setting of the tests, not of Prosa
BACKENDS = ("sqlite", "postgresql") if SERVER else ("sqlite",)
BUSES = ("memory", "rabbitmq") if rabbitmq.SERVER else ("memory",)
collect_ignore_glob = [] if rabbitmq.SERVER else ["test_bus_rabbitmq*"]


async def on_server(statement: str) -> None:
    """Run a statement outside of any transaction on the server of the tests."""
    url = make_url(SERVER or "").set(drivername="postgresql+asyncpg", database="postgres")
    engine = create_async_engine(url, isolation_level="AUTOCOMMIT")
    async with engine.connect() as connection:
        await connection.execute(text(statement))
    await engine.dispose()


def on_database(name: str) -> str:
    url = make_url(SERVER or "").set(drivername="postgresql+asyncpg", database=name)
    return url.render_as_string(hide_password=False)


@pytest.fixture(scope="session")
async def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated file, which each test gets a copy of."""
    path = tmp_path_factory.mktemp("template") / "prosa.db"
    await migrate(f"sqlite:///{path}")
    return path


@pytest.fixture(scope="session")
async def postgresql_template() -> AsyncIterator[str]:
    name = f"prosa_test_{uuid4().hex}"
    await on_server(f"CREATE DATABASE {name}")
    await migrate(on_database(name))
    yield name
    await on_server(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(params=BACKENDS)
def backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def template(backend: str, request: pytest.FixtureRequest) -> str:
    """A migrated database to copy: a file, or a database's name. Only the one that is asked for is made."""
    return str(request.getfixturevalue(f"{backend}_template"))


@pytest.fixture
async def url(backend: str, template: str, tmp_path: Path) -> AsyncIterator[str]:
    """A migrated database of the test's own."""
    if backend == "sqlite":
        shutil.copy(template, tmp_path / "prosa.db")
        yield f"sqlite:///{tmp_path}/prosa.db"
        return
    name = f"prosa_test_{uuid4().hex}"
    await on_server(f"CREATE DATABASE {name} TEMPLATE {template}")
    yield on_database(name)
    await on_server(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
async def empty_url(backend: str, tmp_path: Path) -> AsyncIterator[str]:
    """A database without a table."""
    if backend == "sqlite":
        yield f"sqlite:///{tmp_path}/prosa.db"
        return
    name = f"prosa_test_{uuid4().hex}"
    await on_server(f"CREATE DATABASE {name}")
    yield on_database(name)
    await on_server(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
async def scene(url: str) -> AsyncIterator[Scene]:
    """A store with one user."""
    async with open_store(url) as store:
        opened = Scene(store, url)
        opened.user = await opened.person("ana")
        yield opened


# ── the bus ──


@pytest.fixture(scope="session")
async def broker() -> AsyncIterator[Broker]:
    """A virtual host of this run's own, empty of everything but what its tests leave."""
    async with rabbitmq.own_vhost() as made:
        yield made


@pytest.fixture
def pool() -> str:
    """A name that no other test uses."""
    return f"pool-{uuid4().hex[:12]}"


@pytest.fixture
def tally() -> Tally:
    """What the bus and its peer count."""
    return Tally()


@pytest.fixture(params=BUSES)
def between(request: pytest.FixtureRequest) -> Broker | None:
    """The broker between the processes; None where there is one process only."""
    found: Broker | None = request.getfixturevalue("broker") if request.param == "rabbitmq" else None
    return found


@pytest.fixture
async def bus(between: Broker | None, tally: Tally) -> AsyncIterator[Bus]:
    if between is None:
        yield MemoryBus(tally)
        return
    async with between.bus(metrics=tally) as opened:
        yield opened


@pytest.fixture
async def peer(bus: Bus, between: Broker | None, tally: Tally) -> AsyncIterator[Bus]:
    """The bus as another process has it; where there is only one process, the same."""
    if between is None:
        yield bus
        return
    async with between.bus(metrics=tally) as opened:
        yield opened
