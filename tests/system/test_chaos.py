"""`prosa chaos` for real: a short siege of a cluster of its own, to its end and cut short."""

import asyncio
import os
import re
import shutil
import signal
import sys
import tempfile
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from prosa.chaos.report import Report
from prosa.chaos.schedule import Deed, schedule
from prosa.cluster.tree import ZOMBIE, family, parents, stat_fields

SIEGE_SECONDS = 240.0
pytestmark = pytest.mark.timeout(300)


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder that PostgreSQL may enter as whatever user it runs."""
    made = Path(tempfile.mkdtemp(prefix="prosa-test-chaos-"))
    made.chmod(0o755)
    yield made
    shutil.rmtree(made)


async def start(folder: Path, *options: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        Path(sys.executable).with_name("prosa"),
        "chaos",
        *options,
        cwd=folder,
        env={"PATH": os.environ["PATH"], "HOME": str(folder)},  # noqa: TID251 — RabbitMQ is started from the path
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )


async def ended(process: asyncio.subprocess.Process) -> tuple[int, str]:
    """The exit code and what was printed."""
    try:
        async with asyncio.timeout(SIEGE_SECONDS):
            output, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
    return process.returncode or 0, output.decode()


async def until(process: asyncio.subprocess.Process, printed: str) -> None:
    assert process.stdout is not None
    async with asyncio.timeout(SIEGE_SECONDS):
        while not re.search(printed, line := (await process.stdout.readline()).decode()):
            assert line, "it ended before"


def results(folder: Path) -> Report:
    for plot in ("over-time.svg", "takeovers.svg"):
        ElementTree.parse(folder / plot)  # noqa: S314 — our own
    return msgspec.json.decode((folder / "report.json").read_bytes(), type=Report)


async def test_a_short_siege_loses_doubles_corrupts_and_reorders_nothing(place: Path) -> None:
    options = ["--users", "10", "--minutes", "0.5", "--every", "4", "--seed", "3", "--words", "20-100", "--cut", "none"]
    restarts = ["--restart", "database-immediate:1,broker-wiped:1"]
    code, printed = await ended(await start(place, *options, *restarts, "--out", "out", "--folder", str(place / "own")))
    assert code == 0, printed
    told = results(place / "out")
    found = told.verdict
    assert (found.lost, found.duplicated, found.corrupted, found.reordered, found.unread_chats) == (0, 0, 0, 0, 0)
    assert found.answered == found.asked > 30
    assert (told.stored.runs, told.stored.unfinished, told.stored.differing) == (found.asked, 0, 0)
    planned = schedule(told.wish, told.seed)
    assert {Deed.KILL, Deed.FREEZE, Deed.RESTART} <= {fault.deed for fault in planned}
    assert sorted(fault.what for fault in told.dealt) == sorted(fault.sentence() for fault in planned)
    assert {outage.what for outage in told.outages} == {"broker wiped", "database immediate"}
    assert "lost 0   duplicated 0   corrupted 0   reordered 0" in printed


async def test_ctrl_c_mends_reports_and_leaves_nothing_behind(place: Path) -> None:
    few = ["--users", "4", "--minutes", "5", "--every", "2", "--kill", "none", "--cut", "none", "--restart", "none"]
    process = await start(place, *few, "--seed", "1", "--out", "out")
    await until(process, r"^\d\d:\d\d freeze ")
    _, *started = family(process.pid, parents())
    assert len(started) > 5
    process.send_signal(signal.SIGINT)
    code, printed = await ended(process)
    assert code == 0, printed
    assert results(place / "out").verdict.asked > 0
    assert [one for one in started if stat_fields(one)[:1] not in ([], [ZOMBIE])] == []


async def test_what_cannot_be_meant_is_told_before_anything_starts(place: Path) -> None:
    for options in (["--kill", "broker"], ["--restart", "broker:often"], ["--words", "9-3"], ["--cut", "moon:1"]):
        code, printed = await ended(await start(place, *options))
        assert code == 2
        assert options[0] in printed
