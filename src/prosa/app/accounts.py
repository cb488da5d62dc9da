"""Accounts: sign up, sign in, sign out, and what the command line does with them."""

from collections.abc import Sequence
from typing import Final
from uuid import UUID

import msgspec

from prosa.core.account import ADMIN, Account, SignIn, User
from prosa.core.errors import BadName, NotFound, SignUpClosed, WrongPassword
from prosa.core.policy import checked_name, checked_password
from prosa.ports import Passwords, SignIns, Tokens, Users

DAY_SECONDS: Final = 86_400.0
BROWSER: Final = "session"
PROGRAM: Final = "token"


class AccountOptions(msgspec.Struct, frozen=True):
    """``sign_up`` false: only the very first account can be made over HTTP."""

    sign_up: bool = True
    session_seconds: float = 30 * DAY_SECONDS
    token_seconds: float = 30 * DAY_SECONDS


class Accounts:
    """People and how they sign in. A secret is handed out once, when its sign-in is opened; only its digest is kept."""

    def __init__(
        self, users: Users, sign_ins: SignIns, passwords: Passwords, tokens: Tokens, options: AccountOptions
    ) -> None:
        self._users = users
        self._sign_ins = sign_ins
        self._passwords = passwords
        self._tokens = tokens
        self.options = options
        self._begun = False

    async def first(self) -> bool:
        """No account has a password yet: whoever signs up now becomes the administrator."""
        # Once there was one there always is: the list is read only until then.
        if not self._begun:
            self._begun = any(account.password for account in await self._users.all())
        return not self._begun

    async def register(self, username: str, password: str) -> tuple[SignIn, str]:
        """A new account and a browser's sign-in to it.

        Raises BadName, BadPassword, SignUpClosed, NameTaken. The first account is the administrator.
        """
        checked_name(username)
        checked_password(password)
        if not self.options.sign_up and not await self.first():
            raise _closed()
        user = await self.add(username, password)
        if not self.options.sign_up and user.role != ADMIN:
            # Two asked to be the first at the same moment, and this one was the second.
            await self._users.set_disabled(user.id, True)
            raise _closed()
        return await self._open(user, BROWSER, self.options.session_seconds)

    async def login(self, username: str, password: str) -> tuple[SignIn, str]:
        """A browser's sign-in. Raises WrongPassword: whether the name or the password was wrong cannot be told."""
        return await self._prove(username, password, BROWSER, self.options.session_seconds)

    async def token(self, username: str, password: str) -> tuple[SignIn, str]:
        """A program's sign-in. Raises WrongPassword as ``login`` does."""
        return await self._prove(username, password, PROGRAM, self.options.token_seconds)

    async def logout(self, sign_in: SignIn) -> None:
        await self._sign_ins.close(sign_in.session)

    async def add(self, username: str, password: str, role: str | None = None) -> User:
        """Raises BadName, BadPassword, NameTaken. ``role`` None: admin for the first account, member after."""
        checked_name(username)
        digest = await self._passwords.hash(checked_password(password))
        return await self._users.add(self._tokens.uuid(), username, digest, role=role)

    async def all(self) -> Sequence[Account]:
        return await self._users.all()

    async def set_password(self, username: str, password: str) -> UUID:
        """Ends the user's sign-ins. Returns the user, whose end of sign-ins may be announced. Raises NotFound."""
        user = await self._known(username)
        await self._users.set_password(user.id, await self._passwords.hash(checked_password(password)))
        return user.id

    async def set_disabled(self, username: str, disabled: bool) -> UUID:
        """Disabling ends the user's sign-ins. Returns the user. Raises NotFound."""
        user = await self._known(username)
        await self._users.set_disabled(user.id, disabled)
        return user.id

    async def set_role(self, username: str, role: str) -> UUID:
        """Make somebody an administrator or a member, for requests from now on. Raises NotFound."""
        user = await self._known(username)
        await self._users.set_role(user.id, role)
        return user.id

    async def issue_token(self, username: str, days: float) -> str:
        """A program's secret without asking for the password: for the operator. Raises NotFound."""
        user = await self._known(username)
        if user.disabled:
            raise NotFound(f"The account {username} is disabled. Enable it first.")
        _, secret = await self._open(user, PROGRAM, days * DAY_SECONDS)
        return secret

    async def _known(self, username: str) -> User:
        account = await self._find(username)
        if account is None:
            raise NotFound(f"There is no account {username!r}. `prosa user list` shows all.")
        return account.user

    async def _find(self, username: str) -> Account | None:
        try:
            return await self._users.find(checked_name(username))
        except BadName:
            return None

    async def _prove(self, username: str, password: str, kind: str, seconds: float) -> tuple[SignIn, str]:
        """The same steps for every outcome: a hash is computed whether or not the name is known."""
        account = await self._find(username)
        matches = await self._passwords.verify(password, account.password if account else None)
        if account is None or not matches or account.user.disabled:
            raise _wrong()
        try:
            return await self._open(account.user, kind, seconds)
        except NotFound:
            # The user was disabled while the password was verified.
            raise _wrong() from None

    async def _open(self, user: User, kind: str, seconds: float) -> tuple[SignIn, str]:
        secret = self._tokens.secret()
        digest = self._tokens.digest(secret)
        sign_in = await self._sign_ins.open(self._tokens.uuid(), user.id, digest, kind=kind, seconds=seconds)
        return sign_in, secret


def _wrong() -> WrongPassword:
    return WrongPassword("The username or the password is wrong. Check both and try again.")


def _closed() -> SignUpClosed:
    return SignUpClosed("Sign-up is closed here. Ask the administrator for an account.")
