"""Makes the pictures of the cockpit: a real cluster under load, a worker of which is killed.

Run: python -m tools.cockpit_screenshots
"""

import asyncio
import os
import re
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from playwright.async_api import Browser, ViewportSize, expect

from tests.browser.chromium import chromium
from tests.browser.visitor import Tab, Visitor
from tests.system.test_up import Up, launched, own_folder
from tools.screenshots import shoot

WORKERS: Final = 4
SETTINGS: Final = {"PROSA_SCRIPTED": "true", "PROSA_LOCAL": "false", "PROSA_SLOTS": "16"}
LOAD: Final = ("--users", "64", "--seconds", "600", "--words", "60", "--rate", "15", "--ttft", "0.4", "--think", "1.5")
LOADED_SECONDS: Final = 130.0
"""Until the plots have something to show."""
LONG: Final = "[[n=400 r=16]]"
DESK: Final = ViewportSize(width=1280, height=830)
PHONE: Final = ViewportSize(width=390, height=844)
PATIENT_MS: Final = 60_000


async def main() -> None:
    with own_folder() as folder:
        async with (
            launched(folder, "--gateways", "2", "--workers", str(WORKERS), **SETTINGS) as up,
            chromium() as browser,
        ):
            await up.ready()
            await _photograph(browser, up, folder)
            await up.end(signal.SIGTERM)


async def _photograph(browser: Browser, up: Up, folder: Path) -> None:
    context = await browser.new_context(locale="en-US", color_scheme="light", viewport=DESK, device_scale_factor=1.5)
    visitor = Visitor(context, up.address)
    visitor.name = "Ana"
    chat = await visitor.signed_up()
    cockpit = await visitor.tab("/cockpit")
    async with _load(up.address, folder):
        await _broken(chat)
        await asyncio.sleep(LOADED_SECONDS)
        run = await _taken_over(chat, cockpit, up)
        await _map(cockpit)
        runs = await visitor.tab(f"/cockpit/runs/{run}")
        await expect(runs.at("run-page")).to_have_attribute("data-state", "done", timeout=PATIENT_MS)
        await shoot(runs, "cockpit-timeline")
        await runs.page.goto(f"{up.address}/cockpit/runs?state=failed")
        await expect(runs.at("run-row").first).to_be_visible()
        await shoot(runs, "cockpit-runs")


async def _map(cockpit: Tab) -> None:
    await cockpit.page.bring_to_front()
    await shoot(cockpit, "cockpit-map")
    await cockpit.page.emulate_media(color_scheme="dark")
    await shoot(cockpit, "cockpit-map-dark")
    await cockpit.page.emulate_media(color_scheme="light")
    await cockpit.page.set_viewport_size(PHONE)
    await shoot(cockpit, "cockpit-phone")


async def _broken(chat: Tab) -> None:
    await expect(await chat.ask("A broken one [[n=20 r=20 fail=6]]")).to_have_attribute("data-state", "failed")


async def _taken_over(chat: Tab, cockpit: Tab, up: Up) -> str:
    """The id of a run whose worker was killed in the middle of it."""
    reply = await chat.ask(f"A long one {LONG}")
    await chat.speaks(reply, 60)
    run = str(await reply.get_attribute("data-run"))
    story = await (await cockpit.page.request.get(f"{up.address}/api/admin/runs/{run}")).json()
    for name, process in up.processes.items():
        if name.startswith("worker-") and await _name(cockpit, process["address"]) == story["run"]["worker"]:
            os.kill(up.pid(name), signal.SIGKILL)
    await expect(reply).to_have_attribute("data-attempt", re.compile("[2-9]"), timeout=PATIENT_MS)
    return run


async def _name(cockpit: Tab, address: str) -> str:
    name: str = (await (await cockpit.page.request.get(f"{address}/health")).json())["worker"]
    return name


@asynccontextmanager
async def _load(address: str, folder: Path) -> AsyncIterator[None]:
    bench = await asyncio.create_subprocess_exec(
        Path(sys.executable).with_name("prosa"),
        *("bench", "--url", address, "--out", str(folder / "bench"), *LOAD),
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        yield
    finally:
        bench.kill()
        await bench.wait()


if __name__ == "__main__":
    asyncio.run(main())
