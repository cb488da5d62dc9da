"""The real local model as a fixture, loaded once for all test modules that name this plugin."""

from collections.abc import AsyncIterator

import pytest

from prosa.adapters.local_engine import LocalEngine, LocalOptions


@pytest.fixture(scope="session")
async def local_engine() -> AsyncIterator[LocalEngine]:
    async with LocalEngine(LocalOptions(slots=2, context_tokens=768, reply_tokens=64, warm=False)) as engine:
        yield engine
