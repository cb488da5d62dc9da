"""The port ``Classic``: which replies the classic socket owes, and which it has told."""

from typing import Any, Final
from uuid import UUID

from sqlalchemy import Connection, Select, and_, bindparam, func, insert, select, update

from prosa.adapters.sql.chats import DELETED
from prosa.adapters.sql.columns import Now
from prosa.adapters.sql.database import Database
from prosa.adapters.sql.rows import read_row
from prosa.adapters.sql.tables import chats, classic_replies, runs, users
from prosa.core.classic import Opened
from prosa.core.errors import NotFound
from prosa.core.relay import Row

_here: Final = classic_replies.c.chat_id == bindparam("chat")
_open: Final = (
    select(chats.c.user_id)
    .join_from(chats, users, and_(users.c.id == chats.c.user_id, users.c.disabled.is_(False)))
    .where(chats.c.id == bindparam("chat"), chats.c.status != DELETED)
)
# Replies are told in order: behind the last that was, none was.
_told: Final = select(func.max(classic_replies.c.ordinal)).where(_here, classic_replies.c.told_at.is_not(None))


def _first_behind() -> Select[Any]:
    same = and_(runs.c.chat_id == classic_replies.c.chat_id, runs.c.ordinal == classic_replies.c.ordinal)
    behind = select(runs.c.id).join_from(classic_replies, runs, same)
    return behind.where(_here, classic_replies.c.ordinal > bindparam("after")).order_by(classic_replies.c.ordinal)


_next: Final = _first_behind().limit(1)


class SqlClassic:
    """See ports.Classic."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def enter(self, chat: UUID) -> Opened:
        return await self._database.read(lambda tx: _enter(tx, chat))

    async def next(self, chat: UUID, after: int) -> Row | None:
        return await self._database.read(lambda tx: _read_next(tx, chat, after))

    async def tell(self, chat: UUID, ordinal: int) -> None:
        await self._database.write(lambda tx: _tell(tx, chat, ordinal))


def owe(tx: Connection, chat: UUID, ordinal: int) -> None:
    """The run at this place is being accepted: its reply is owed to the classic socket from its beginning."""
    tx.execute(insert(classic_replies).values(chat_id=chat, ordinal=ordinal))


def _enter(tx: Connection, chat: UUID) -> Opened:
    user = _owner(tx, chat)
    return Opened(user, tx.execute(_told, {"chat": chat}).scalar() or 0)


def _owner(tx: Connection, chat: UUID) -> UUID:
    user: UUID | None = tx.execute(_open, {"chat": chat}).scalar()
    if user is None:
        raise NotFound(f"There is no chat {chat} that can be opened. Look at its id, and whether its user is enabled.")
    return user


def _read_next(tx: Connection, chat: UUID, after: int) -> Row | None:
    _owner(tx, chat)
    run: UUID | None = tx.execute(_next, {"chat": chat, "after": after}).scalar()
    return None if run is None else read_row(tx, run)


def _tell(tx: Connection, chat: UUID, ordinal: int) -> None:
    told = (classic_replies.c.chat_id == chat, classic_replies.c.ordinal <= ordinal)
    tx.execute(update(classic_replies).where(*told, classic_replies.c.told_at.is_(None)).values(told_at=Now()))
