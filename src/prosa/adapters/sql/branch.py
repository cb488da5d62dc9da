"""The branch of a chat from its root to a question, read as a prompt."""

from collections.abc import Sequence
from itertools import pairwise
from uuid import UUID

from sqlalchemy import Connection, and_, literal, select

from prosa.adapters.sql.rows import Record
from prosa.adapters.sql.tables import messages, runs
from prosa.core.chat import Exchange, Role, Turn, prompt
from prosa.core.run import RunState


def turns(tx: Connection, chat: UUID, question: UUID) -> tuple[Turn, ...]:
    """The turns of a question, in order."""
    *before, asked = _branch(tx, chat, question)
    system = next((message.text for message in before if message.role == Role.SYSTEM), None)
    return prompt(system, _exchanges(before), asked.text)


def _exchanges(branch: Sequence[Record]) -> list[Exchange]:
    """Questions with the replies that follow them."""
    return [
        Exchange(question.text, reply.text, RunState(reply.state or RunState.DONE))
        for question, reply in pairwise(branch)
        if question.role == Role.USER and reply.role == Role.ASSISTANT
    ]


def _branch(tx: Connection, chat: UUID, question: UUID) -> Sequence[Record]:
    columns = (messages.c.id, messages.c.parent_id, messages.c.role, messages.c.text)
    leaf = select(*columns, literal(0).label("depth")).where(messages.c.chat_id == chat, messages.c.id == question)
    branch = leaf.cte("branch", recursive=True)
    above = and_(messages.c.chat_id == chat, messages.c.id == branch.c.parent_id)
    branch = branch.union_all(select(*columns, branch.c.depth + 1).join_from(branch, messages, above))
    query = select(branch, runs.c.state).outerjoin_from(branch, runs, runs.c.reply_id == branch.c.id)
    return tx.execute(query.order_by(branch.c.depth.desc())).all()
