"""Makes the README's pictures: the real page, answered by the local model. Run: python -m tools.screenshots"""

import asyncio
import re
import sys
import tempfile
from pathlib import Path
from typing import Final

from playwright.async_api import Browser, ViewportSize, expect

from tests.browser.chromium import chromium
from tests.browser.visitor import Tab, Visitor, text_of
from tests.system.harness import Served

IMAGES: Final = Path(__file__).parent.parent / "docs" / "images"
MOST_BYTES: Final = 200_000
SETTINGS: Final = {"PROSA_LOCAL": "true", "PROSA_SCRIPTED": "false", "PROSA_SLOTS": "2"}
DESK: Final = ViewportSize(width=1120, height=720)
PHONE: Final = ViewportSize(width=390, height=760)
ENGLISH: Final = ("What is photosynthesis?", "Why is that important for us?")
PORTUGUESE: Final = "Por que a água é importante para nós?"
LIST: Final = "Write a short list of three tips for a good night's sleep."


async def main() -> None:
    IMAGES.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        served = Served(Path(folder) / "data", SETTINGS)
        await served.start()
        try:
            async with chromium() as browser:
                await _photograph(browser, served.base)
        finally:
            served.stop()


async def _photograph(browser: Browser, base: str) -> None:
    context = await browser.new_context(locale="en-US", color_scheme="light", viewport=DESK, device_scale_factor=2)
    visitor = Visitor(context, base)
    visitor.name = "Ana"
    tab = await visitor.signed_up()
    await _ask(tab, PORTUGUESE)
    await tab.at("new-chat").click()
    await _ask(tab, *ENGLISH)
    await shoot(tab, "chat-light")
    await tab.page.emulate_media(color_scheme="dark")
    await tab.at("new-chat").click()
    await expect(text_of(await tab.ask(LIST))).to_have_text(re.compile(r".{50}", re.DOTALL))
    await shoot(tab, "chat-dark")
    await tab.page.emulate_media(color_scheme="light")
    await tab.at("settings").click()
    await tab.at("language").select_option("pt")
    await tab.page.keyboard.press("Escape")
    await tab.at("chat-link").filter(has_text=PORTUGUESE).click()
    await expect(tab.replies).to_have_count(1)
    await tab.page.set_viewport_size(PHONE)
    await shoot(tab, "chat-phone-pt")
    visitor.verify()


async def _ask(tab: Tab, *questions: str) -> None:
    for question in questions:
        reply = await tab.ask(question)
        await expect(reply).to_have_attribute("data-state", "done", timeout=60_000)


async def shoot(tab: Tab, name: str) -> None:
    """Writes a picture; fails where it is too big for a README."""
    await tab.page.mouse.move(0, 0)
    path = IMAGES / f"{name}.png"
    size = len(await tab.page.screenshot(path=path, animations="disabled", caret="hide"))
    if size > MOST_BYTES:
        sys.exit(f"{path.name} has {size} bytes; a README wants at most {MOST_BYTES}. Take a smaller window.")
    sys.stdout.write(f"{path.name}: {size} bytes\n")


if __name__ == "__main__":
    asyncio.run(main())
