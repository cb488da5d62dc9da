"""A served Prosa for each test that wants one of its own, and one for all that do not break it."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

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
