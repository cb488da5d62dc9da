"""The port ``Chats``: a user's chats and their messages, in keyset pages (L11)."""

from collections.abc import Sequence
from datetime import UTC, datetime
from functools import cache
from typing import Annotated, Any, Final
from uuid import UUID

import msgspec
from sqlalchemy import Connection, Select, and_, bindparam, case, column, literal, or_, select, tuple_, update

from prosa.adapters.sql.columns import Id, Moment
from prosa.adapters.sql.database import Database
from prosa.adapters.sql.given import given, with_rows
from prosa.adapters.sql.pages import bad_cursor, cursor_of, read_cursor
from prosa.adapters.sql.rows import Record, end_columns, end_of
from prosa.adapters.sql.steps import lock_user
from prosa.adapters.sql.tables import chats, messages, runs
from prosa.core.chat import Chat, History, Message, Page, Role
from prosa.core.errors import NotFound
from prosa.core.run import RunState

DELETED: Final = "DELETED"


class _ChatPlace(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """What the cursor of a page of chats holds."""

    updated: Annotated[datetime, msgspec.Meta(tz=True)]
    chat: UUID


class _MessagePlace(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """What the cursor of a page of messages holds, no wider than its columns."""

    ordinal: Annotated[int, msgspec.Meta(ge=0, le=2**31 - 1)]
    role: Role


class SqlChats:
    """See ports.Chats."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def page(self, user: UUID, cursor: str | None, limit: int) -> Page:
        return await self._database.read(lambda tx: _page(tx, user, cursor, limit))

    async def known(self, owned: Sequence[tuple[UUID, UUID]]) -> Sequence[tuple[UUID, Chat]]:
        return await self._database.read(lambda tx: _known(tx, owned)) if owned else ()

    async def history(self, user: UUID, chat: UUID, cursor: str | None, limit: int) -> History:
        return await self._database.read(lambda tx: _history(tx, own_chat(tx, user, chat), cursor, limit))

    async def message(self, user: UUID, chat: UUID, message: UUID) -> Message:
        return await self._database.read(lambda tx: _message(tx, user, chat, message))

    async def rename(self, user: UUID, chat: UUID, title: str) -> Chat:
        return await self._database.write(lambda tx: _change(tx, user, chat, title=title))

    async def delete(self, user: UUID, chat: UUID) -> tuple[Chat, Sequence[UUID]]:
        return await self._database.write(lambda tx: _delete(tx, user, chat))


_chats: Final = select(chats.c.id, chats.c.title, chats.c.status, chats.c.created_at, chats.c.updated_at)
_own_chat: Final = _chats.where(
    chats.c.id == bindparam("chat"), chats.c.user_id == bindparam("user"), chats.c.status != DELETED
)
_unfinished: Final = (
    select(runs.c.id).where(runs.c.chat_id == bindparam("chat"), runs.c.ended_at.is_(None)).order_by(runs.c.ordinal)
)
_messages: Final = select(
    messages.c.id,
    messages.c.chat_id,
    messages.c.parent_id,
    messages.c.role,
    messages.c.ordinal,
    messages.c.created_at,
    case((runs.c.ended_at.is_(None), runs.c.saved), else_=messages.c.text).label("saved"),
    messages.c.text,
    runs.c.id.label("run"),
    runs.c.attempt,
    runs.c.model,
    *end_columns,
).outerjoin_from(messages, runs, and_(runs.c.chat_id == messages.c.chat_id, runs.c.reply_id == messages.c.id))


def own_chat(tx: Connection, user: UUID, chat: UUID) -> Chat:
    """Raises NotFound for what is not the user's, unknown, or deleted."""
    found = tx.execute(_own_chat, {"chat": chat, "user": user}).first()
    if found is None:
        raise NotFound(f"There is no chat {chat} of yours. It may have been deleted.")
    return _to_chat(found)


@cache
def _knowing(dialect: str) -> Select[Any]:
    asked = given(dialect, column("user", Id()), column("chat", Id()))
    own = and_(chats.c.id == asked.c.chat, chats.c.user_id == asked.c.user, chats.c.status != DELETED)
    return _chats.add_columns(chats.c.user_id).join(asked, own)


def _known(tx: Connection, owned: Sequence[tuple[UUID, UUID]]) -> tuple[tuple[UUID, Chat], ...]:
    found = with_rows(tx, _knowing, [{"user": user, "chat": chat} for user, chat in owned])
    return tuple((record.user_id, _to_chat(record)) for record in found)


def unfinished_runs(tx: Connection, chat: UUID) -> tuple[UUID, ...]:
    """By ordinal."""
    return tuple(tx.execute(_unfinished, {"chat": chat}).scalars())


def _page(tx: Connection, user: UUID, cursor: str | None, limit: int) -> Page:
    """Newest first. One more than asked for tells whether there is a next page."""
    query = _chats.where(chats.c.user_id == user, chats.c.status != DELETED)
    if cursor is not None:
        last = read_cursor(cursor, _ChatPlace)
        place = tuple_(literal(_in_utc(last.updated), Moment()), literal(last.chat, Id()))
        query = query.where(tuple_(chats.c.updated_at, chats.c.id) < place)
    query = query.order_by(chats.c.updated_at.desc(), chats.c.id.desc()).limit(limit + 1)
    found = tx.execute(query).all()
    shown = found[:limit]
    more = len(found) > limit and shown
    return Page(tuple(map(_to_chat, shown)), cursor_of(shown[-1].updated_at, shown[-1].id) if more else None)


def _history(tx: Connection, chat: Chat, cursor: str | None, limit: int) -> History:
    """Runs are read before messages: one that ends in between is told of once too often, not too seldom."""
    unfinished = unfinished_runs(tx, chat.id)
    query = _messages.where(messages.c.chat_id == chat.id)
    if cursor is not None:
        query = _before(query, read_cursor(cursor, _MessagePlace))
    # Of the two at one ordinal the question is older: its role sorts behind the reply's.
    found = tx.execute(query.order_by(messages.c.ordinal.desc(), messages.c.role).limit(limit + 1)).all()
    shown = found[:limit]
    more = len(found) > limit and shown
    previous = cursor_of(shown[-1].ordinal, shown[-1].role) if more else None
    return History(chat, tuple(map(_to_message, reversed(shown))), unfinished, previous)


def _before(query: Select[Any], place: _MessagePlace) -> Select[Any]:
    same = and_(messages.c.ordinal == place.ordinal, messages.c.role > place.role)
    return query.where(or_(messages.c.ordinal < place.ordinal, same))


def _message(tx: Connection, user: UUID, chat: UUID, message: UUID) -> Message:
    own_chat(tx, user, chat)
    found = tx.execute(_messages.where(messages.c.chat_id == chat, messages.c.id == message)).first()
    if found is None:
        raise NotFound(f"There is no message {message} in this chat. Load the chat again.")
    return _to_message(found)


def _change(tx: Connection, user: UUID, chat: UUID, **values: str) -> Chat:
    own_chat(tx, user, chat)
    tx.execute(update(chats).where(chats.c.id == chat).values(values))
    found = tx.execute(_chats.where(chats.c.id == chat)).one()
    return _to_chat(found)


def _delete(tx: Connection, user: UUID, chat: UUID) -> tuple[Chat, tuple[UUID, ...]]:
    """The user's lock keeps out an accept that would add a run behind the list of those to stop."""
    lock_user(tx, user)
    return _change(tx, user, chat, status=DELETED), unfinished_runs(tx, chat)


def _to_chat(record: Record) -> Chat:
    return Chat(record.id, record.title, record.status, record.created_at, record.updated_at)


def _to_message(record: Record) -> Message:
    reply = record.run is not None
    return Message(
        id=record.id,
        chat=record.chat_id,
        parent=record.parent_id,
        role=Role(record.role),
        text=record.saved if reply else record.text,
        state=RunState(record.state) if reply else RunState.DONE,
        ordinal=record.ordinal,
        created_at=record.created_at,
        run=record.run,
        attempt=record.attempt or 0,
        model=record.model,
        end=end_of(record) if reply else None,
    )


def _in_utc(moment: datetime) -> datetime:
    """Raises BadRequest for a moment at the edge of time that has no form in UTC."""
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise bad_cursor() from None
