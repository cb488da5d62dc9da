"""People and their sign-ins."""

from datetime import datetime
from typing import Final
from uuid import UUID

import msgspec

ADMIN: Final = "admin"
MEMBER: Final = "member"


class User(msgspec.Struct, frozen=True):
    """A person with an account. ``role`` is ``admin`` or ``member``."""

    id: UUID
    username: str
    role: str = "member"
    disabled: bool = False


class SignIn(msgspec.Struct, frozen=True):
    """An open sign-in: a browser's session or a program's token."""

    session: UUID
    user: User
    expires_at: datetime


class Account(msgspec.Struct, frozen=True):
    """A user with the stored digest of the password (None: cannot sign in with one)."""

    user: User
    password: str | None
    created_at: datetime
