"""Fixtures: a gateway in process, fresh for each test."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.http.world import Person, World, open_world


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with open_world(tmp_path) as opened:
        yield opened


@pytest.fixture
async def ana(world: World) -> Person:
    """The first account: the administrator."""
    return await world.person("ana")


@pytest.fixture
async def bea(world: World, ana: Person) -> Person:
    return await world.person("bea")
