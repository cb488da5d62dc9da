"""Accounts: who may sign up and in, and what nobody can learn by trying."""

from collections.abc import Sequence
from datetime import timedelta
from itertools import count
from uuid import UUID

import pytest

from prosa.app.access import Access
from prosa.app.accounts import AccountOptions, Accounts
from prosa.core.account import Account, SignIn, User
from prosa.core.errors import (
    BadName,
    BadPassword,
    NameTaken,
    NotFound,
    NotSignedIn,
    SignUpClosed,
    WrongPassword,
)
from prosa.testing import START, ManualClock

PASSWORD = "correct horse"


class Tokens:
    def __init__(self) -> None:
        self._numbers = count(1)

    def uuid(self) -> UUID:
        return UUID(int=next(self._numbers))

    def claim(self) -> int:
        return next(self._numbers)

    def secret(self) -> str:
        return f"secret-{next(self._numbers)}"

    def digest(self, secret: str) -> str:
        return f"digest of {secret}"


class Passwords:
    """Remembers what it was asked: each question costs the same time."""

    def __init__(self) -> None:
        self.verified: list[tuple[str, str | None]] = []

    async def hash(self, password: str) -> str:
        return f"hash of {password}"

    async def verify(self, password: str, digest: str | None) -> bool:
        self.verified.append((password, digest))
        return digest == f"hash of {password}"


class Users:
    def __init__(self, sign_ins: "SignIns") -> None:
        self.accounts: dict[UUID, Account] = {}
        self._sign_ins = sign_ins

    async def add(self, user: UUID, username: str, password: str | None, *, role: str | None) -> User:
        if await self.find(username):
            raise NameTaken("taken")
        begun = any(account.password for account in self.accounts.values())
        made = User(user, username, role or ("member" if begun or password is None else "admin"))
        self.accounts[user] = Account(made, password, START)
        return made

    async def find(self, username: str) -> Account | None:
        names = {account.user.username.casefold(): account for account in self.accounts.values()}
        return names.get(username.casefold())

    async def all(self) -> Sequence[Account]:
        return list(self.accounts.values())

    async def set_password(self, user: UUID, password: str) -> None:
        self.accounts[user] = Account(self.accounts[user].user, password, START)
        self._sign_ins.end(user)

    async def set_disabled(self, user: UUID, disabled: bool) -> None:
        known = self.accounts[user]
        changed = User(user, known.user.username, known.user.role, disabled)
        self.accounts[user] = Account(changed, known.password, START)
        if disabled:
            self._sign_ins.end(user)

    async def set_role(self, user: UUID, role: str) -> None:
        known = self.accounts[user]
        changed = User(user, known.user.username, role, known.user.disabled)
        self.accounts[user] = Account(changed, known.password, START)


class SignIns:
    def __init__(self) -> None:
        self.open_ones: dict[str, SignIn] = {}
        self.kinds: list[str] = []
        self.asked = 0

    async def open(self, session: UUID, user: UUID, digest: str, *, kind: str, seconds: float) -> SignIn:
        self.kinds.append(kind)
        self.open_ones[digest] = SignIn(session, User(user, "?"), START + timedelta(seconds=seconds))
        return self.open_ones[digest]

    async def find(self, digest: str) -> SignIn | None:
        self.asked += 1
        return self.open_ones.get(digest)

    async def close(self, session: UUID) -> None:
        self.open_ones = {digest: known for digest, known in self.open_ones.items() if known.session != session}

    async def closed(self, sessions: Sequence[UUID]) -> Sequence[UUID]:
        still = {known.session for known in self.open_ones.values()}
        return [session for session in sessions if session not in still]

    def end(self, user: UUID) -> None:
        self.open_ones = {digest: known for digest, known in self.open_ones.items() if known.user.id != user}


class Office:
    """Accounts with everything around them."""

    def __init__(self, **options: object) -> None:
        self.sign_ins = SignIns()
        self.users = Users(self.sign_ins)
        self.passwords = Passwords()
        chosen = AccountOptions(sign_up=options.get("sign_up", True) is True)
        self.accounts = Accounts(self.users, self.sign_ins, self.passwords, Tokens(), chosen)
        self.clock = ManualClock()
        self.access = Access(self.sign_ins, Tokens(), self.clock, seconds=5.0, entries=3)


# ── sign up ──


