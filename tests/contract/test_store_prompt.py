"""L8: a prompt reaches back so far and no further, whatever the chat holds."""

from uuid import UUID, uuid4

from prosa.adapters.sql import branch
from prosa.core.run import Claimant
from prosa.core.work import Held
from tests.contract.scene import DONE, LIMITS, Scene


async def _answered(scene: Scene, chat: UUID, question: str, reply: str) -> None:
    receipt = await scene.store.runs.accept(scene.ask(chat, question), LIMITS)
    claimant = Claimant(receipt.row.run, "wk-1", next(scene.claims))
    assert await scene.store.runs.claim(claimant, lease_seconds=3, continues=(), limits=LIMITS)
    assert (await scene.store.runs.finish(claimant, reply, DONE, LIMITS)).mine


async def _prompt(scene: Scene, chat: UUID) -> list[str]:
    receipt = await scene.store.runs.accept(scene.ask(chat, "now?"), LIMITS)
    claimant = Claimant(receipt.row.run, "wk-1", next(scene.claims))
    held = await scene.store.runs.claim(claimant, lease_seconds=3, continues=(), limits=LIMITS)
    assert isinstance(held, Held)
    return [turn.text for turn in held.turns]


async def test_a_prompt_leaves_out_what_lies_further_back_than_a_model_can_read(scene: Scene) -> None:
    chat, large = uuid4(), "x" * (branch.PROMPT_CHARACTERS // 3)
    for n in range(4):
        await _answered(scene, chat, f"question {n}", f"{n}{large}")
    turns = await _prompt(scene, chat)
    assert turns[-1] == "now?"
    assert [text[0] for text in turns[1::2]] == ["2", "3"]
    assert turns[0] == "question 2"


async def test_an_ordinary_chat_is_read_to_its_root(scene: Scene) -> None:
    chat = uuid4()
    for n in range(3):
        await _answered(scene, chat, f"q{n}", f"a{n}")
    assert await _prompt(scene, chat) == ["q0", "a0", "q1", "a1", "q2", "a2", "now?"]
