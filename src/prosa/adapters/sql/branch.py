"""The branches of chats from their roots to questions, read as prompts."""

from collections.abc import Sequence
from functools import cache
from itertools import groupby, pairwise
from typing import Any, Final
from uuid import UUID

import msgspec
from sqlalchemy import Connection, Select, and_, column, func, literal, select

from prosa.adapters.sql.columns import Id
from prosa.adapters.sql.given import given, with_rows
from prosa.adapters.sql.rows import Record
from prosa.adapters.sql.tables import messages, runs
from prosa.core.chat import Exchange, Role, Turn, prompt
from prosa.core.run import RunState

PROMPT_CHARACTERS: Final = 1024 * 1024
PROMPT_MESSAGES: Final = 2000
"""How far back a prompt reaches (L8). No model reads more; an engine leaves out what does not fit its own context."""


class Question(msgspec.Struct, frozen=True):
    """What a run answers."""

    run: UUID
    chat: UUID
    question: UUID


@cache
def _branches(dialect: str) -> Select[*tuple[Any, ...]]:
    """From each question towards its root, while messages and characters are within bounds."""
    asked = given(dialect, column("run", Id()), column("chat", Id()), column("question", Id()))
    size = func.length(messages.c.text)
    columns = (messages.c.id, messages.c.parent_id)
    start = (literal(0).label("depth"), size.label("characters"))
    the_question = and_(messages.c.chat_id == asked.c.chat, messages.c.id == asked.c.question)
    leaf = select(asked.c.run, asked.c.chat, *columns, *start).join_from(asked, messages, the_question)
    branch = leaf.cte("branch", recursive=True)
    within = and_(branch.c.depth < PROMPT_MESSAGES, branch.c.characters < PROMPT_CHARACTERS)
    above = and_(messages.c.chat_id == branch.c.chat, messages.c.id == branch.c.parent_id, within)
    further = (branch.c.run, branch.c.chat, *columns, branch.c.depth + 1, branch.c.characters + size)
    branch = branch.union_all(select(*further).join_from(branch, messages, above))
    here = and_(messages.c.chat_id == branch.c.chat, messages.c.id == branch.c.id)
    query = select(branch.c.run.label("asked"), messages.c.role, messages.c.text, runs.c.state)
    replies = query.join_from(branch, messages, here).outerjoin(runs, runs.c.reply_id == branch.c.id)
    return replies.order_by(branch.c.run, branch.c.depth.desc())


def prompts(tx: Connection, asked: Sequence[Question]) -> dict[UUID, tuple[Turn, ...]]:
    """The turns that lead to each question, in order, by run."""
    found = with_rows(tx, _branches, asked)
    return {run: _turns(list(branch)) for run, branch in groupby(found, key=lambda message: message.asked)}


def _turns(branch: Sequence[Record]) -> tuple[Turn, ...]:
    *before, asked = branch
    system = next((message.text for message in before if message.role == Role.SYSTEM), None)
    return prompt(system, _exchanges(before), asked.text)


def _exchanges(branch: Sequence[Record]) -> list[Exchange]:
    """Questions with the replies that follow them."""
    return [
        Exchange(question.text, reply.text, RunState(reply.state or RunState.DONE))
        for question, reply in pairwise(branch)
        if question.role == Role.USER and reply.role == Role.ASSISTANT
    ]
