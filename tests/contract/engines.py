"""The three engines, each behind the port, and what a contract test needs to know of it."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from uuid import UUID

from prosa.adapters.clock import SystemClock
from prosa.adapters.local_engine import LocalEngine
from prosa.adapters.openai_engine import OpenAIEngine, OpenAIOptions, model_session
from prosa.adapters.scripted_engine import ScriptedEngine
from prosa.core.chat import Role, Turn
from prosa.core.model import Chunk, Finished, Piece, Prompt
from prosa.ports import Engine
from tests.fake_model_server import Exchange, fake_model_server, says

STORY = [f"Word {number} of the story. " for number in range(400)]


@dataclass
class Subject:
    """``question`` gets an answer of some sentences; ``long`` one that takes seconds."""

    engine: Engine
    question: str
    long: str


def asked(text: str, prefix: str = "", run: int = 7) -> Prompt:
    return Prompt(UUID(int=run), (Turn(Role.USER, text),), prefix)


async def answer(engine: Engine, prompt: Prompt) -> list[Chunk]:
    async with engine.stream(prompt) as chunks:
        return [chunk async for chunk in chunks]


def text_of(chunks: list[Chunk]) -> str:
    return "".join(chunk.text for chunk in chunks if isinstance(chunk, Piece))


def end_of(chunks: list[Chunk]) -> Finished:
    assert isinstance(chunks[-1], Finished)
    return chunks[-1]


async def _continuing(exchange: Exchange) -> None:
    """A model server that goes on from a trailing message of the assistant."""
    messages = exchange.body["messages"]
    assert isinstance(messages, list)
    held = len(messages[-1]["content"]) if messages[-1]["role"] == "assistant" else 0
    slow = any(message["content"] == "long" for message in messages)
    texts = STORY if slow else STORY[:5]
    rest = "".join(texts)[held:]
    await says([rest[at : at + 8] for at in range(0, len(rest), 8)], per_second=100 if slow else None)(exchange)


def scripted() -> Subject:
    return Subject(ScriptedEngine(SystemClock()), "hello [[n=12 r=2000]]", "hello [[n=600 r=60]]")


def local(engine: LocalEngine) -> Subject:
    return Subject(engine, "Write a sentence about the sea.", "Tell me a long story about a cat and a dog.")


@asynccontextmanager
async def openai() -> AsyncGenerator[Subject]:
    async with fake_model_server() as server, model_session() as session:
        server.next(_continuing)
        options = OpenAIOptions(server.base_url, "m", continues=True)
        yield Subject(OpenAIEngine(options, session, SystemClock()), "short", "long")
