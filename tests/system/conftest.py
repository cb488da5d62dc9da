"""A served Prosa for each test that wants one of its own, one for all that do not break it, and a cluster to break."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.system.cluster import House, Nodes, house, private_nodes
from tests.system.harness import Served


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    """A process of this test's own, to kill and start again."""
    own = Served(tmp_path / "data")
    await own.start()
    try:
        yield own
    finally:
        own.kill()


@pytest.fixture(scope="session")
async def shared(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Served]:
    """A process for tests that leave it as it was."""
    common = Served(tmp_path_factory.mktemp("shared") / "data")
    await common.start()
    try:
        yield common
    finally:
        common.kill()


@pytest.fixture(scope="session")
async def nodes() -> AsyncIterator[Nodes]:
    """A PostgreSQL and a RabbitMQ that no other program uses."""
    async with private_nodes() as made:
        yield made


@pytest.fixture(scope="module")
async def common_house(nodes: Nodes) -> AsyncIterator[House]:
    await nodes.heal()
    async with house(nodes) as built:
        yield built


@pytest.fixture(name="house")
async def healed_house(common_house: House) -> House:
    """Two gateways and three workers, all ready, whatever the test before has done to them."""
    await common_house.heal()
    return common_house
