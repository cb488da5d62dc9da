"""Passwords: right ones match, wrong ones cost as much, and the line is bounded."""

import asyncio
import threading
from collections.abc import AsyncIterator

import pytest
from pwdlib import PasswordHash
from pwdlib.hashers.argon2 import Argon2Hasher

from prosa.adapters.passwords import Argon2Passwords
from prosa.core.errors import Overloaded


class Held(Argon2Hasher):
    """Computes cheaply, and only when the test opens the gate; counts what it computes."""

    def __init__(self) -> None:
        super().__init__(1, 8, 1)
        self.gate = threading.Event()
        self.begun = 0

    def hash(self, password: str | bytes, *, salt: bytes | None = None) -> str:
        self.begun += 1
        self.gate.wait(10)
        return super().hash(password, salt=salt)


@pytest.fixture
def hasher() -> Held:
    return Held()


@pytest.fixture
async def passwords(hasher: Held) -> AsyncIterator[Argon2Passwords]:
    async with Argon2Passwords(workers=1, waiting=1, hasher=PasswordHash((hasher,))) as passwords:
        yield passwords
        hasher.gate.set()


async def test_only_the_right_password_matches(passwords: Argon2Passwords, hasher: Held) -> None:
    hasher.gate.set()
    digest = await passwords.hash("correct horse")
    assert digest.startswith("$argon2id$")
    assert await passwords.verify("correct horse", digest)
    assert not await passwords.verify("correct horsf", digest)


async def test_a_user_without_a_password_costs_a_hash_and_never_matches(
    passwords: Argon2Passwords, hasher: Held
) -> None:
    hasher.gate.set()
    assert not await passwords.verify("", None)
    assert hasher.begun == 1


async def test_text_that_is_no_unicode_is_a_wrong_password_and_no_error(
    passwords: Argon2Passwords, hasher: Held
) -> None:
    hasher.gate.set()
    assert not await passwords.verify("\ud800", await passwords.hash("correct horse"))


async def test_whoever_finds_the_line_full_is_told_to_come_back(passwords: Argon2Passwords, hasher: Held) -> None:
    async with asyncio.TaskGroup() as group:
        group.create_task(passwords.hash("one"))
        group.create_task(passwords.hash("two"))
        await asyncio.sleep(0)
        with pytest.raises(Overloaded):
            await passwords.hash("three")
        hasher.gate.set()
    assert (await passwords.hash("three")).startswith("$argon2id$")


async def test_a_caller_who_leaves_gives_the_place_back_only_when_the_thread_is_free(
    passwords: Argon2Passwords, hasher: Held
) -> None:
    for _ in range(2):
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(passwords.hash("gone"), 0.05)
    # The first still occupies the thread, the second was withdrawn from the line: one place is free.
    async with asyncio.TaskGroup() as group:
        group.create_task(passwords.hash("next"))
        await asyncio.sleep(0)
        with pytest.raises(Overloaded):
            await passwords.hash("too many")
        hasher.gate.set()


async def test_the_event_loop_goes_on_while_a_hash_is_computed(passwords: Argon2Passwords, hasher: Held) -> None:
    async with asyncio.TaskGroup() as group:
        hashing = group.create_task(passwords.hash("slow"))
        for _ in range(100):
            await asyncio.sleep(0)
        assert not hashing.done()
        hasher.gate.set()
