"""The branch of a chat from its root to a question, read as a prompt."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Connection, Select, and_, bindparam, literal, select

from prosa.adapters.sql.rows import Record
from prosa.adapters.sql.tables import messages, runs
from prosa.core.chat import Exchange, Role, Turn, prompt
from prosa.core.run import RunState


def _branch() -> Select[*tuple[Any, ...]]:
    columns = (messages.c.id, messages.c.parent_id, messages.c.role, messages.c.text)
    in_chat = messages.c.chat_id == bindparam("chat")
    leaf = select(*columns, literal(0).label("depth")).where(in_chat, messages.c.id == bindparam("question"))
    branch = leaf.cte("branch", recursive=True)
    above = and_(in_chat, messages.c.id == branch.c.parent_id)
    branch = branch.union_all(select(*columns, branch.c.depth + 1).join_from(branch, messages, above))
    query = select(branch, runs.c.state).outerjoin_from(branch, runs, runs.c.reply_id == branch.c.id)
    return query.order_by(branch.c.depth.desc())


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