async def test_the_first_account_is_the_administrators_and_the_next_ones_are_members() -> None:
    office = Office()
    assert await office.accounts.first()
    await office.accounts.register("ana", PASSWORD)
    await office.accounts.register("bea", PASSWORD)
    assert [account.user.role for account in await office.accounts.all()] == ["admin", "member"]
    assert not await office.accounts.first()


async def test_a_user_without_a_password_is_not_the_first_account() -> None:
    office = Office()
    await office.users.add(UUID(int=99), "raw", None, role=None)
    assert await office.accounts.first()


async def test_closed_sign_up_still_lets_the_very_first_account_in() -> None:
    office = Office(sign_up=False)
    await office.accounts.register("ana", PASSWORD)
    with pytest.raises(SignUpClosed):
        await office.accounts.register("bea", PASSWORD)
    assert [account.user.username for account in await office.accounts.all()] == ["ana"]


async def test_of_two_that_are_first_at_once_where_sign_up_is_closed_only_one_gets_in() -> None:
    office = Office(sign_up=False)

    class Slow(Passwords):
        async def hash(self, password: str) -> str:
            # While this one's password is hashed, another becomes the first account.
            await office.users.add(UUID(int=77), "other", "hash", role=None)
            return await super().hash(password)

    slow = Accounts(office.users, office.sign_ins, Slow(), Tokens(), AccountOptions(sign_up=False))
    with pytest.raises(SignUpClosed):
        await slow.register("late", PASSWORD)
    late = await office.users.find("late")
    assert late is not None
    assert late.user.disabled
    assert office.sign_ins.open_ones == {}


@pytest.mark.parametrize("name", ["", " ", "a b", "ana\x00", "a" * 65, "ana\ud800", "../x"])
async def test_a_bad_username_is_refused(name: str) -> None:
    with pytest.raises(BadName):
        await Office().accounts.register(name, PASSWORD)


@pytest.mark.parametrize("password", ["", "short", "x" * 1025, "half \ud800 pair", "with \x00 nul"])
async def test_a_bad_password_is_refused(password: str) -> None:
    with pytest.raises(BadPassword):
        await Office().accounts.register("ana", password)


async def test_a_taken_name_is_refused_without_regard_to_case() -> None:
    office = Office()
    await office.accounts.register("ana", PASSWORD)
    with pytest.raises(NameTaken):
        await office.accounts.register("ANA", PASSWORD)


# ── sign in ──


async def test_a_browser_and_a_program_sign_in_with_the_same_password() -> None:
    office = Office()
    await office.accounts.register("ana", PASSWORD)
    (browser, _), (program, secret) = (
        await office.accounts.login("Ana", PASSWORD),
        await office.accounts.token("ana", PASSWORD),
    )
    assert office.sign_ins.kinds == ["session", "session", "token"]
    assert browser.session != program.session
    assert await office.access.who(secret) == program


async def test_only_the_digest_of_a_secret_is_stored() -> None:
    office = Office()
    _, secret = await office.accounts.register("ana", PASSWORD)
    assert list(office.sign_ins.open_ones) == [f"digest of {secret}"]


async def refused(office: Office, name: str, password: str) -> str:
    with pytest.raises(WrongPassword) as caught:
        await office.accounts.login(name, password)
    return caught.value.message


async def test_an_unknown_name_a_wrong_password_and_a_disabled_user_are_told_apart_by_nothing() -> None:
    office = Office()
    await office.accounts.register("ana", PASSWORD)
    await office.accounts.add("gone", PASSWORD)
    await office.accounts.set_disabled("gone", True)
    await office.users.add(UUID(int=99), "raw", None, role=None)
    tries = [("ana", "wrong word"), ("nobody", PASSWORD), ("gone", PASSWORD), ("raw", PASSWORD), ("a b", PASSWORD)]
    messages = {await refused(office, name, password) for name, password in tries}
    assert len(messages) == 1
    # One slow question each, also where there is no digest to compare with: the time is the same.
    assert len(office.passwords.verified) == len(tries)
    digests = [digest for _, digest in office.passwords.verified]
    assert digests == [f"hash of {PASSWORD}", None, f"hash of {PASSWORD}", None, None]


async def test_a_user_without_a_password_cannot_sign_in_with_any() -> None:
    office = Office()
    await office.users.add(UUID(int=99), "raw", None, role=None)
    for password in ("", "None", PASSWORD):
        await refused(office, "raw", password)


