"""Through a backup and a restore: whoever was promised an answer gets it, in the other database."""

import asyncio
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import UUID

import pytest

from prosa.adapters.scripted_engine import expected_reply
from tests.system.cluster import Nodes, house, until
from tests.system.harness import Person, Served

QUESTION = "through a backup [[n=200 r=20]]"


async def prosa(*words: str, **environment: str) -> None:
    process = await asyncio.create_subprocess_exec(
        Path(sys.executable).with_name("prosa"), *words, env={"PATH": "/usr/bin:/bin", **environment}
    )
    assert await process.wait() == 0


@pytest.fixture
async def laptop(tmp_path: Path) -> AsyncIterator[Served]:
    made = Served(tmp_path / "laptop")
    await made.start()
    yield made
    made.kill()


async def test_an_answer_that_was_going_on_on_the_laptop_ends_in_the_cluster(
    laptop: Served, nodes: Nodes, tmp_path: Path
) -> None:
    file = str(tmp_path / "laptop.prosa")
    ana = await Person.sign_up(laptop.base)
    async with ana.socket() as tab:
        accepted = await tab.ask(QUESTION)
        await tab.until("delta", run=accepted["run"])
        await asyncio.sleep(1.5)  # until something of it is saved
        await prosa("backup", file, PROSA_DATA_DIR=str(laptop.folder))
        laptop.kill()

    async def restored(url: str) -> None:
        await prosa("restore", file, PROSA_DATABASE_URL=url)

    await nodes.heal()
    async with house(nodes, gateways=1, workers=1, proxied=False, filled=restored) as cluster:
        moved = Person(cluster.base, ana.username, ana.token)

        async def over() -> bool:
            messages = (await moved.history(UUID(accepted["chat"])))["messages"]
            return bool(messages[-1]["state"] != "running" and messages[-1]["text"] == expected_reply(QUESTION))

        await until(over)
        (row,) = await cluster.ask("SELECT state, attempt FROM runs")
        assert (row["state"], row["attempt"]) == ("done", 2)
