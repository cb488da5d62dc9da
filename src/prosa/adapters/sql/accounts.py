"""The ports ``Users`` and ``SignIns``."""

import unicodedata
from collections.abc import Sequence
from typing import Any, Final
from uuid import UUID

from sqlalchemy import ColumnElement, Connection, Select, and_, insert, select, text, update

from prosa.adapters.sql.columns import Now, NowPlus
from prosa.adapters.sql.database import Database
from prosa.adapters.sql.insertion import insert_new
from prosa.adapters.sql.rows import Record
from prosa.adapters.sql.tables import name_key, sessions, users
from prosa.core.account import ADMIN, Account, SignIn, User
from prosa.core.errors import NameTaken, NotFound

MEMBER: Final = "member"


class SqlUsers:
    """See ports.Users."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, user: UUID, username: str, password: str | None, *, role: str | None) -> User:
        return await self._database.write(lambda tx: _add(tx, User(user, username), password, role))

    async def find(self, username: str) -> Account | None:
        return await self._database.read(lambda tx: _find(tx, username))

    async def all(self) -> Sequence[Account]:
        return await self._database.read(_all)

    async def set_password(self, user: UUID, password: str) -> None:
        await self._database.write(lambda tx: _set(tx, user, ends=True, password=password))

    async def set_disabled(self, user: UUID, disabled: bool) -> None:
        await self._database.write(lambda tx: _set(tx, user, ends=disabled, disabled=disabled))

    async def set_role(self, user: UUID, role: str) -> None:
        await self._database.write(lambda tx: _set(tx, user, ends=False, role=role))


class SqlSignIns:
    """See ports.SignIns."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def open(self, session: UUID, user: UUID, digest: str, *, kind: str, seconds: float) -> SignIn:
        values = {"id": session, "user_id": user, "digest": digest, "kind": kind}
        return await self._database.write(lambda tx: _open(tx, {**values, "expires_at": NowPlus(seconds)}))

    async def find(self, digest: str) -> SignIn | None:
        return await self._database.read(lambda tx: _find_sign_in(tx, digest))

    async def close(self, session: UUID) -> None:
        await self._database.write(lambda tx: _close(tx, sessions.c.id == session))

    async def closed(self, sessions: Sequence[UUID]) -> Sequence[UUID]:
        return await self._database.read(lambda tx: _closed(tx, sessions)) if sessions else []


_accounts: Final = select(
    users.c.id, users.c.username, users.c.role, users.c.disabled, users.c.password, users.c.created_at
)


def folded(username: str) -> str:
    """The name without regard to case or to how its accents are encoded."""
    return unicodedata.normalize("NFKC", username).casefold()


def _add(tx: Connection, user: User, password: str | None, role: str | None) -> User:
    given = role or (ADMIN if password is not None and _is_first(tx) else MEMBER)
    names = {"id": user.id, "username": user.username, "username_key": folded(user.username)}
    if not insert_new(tx, users, {**names, "password": password, "role": given}):
        raise NameTaken(f"The username {user.username!r} is taken. Choose another.")
    return User(user.id, user.username, given)


def _is_first(tx: Connection) -> bool:
    """Whether nobody has a password yet. Two that come first at the same time: one waits here for the other."""
    anybody = select(users.c.id).where(users.c.password.is_not(None)).limit(1)
    if tx.execute(anybody).first() is not None:
        return False
    if tx.dialect.name == "postgresql":
        tx.execute(text("LOCK TABLE users IN SHARE ROW EXCLUSIVE MODE"))
    return tx.execute(anybody).first() is None


def _find(tx: Connection, username: str) -> Account | None:
    found = tx.execute(_accounts.where(name_key == folded(username))).first()
    return _to_account(found) if found else None


def _all(tx: Connection) -> list[Account]:
    return [_to_account(record) for record in tx.execute(_accounts.order_by(users.c.created_at, users.c.id))]


def _set(tx: Connection, user: UUID, *, ends: bool, **values: str | bool) -> None:
    """``ends``: the user's sign-ins are over."""
    if tx.execute(update(users).where(users.c.id == user).values(values)).rowcount == 0:
        raise NotFound(f"There is no user {user}. List them with `prosa user list`.")
    if ends:
        _close(tx, sessions.c.user_id == user)


def _close(tx: Connection, which: ColumnElement[bool]) -> None:
    tx.execute(update(sessions).where(which, sessions.c.revoked_at.is_(None)).values(revoked_at=Now()))


def _open_ones() -> Select[Any]:
    user = and_(users.c.id == sessions.c.user_id, users.c.disabled.is_(False))
    columns = (sessions.c.id.label("session"), sessions.c.expires_at)
    query = select(*columns, users.c.id, users.c.username, users.c.role).join_from(sessions, users, user)
    return query.where(sessions.c.revoked_at.is_(None), sessions.c.expires_at > Now())


def _open(tx: Connection, values: dict[str, object]) -> SignIn:
    """The user's lock keeps out one who disables it meanwhile. Raises NotFound where it is disabled or unknown."""
    user = select(users.c.id).where(users.c.id == values["user_id"], users.c.disabled.is_(False))
    if tx.execute(user.with_for_update(key_share=True)).first() is None:
        raise NotFound(f"There is no user {values['user_id']} who may sign in.")
    tx.execute(insert(sessions).values(values))
    columns = select(sessions.c.id.label("session"), sessions.c.expires_at, users.c.id, users.c.username, users.c.role)
    found = columns.join_from(sessions, users, users.c.id == sessions.c.user_id).where(sessions.c.id == values["id"])
    return _to_sign_in(tx.execute(found).one())


def _find_sign_in(tx: Connection, digest: str) -> SignIn | None:
    found = tx.execute(_open_ones().where(sessions.c.digest == digest)).first()
    return _to_sign_in(found) if found else None


def _closed(tx: Connection, asked: Sequence[UUID]) -> list[UUID]:
    still = {record.session for record in tx.execute(_open_ones().where(sessions.c.id.in_(asked)))}
    return [session for session in asked if session not in still]


def _to_account(record: Record) -> Account:
    user = User(record.id, record.username, record.role, record.disabled)
    return Account(user, record.password, record.created_at)


def _to_sign_in(record: Record) -> SignIn:
    return SignIn(record.session, User(record.id, record.username, record.role), record.expires_at)
