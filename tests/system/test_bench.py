"""`prosa bench` against the real thing, through its restart, and against servers that cheat."""

import asyncio
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

from prosa.load.report import Report
from tests.system.cheat import Cheat, Frame, Trick
from tests.system.harness import Person, Served

BENCH_SECONDS = 60.0


async def start(folder: Path, *options: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        Path(sys.executable).with_name("prosa"),
        "bench",
        *options,
        cwd=folder,
        env={"PATH": os.defpath, "HOME": str(folder)},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )


async def ended(process: asyncio.subprocess.Process) -> tuple[int, str]:
    """The exit code and what was printed."""
    try:
        async with asyncio.timeout(BENCH_SECONDS):
            output, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
    return process.returncode or 0, output.decode()


async def connected(running: asyncio.subprocess.Process) -> None:
    """All people have their sockets."""
    assert running.stdout is not None
    async with asyncio.timeout(BENCH_SECONDS):
        while "connected" not in (await running.stdout.readline()).decode():
            continue


def people(served: Served, accounts: Path) -> list[Person]:
    """Those whom the bench plays."""
    return [Person(served.base, "", account["token"]) for account in json.loads(accounts.read_text())]


async def answered_in_part(person: Person) -> None:
    """Some of an answer to this person is saved."""
    text = ""
    while not text:
        _, chats = await person.http("GET", "/api/chats")
        for chat in chats["items"]:
            text += "".join(one["text"] for one in (await person.history(chat["id"]))["messages"][1:])


async def bench(folder: Path, *options: str) -> tuple[int, str, Report]:
    code, output = await ended(await start(folder, *options))
    path = folder / "bench-results" / "report.json"
    assert path.exists(), output
    return code, output, msgspec.json.decode(path.read_bytes(), type=Report)


# ── the real thing ──


async def test_every_reply_of_a_real_server_is_verified(served: Served, tmp_path: Path) -> None:
    options = ["--users", "10", "--messages", "3", "--words", "12", "--rate", "60", "--spread", "0.5", "--ahead", "2"]
    code, output, report = await bench(tmp_path, "--url", served.base, "--pid", f"prosa={served.pid}", *options)
    found = report.verdict
    assert (code, found.asked, found.answered, found.flawless) == (0, 30, 30, True), output
    assert (report.evidence, report.generator.processes) == ((), 1)
    assert report.flow.words == 360
    assert report.flow.characters == sum(len(f"w{word}-12345678 ") for word in range(12)) * 30 - 30
    assert report.times.first_added.median is not None
    assert 0 < report.times.first_added.median < 5000
    assert report.times.gaps.median == pytest.approx(1000 / 60, rel=1)
    (process,) = report.cost.processes
    assert (process.name, process.megabytes_most > 20) == ("prosa", True)
    assert report.synced_commit.median is not None
    written = {path.name for path in (tmp_path / "bench-results").iterdir()}
    assert {"first.svg", "gaps.svg", "over-time.svg", "cpu.svg", "accounts.json"} <= written


async def test_its_accounts_are_used_again_and_its_people_may_be_in_several_processes(
    served: Served, tmp_path: Path
) -> None:
    accounts = tmp_path / "people.json"
    common = ["--url", served.base, "--tokens-file", str(accounts), "--words", "3", "--rate", "100", "--spread", "0"]
    assert (await bench(tmp_path, *common, "--users", "4"))[0] == 0
    before: list[Any] = json.loads(accounts.read_text())
    assert (len(before), accounts.stat().st_mode & 0o077) == (4, 0)
    code, output, report = await bench(tmp_path, *common, "--users", "6", "--processes", "2", "--start", "back-to-back")
    assert (code, report.verdict.answered, report.generator.processes) == (0, 6, 2), output
    after: list[Any] = json.loads(accounts.read_text())
    assert (len(after), [one for one in before if one not in after]) == (6, [])


async def test_people_live_through_a_server_that_dies_and_comes_back(served: Served, tmp_path: Path) -> None:
    options = ["--users", "5", "--words", "60", "--rate", "20", "--spread", "0"]
    running = await start(tmp_path, "--url", served.base, *options)
    await connected(running)
    async with asyncio.timeout(BENCH_SECONDS):
        for person in people(served, tmp_path / "bench-results" / "accounts.json"):
            await answered_in_part(person)
    served.kill()
    await served.start()
    code, output = await ended(running)
    report = msgspec.json.decode((tmp_path / "bench-results" / "report.json").read_bytes(), type=Report)
    assert (code, report.verdict.answered, report.verdict.flawless) == (0, 5, True), output
    assert report.disturbance.connections >= 10
    assert report.disturbance.takeovers == 5