async def test_a_user_who_is_disabled_while_the_password_is_verified_gets_the_usual_answer() -> None:
    office = Office()
    await office.accounts.register("ana", PASSWORD)

    class Closing(SignIns):
        async def open(self, session: UUID, user: UUID, digest: str, *, kind: str, seconds: float) -> SignIn:
            raise NotFound("There is no such user who may sign in.")

    accounts = Accounts(office.users, Closing(), office.passwords, Tokens(), AccountOptions())
    with pytest.raises(WrongPassword):
        await accounts.login("ana", PASSWORD)


# ── what the operator does ──


async def test_a_new_password_and_disabling_end_all_sign_ins() -> None:
    office = Office()
    _, secret = await office.accounts.register("ana", PASSWORD)
    await office.accounts.set_password("ana", "another horse")
    with pytest.raises(NotSignedIn):
        await office.access.who(secret)
    _, secret = await office.accounts.login("ana", "another horse")
    await office.accounts.set_disabled("ana", True)
    with pytest.raises(NotSignedIn):
        await office.access.who(secret)
    await refused(office, "ana", "another horse")
    await office.accounts.set_disabled("ana", False)
    await office.accounts.login("ana", "another horse")


async def test_a_token_can_be_issued_for_days() -> None:
    office = Office()
    await office.accounts.add("ana", PASSWORD, "member")
    secret = await office.accounts.issue_token("ana", 7)
    assert (await office.access.who(secret)).expires_at == START + timedelta(days=7)
    await office.accounts.set_disabled("ana", True)
    with pytest.raises(NotFound, match="disabled"):
        await office.accounts.issue_token("ana", 7)


async def test_what_is_done_to_an_unknown_account_says_so() -> None:
    accounts = Office().accounts
    for act in (accounts.set_password("nobody", PASSWORD), accounts.set_disabled("a b", True)):
        with pytest.raises(NotFound, match="There is no account"):
            await act
    with pytest.raises(NotFound):
        await accounts.issue_token("nobody", 1)


# ── who is this ──


@pytest.mark.parametrize("secret", [None, "", "unknown", "x" * 513, "\ud800"])
async def test_what_opens_nothing_is_not_signed_in(secret: str | None) -> None:
    with pytest.raises(NotSignedIn):
        await Office().access.who(secret)


async def test_an_open_sign_in_is_remembered_for_a_few_seconds() -> None:
    office = Office()
    _, secret = await office.accounts.register("ana", PASSWORD)
    for _ in range(3):
        await office.access.who(secret)
    assert office.sign_ins.asked == 1
    await office.clock.advance(5.0)
    await office.access.who(secret)
    assert office.sign_ins.asked == 2


async def test_a_sign_in_that_was_revoked_elsewhere_is_known_for_seconds_only() -> None:
    office = Office()
    sign_in, secret = await office.accounts.register("ana", PASSWORD)
    await office.access.who(secret)
    await office.accounts.logout(sign_in)
    assert await office.access.who(secret) == sign_in
    await office.clock.advance(5.0)
    with pytest.raises(NotSignedIn):
        await office.access.who(secret)


async def test_forgetting_ends_one_sign_in_or_all_at_once() -> None:
    office = Office()
    sign_in, secret = await office.accounts.register("ana", PASSWORD)
    _, other = await office.accounts.login("ana", PASSWORD)
    for each in (secret, other):
        await office.access.who(each)
    await office.accounts.logout(sign_in)
    office.access.forget(sign_in.user.id, sign_in.session)
    with pytest.raises(NotSignedIn):
        await office.access.who(secret)
    asked = office.sign_ins.asked
    await office.access.who(other)
    assert office.sign_ins.asked == asked
    office.access.forget(sign_in.user.id)
    await office.access.who(other)
    assert office.sign_ins.asked == asked + 1


async def test_a_remembered_sign_in_ends_when_it_expires() -> None:
    office = Office()
    sign_in, secret = await office.accounts.register("ana", PASSWORD)
    digest = f"digest of {secret}"
    office.sign_ins.open_ones[digest] = SignIn(sign_in.session, sign_in.user, START + timedelta(seconds=2))
    await office.access.who(secret)
    office.sign_ins.open_ones.clear()
    await office.clock.advance(2.0)
    with pytest.raises(NotSignedIn):
        await office.access.who(secret)


async def test_memory_of_sign_ins_is_bounded() -> None:
    office = Office()
    secrets = [(await office.accounts.register(f"user{number}", PASSWORD))[1] for number in range(4)]
    for secret in secrets:
        await office.access.who(secret)
    await office.access.who(secrets[0])
    assert office.sign_ins.asked == 5
