"""One failing run is found from the alert to its trace by ids, with the very commands of docs/observability.md."""

import asyncio
import os
import subprocess
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from uuid import UUID

import msgspec
import pytest

from prosa.cluster.loopback import free_port
from tests.receiver import Receiver, receiving
from tests.system.cluster import House, Nodes, house, until
from tests.system.console import check, commands, script
from tests.system.harness import Person
from tests.system.prometheus import Prometheus, watched

PAGE = Path(__file__).parents[2] / "docs" / "observability.md"
FIRES_SECONDS = 60.0
CONFIGURATION = """\
default_model = "scripted"

[[models]]
name = "gpt"
engine = "openai"
base_url = "http://127.0.0.1:{port}/v1"
"""


class Trouble(msgspec.Struct, frozen=True):
    """A cluster with a model whose server is down, and all that watches it."""

    house: House
    prometheus: Prometheus
    receiver: Receiver


@pytest.fixture
async def trouble(nodes: Nodes, tmp_path: Path) -> AsyncIterator[Trouble]:
    await nodes.heal()
    config = tmp_path / "prosa.toml"
    config.write_text(CONFIGURATION.format(port=free_port()))
    async with AsyncExitStack() as stack:
        receiver = await stack.enter_async_context(receiving())
        settings = {"config": str(config), "otlp_endpoint": receiver.address}
        cluster = await stack.enter_async_context(
            house(nodes, gateways=1, workers=1, proxied=False, overrides=None, filled=None, **settings)
        )
        yield Trouble(cluster, await stack.enter_async_context(watched(cluster)), receiver)


async def test_a_failing_run_is_found_from_the_alert_to_its_trace_as_the_page_shows(
    trouble: Trouble, tmp_path: Path
) -> None:
    root = await Person.sign_up(trouble.house.base)
    member = await Person.sign_up(trouble.house.base)
    enough = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        asking = group.create_task(_asks(member, enough))
        await trouble.prometheus.fires(FIRES_SECONDS, alertname="ProsaModelFailing", model="gpt")
        enough.set()
    await _logged(trouble.house, asking.result())
    (tmp_path / "prosa.log").write_text("\n".join(f"{name} | {line}" for name, line in trouble.house.lines))
    shown = commands(PAGE, "shell-session")
    output = await _run(shown, trouble, root, tmp_path)
    check(shown, output)
    story = msgspec.json.decode((tmp_path / "story.json").read_bytes())
    run = UUID(story["run"]["id"])
    assert story["run"]["user"]["username"] == member.username
    assert f"\n{run.hex}\n" in output.replace("\x1e", "\n")
    spans = await trouble.receiver.until(5, run)
    assert {span.error for span in spans if span.name == "model"} == {"model_unreachable"}


async def _asks(person: Person, enough: asyncio.Event) -> UUID:
    """Again and again, of the model whose server is down; returns the last run."""
    async with person.socket() as tab:
        while True:
            accepted = await tab.ask("is anybody there", model="gpt")
            await tab.answer(accepted["run"])
            if enough.is_set():
                return UUID(accepted["run"])


async def _logged(watched: House, run: UUID) -> None:
    """A process logs through a thread and a pipe: its last lines come after the answer that they tell of."""

    async def told() -> bool:
        return any(str(run) in line and '"run.ended"' in line for _, line in watched.lines)

    await until(told)


async def _run(shown: list[tuple[str, str]], trouble: Trouble, root: Person, folder: Path) -> str:
    process = await asyncio.create_subprocess_exec(
        "bash",
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        cwd=folder,
        env={
            "PATH": os.defpath,
            "PROSA_URL": trouble.house.base,
            "PROSA_TOKEN": root.token,
            "PROMETHEUS_URL": trouble.prometheus.url,
        },
    )
    async with asyncio.timeout(60):
        output, _ = await process.communicate(script(shown).encode())
    return output.decode()
