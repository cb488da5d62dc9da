"""How many messages the processes have put on the broker, as their own metrics tell."""

import asyncio
import re
from collections.abc import Sequence
from typing import Final

import aiohttp

PUBLISHED: Final = "prosa_bus_published_total"
TIMEOUT: Final = aiohttp.ClientTimeout(total=5)


def total(text: str, name: str = PUBLISHED) -> float | None:
    """The sum of a counter over all its labels in a page of metrics, 0 where it has none yet; None where it is not
    declared there. Pure."""
    if f"# TYPE {name} " not in text:
        return None
    found = re.findall(rf"^{re.escape(name)}(?:\{{[^}}]*\}})? (\S+)", text, re.MULTILINE)
    return sum(map(float, found))


async def published(addresses: Sequence[str], token: str | None = None) -> float | None:
    """The sum over the processes at these HTTP addresses; None where not a single one tells.

    ``token``: what the deployment's setting ``metrics_token`` asks for.
    """
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    async with aiohttp.ClientSession(timeout=TIMEOUT, headers=headers) as http, asyncio.TaskGroup() as group:
        tasks = [group.create_task(_page(http, address)) for address in addresses]
    told = [value for task in tasks if (value := total(task.result())) is not None]
    return sum(told) if told else None


async def _page(http: aiohttp.ClientSession, address: str) -> str:
    try:
        async with http.get(f"{address.rstrip('/')}/metrics") as response:
            return await response.text() if response.status == 200 else ""
    except (aiohttp.ClientError, OSError):
        return ""
