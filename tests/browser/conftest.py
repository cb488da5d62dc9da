"""One browser and one server for all tests; a fresh profile for each person in them."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Literal, Protocol

import pytest
from playwright.async_api import Browser

from prosa.gateway import page
from tests.browser.chromium import chromium
from tests.browser.visitor import Visitor
from tests.system.harness import Served


class Visit(Protocol):
    """Somebody comes with a browser of their own; to the shared server unless another is named."""

    async def __call__(
        self,
        base: str | None = None,
        *,
        locale: str = "en-US",
        appearance: Literal["light", "dark"] = "light",
        size: tuple[int, int] = (1200, 800),
        phone: bool = False,
    ) -> Visitor: ...


@pytest.fixture(scope="session")
async def browser() -> AsyncIterator[Browser]:
    async with chromium() as launched:
        yield launched


@pytest.fixture(scope="session")
async def shared(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Served]:
    """A process for tests that leave it as it was."""
    assert (page.FOLDER / "index.html").is_file(), "The page was not built. Run: make web"
    common = Served(tmp_path_factory.mktemp("browser") / "data")
    await common.start()
    yield common
    common.kill()


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    """A process of this test's own, to kill and start again."""
    own = Served(tmp_path / "data")
    await own.start()
    yield own
    own.kill()


@pytest.fixture
async def visit(browser: Browser, shared: Served) -> AsyncIterator[Visit]:
    """Makes people, each with a profile of their own; at the end their browsers must not have complained."""
    visitors: list[Visitor] = []
    async with AsyncExitStack() as stack:

        async def come(
            base: str | None = None,
            *,
            locale: str = "en-US",
            appearance: Literal["light", "dark"] = "light",
            size: tuple[int, int] = (1200, 800),
            phone: bool = False,
        ) -> Visitor:
            context = await browser.new_context(
                locale=locale,
                color_scheme=appearance,
                viewport={"width": size[0], "height": size[1]},
                is_mobile=phone,
                has_touch=phone,
            )
            stack.push_async_callback(context.close)
            context.set_default_timeout(8_000)
            visitors.append(Visitor(context, base or shared.base))
            return visitors[-1]

        yield come
        for visitor in visitors:
            visitor.verify()


@pytest.fixture
async def ana(visit: Visit) -> Visitor:
    return await visit()
