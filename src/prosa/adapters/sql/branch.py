"""The branch of a chat from its root to a question, read as a prompt."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Connection, Select, and_, bindparam, func, literal, select

from prosa.adapters.sql.rows import Record
from prosa.adapters.sql.tables import messages, runs
from prosa.core.chat import Exchange, Role, Turn, prompt
from prosa.core.run import RunState

PROMPT_CHARACTERS: Final = 1024 * 1024
PROMPT_MESSAGES: Final = 2000
"""How far back a prompt reaches (L8). No model reads more; an engine leaves out what does not fit its own context."""


def _branch() -> Select[*tuple[Any, ...]]:
    """From the question towards the root, while messages and characters are within bounds."""
    size = func.length(messages.c.text)
    columns = (messages.c.id, messages.c.parent_id)
    in_chat = messages.c.chat_id == bindparam("chat")
    start = (literal(0).label("depth"), size.label("characters"))
    leaf = select(*columns, *start).where(in_chat, messages.c.id == bindparam("question"))
    branch = leaf.cte("branch", recursive=True)
    within = and_(branch.c.depth < PROMPT_MESSAGES, branch.c.characters < PROMPT_CHARACTERS)
    above = and_(in_chat, messages.c.id == branch.c.parent_id, within)
    further = (branch.c.depth + 1, branch.c.characters + size)
    branch = branch.union_all(select(*columns, *further).join_from(branch, messages, above))
    here = and_(in_chat, messages.c.id == branch.c.id)
    query = select(messages.c.role, messages.c.text, runs.c.state).join_from(branch, messages, here)
    return query.outerjoin(runs, runs.c.reply_id == branch.c.id).order_by(branch.c.depth.desc())


_BRANCH: Final = _branch()


def turns(tx: Connection, chat: UUID, question: UUID) -> tuple[Turn, ...]:
    """The turns of a question, in order."""
    *before, asked = tx.execute(_BRANCH, {"chat": chat, "question": question}).all()
    system = next((message.text for message in before if message.role == Role.SYSTEM), None)
    return prompt(system, _exchanges(before), asked.text)


def _exchanges(branch: Sequence[Record]) -> list[Exchange]:
    """Questions with the replies that follow them."""
    return [
        Exchange(question.text, reply.text, RunState(reply.state or RunState.DONE))
        for question, reply in pairwise(branch)
        if question.role == Role.USER and reply.role == Role.ASSISTANT
    ]
