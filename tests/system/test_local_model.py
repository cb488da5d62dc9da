"""The model that ships with Prosa, in a real process: it answers offline, and goes on after a power cut."""

from collections.abc import AsyncIterator
from pathlib import Path
from uuid import UUID

import pytest

from tests.reader import Frame
from tests.system.harness import Person, Served, Tab

pytestmark = pytest.mark.real_model


@pytest.fixture
async def real(tmp_path: Path) -> AsyncIterator[Served]:
    served = Served(tmp_path / "data", {"PROSA_LOCAL": "true", "PROSA_SCRIPTED": "false", "PROSA_SLOTS": "4"})
    await served.start()
    try:
        yield served
    finally:
        served.kill()


@pytest.mark.parametrize(
    "question",
    ["Tell me a long story about the sea and a lighthouse.", "Escreva uma história longa sobre um farol e o mar."],
)
async def test_killed_in_mid_answer_a_real_reply_goes_on_from_what_was_saved(real: Served, question: str) -> None:
    person = await Person.sign_up(real.base)
    async with person.socket() as tab:
        accepted, before = await _long_answer(person, tab, question)
        real.kill()
    await real.start()
    async with person.socket() as tab:
        await tab.send({"type": "watch", "chat": accepted["chat"], "runs": [accepted["run"]]})
        snapshot = await tab.until("snapshot")
        reader = await tab.answer(accepted["run"], seconds=60)
    assert reader.end is not None
    assert (reader.end["type"], reader.end["attempt"]) == ("done", 2)
    assert snapshot["text"]
    assert reader.text.startswith(snapshot["text"])
    assert len(reader.text) > len(snapshot["text"])
    assert snapshot["text"].startswith(before)
    stored = (await person.history(UUID(accepted["chat"])))["messages"]
    assert [message["text"] for message in stored] == [question, reader.text]


async def _long_answer(person: Person, tab: Tab, question: str) -> tuple[Frame, str]:
    """An answer that still goes on, and what of it was saved: a model may be brief, so ask until it is not."""
    for _ in range(8):
        accepted = await tab.ask(question)
        await tab.until("delta", run=accepted["run"], seconds=60)
        while True:
            _, run = await person.http("GET", f"/api/runs/{accepted['run']}")
            if run["state"] != "running":
                break
            if run["text"]:
                return accepted, run["text"]
    raise AssertionError(f"Eight times the answer was over at once: {question}")
