"""Many users on the scripted engine in one embedded process: is every reply whole, and what does Prosa add?

The time added to the first token is from the send of the question to the first delta, since the engine's own is 0.
"""

import asyncio
import statistics
import time
from itertools import pairwise
from pathlib import Path

import msgspec
from uuid_utils.compat import uuid7

from benchmarks.people import people
from prosa.adapters.scripted_engine import expected_reply
from tests.system.harness import Person, Served


class Answer(msgspec.Struct):
    """One question's life, in seconds."""

    accepted: float
    first: float
    gaps: list[float]
    whole: bool


class Load(msgspec.Struct):
    """What the load showed. Times are in milliseconds."""

    users: int
    whole: int
    accepted_median: float
    first_median: float
    first_p99: float
    gap_p99: float
    locked: int
    cpu_seconds: float
    seconds: float


async def load(folder: Path, users: int, words: int, rate: int, spread: float) -> Load:
    """Start a process, let ``users`` each ask once within ``spread`` seconds, and read every reply."""
    tokens = await people(folder, users)
    served = Served(folder, {"PROSA_SLOTS": str(users + 10)})
    await served.start()
    try:
        before, begun = _cpu(served.pid), time.monotonic()
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(_one(Person(served.base, "", token), n * spread / users, f"[[n={words} r={rate}]]"))
                for n, token in enumerate(tokens)
            ]
        answers = [task.result() for task in tasks]
        return _report(answers, served, _cpu(served.pid) - before, time.monotonic() - begun)
    finally:
        served.kill()


async def _one(person: Person, delay: float, text: str) -> Answer:
    async with person.socket() as tab:
        await asyncio.sleep(delay)
        sent = time.monotonic()
        accepted = await tab.ask(f"{uuid7()} {text}")
        stored = tab.times[-1]
        reader = await tab.answer(accepted["run"], seconds=120)
        shown = [when for frame, when in zip(tab.frames, tab.times, strict=True) if frame["type"] == "delta"]
    question = await person.history(accepted["chat"])
    whole = reader.text == expected_reply(question["messages"][0]["text"]) == question["messages"][1]["text"]
    gaps = [later - earlier for earlier, later in pairwise(shown)]
    return Answer(stored - sent, shown[0] - sent, gaps, whole)


def _report(answers: list[Answer], served: Served, cpu: float, seconds: float) -> Load:
    return Load(
        users=len(answers),
        whole=sum(answer.whole for answer in answers),
        accepted_median=_ms(statistics.median(answer.accepted for answer in answers)),
        first_median=_ms(statistics.median(answer.first for answer in answers)),
        first_p99=_ms(_p99([answer.first for answer in answers])),
        gap_p99=_ms(_p99([gap for answer in answers for gap in answer.gaps])),
        locked=served.log.count("locked"),
        cpu_seconds=round(cpu, 2),
        seconds=round(seconds, 1),
    )


def _p99(values: list[float]) -> float:
    return sorted(values)[int(0.99 * (len(values) - 1))]


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 1)


def _cpu(pid: int) -> float:
    user, system = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[11:13]
    return (int(user) + int(system)) / 100