async def test_who_interrupts_it_gets_a_report_of_what_there_is(served: Served, tmp_path: Path) -> None:
    running = await start(tmp_path, "--url", served.base, "--users", "3", "--words", "1000", "--rate", "10")
    await connected(running)
    running.send_signal(signal.SIGINT)
    code, output = await ended(running)
    assert code == 0, output
    report = msgspec.json.decode((tmp_path / "bench-results" / "report.json").read_bytes(), type=Report)
    assert (report.verdict.answered, report.verdict.abandoned) == (0, report.verdict.asked)


async def test_nobody_there_is_said_in_one_sentence(tmp_path: Path) -> None:
    code, output = await ended(await start(tmp_path, "--url", "http://127.0.0.1:9", "--users", "1"))
    assert code == 1
    assert "There is no answer from http://127.0.0.1:9" in output
    assert "Traceback" not in output


# ── servers that cheat ──


def without_the_third(frames: list[Frame]) -> list[Frame]:
    return [*frames[:2], *frames[3:]]


def without_the_last_text(frames: list[Frame]) -> list[Frame]:
    return [*frames[:-2], frames[-1]]


def without_an_end(frames: list[Frame]) -> list[Frame]:
    return frames[:-1]


def a_text_twice(frames: list[Frame]) -> list[Frame]:
    return [*frames[:3], frames[2], *frames[3:]]


def an_end_twice(frames: list[Frame]) -> list[Frame]:
    return [*frames, frames[-1]]


def another_character(frames: list[Frame]) -> list[Frame]:
    return [*frames[:2], {**frames[2], "text": frames[2]["text"][:-1] + "!"}, *frames[3:]]


def places_changed(frames: list[Frame]) -> list[Frame]:
    return [*frames[:2], frames[3], frames[2], *frames[4:]]


def half_of_it(messages: list[Frame]) -> list[Frame]:
    return [
        {**message, "text": message["text"][:-5]} if message["role"] == "assistant" else message for message in messages
    ]


def another_reply(messages: list[Frame]) -> list[Frame]:
    return [*messages, {**messages[1], "id": messages[0]["chat"]}]


def only_questions(messages: list[Frame]) -> list[Frame]:
    return [message for message in messages if message["role"] == "user"]


@pytest.mark.parametrize(
    ("flaw", "trick"),
    [
        ("lost", without_the_third),
        ("lost", without_the_last_text),
        ("lost", without_an_end),
        ("duplicated", a_text_twice),
        ("duplicated", an_end_twice),
        ("corrupted", another_character),
        ("reordered", places_changed),
    ],
)
async def test_what_a_server_does_to_a_stream_is_found(tmp_path: Path, flaw: str, trick: Trick) -> None:
    await found(tmp_path, Cheat(trick=trick), flaw)


@pytest.mark.parametrize(
    ("flaw", "forge"), [("corrupted", half_of_it), ("duplicated", another_reply), ("lost", only_questions)]
)
async def test_what_a_server_stores_otherwise_is_found(tmp_path: Path, flaw: str, forge: Trick) -> None:
    await found(tmp_path, Cheat(forge=forge), flaw)


async def found(folder: Path, cheat: Cheat, flaw: str) -> None:
    async with cheat.serving():
        options = ["--users", "2", "--words", "6", "--rate", "100", "--spread", "0", "--lost-after", "1"]
        code, output, report = await bench(folder, "--url", cheat.base, *options)
    counts = {name: getattr(report.verdict, name) for name in ("lost", "duplicated", "corrupted", "reordered")}
    assert code == 1, output
    assert counts[flaw] == 2, counts
    assert f"{flaw} 2" in output
    assert any(one.flaw == flaw for evidence in report.evidence for one in evidence.findings)


async def test_the_same_server_without_a_trick_is_believed(tmp_path: Path) -> None:
    async with Cheat().serving() as honest:
        options = ["--users", "2", "--words", "6", "--rate", "100", "--spread", "0"]
        code, output, report = await bench(tmp_path, "--url", honest.base, *options)
    assert (code, report.verdict.good) == (0, True), output
