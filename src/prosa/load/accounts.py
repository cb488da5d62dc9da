"""People to play: accounts that are made through the API, and kept in a file for the next bench."""

import asyncio
import os
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Final, TypeVar
from uuid import UUID

import aiohttp
import msgspec

from prosa.core.errors import ProsaError, Refused, Unavailable

T = TypeVar("T")

AT_ONCE: Final = 8
TRIES: Final = 10
PAUSE_SECONDS: Final = 0.5
COOKIE: Final = "prosa_session"
RETRYABLE: Final = (500, 502, 503, 504)
RATE_LIMITED: Final = 429


class Account(msgspec.Struct, frozen=True):
    username: str
    token: str


class _Problem(msgspec.Struct):
    detail: str = ""


async def people(urls: Sequence[str], count: int, kept: Path | None, ids: Callable[[], UUID]) -> list[Account]:
    """``count`` accounts of the deployment: those in the file ``kept`` that it still knows, and new ones.

    Raises Refused where it lets nobody in, and Unavailable.
    """
    known = load(kept) if kept is not None else []
    timeout = aiohttp.ClientTimeout(total=30)
    async with aiohttp.ClientSession(timeout=timeout) as http:
        api = _Api(http, urls, asyncio.Semaphore(AT_ONCE))
        valid = await api.valid(known[:count])
        made = await api.sign_up([f"bench-{ids().hex[-16:]}" for _ in range(count - len(valid))])
    if kept is not None and made:
        save(kept, [*valid, *made, *known[count:]])
    return [*valid, *made]


def load(path: Path) -> list[Account]:
    """The accounts in a file; none where there is no file. Raises Refused where it is not one of accounts."""
    if not path.exists():
        return []
    try:
        return msgspec.json.decode(path.read_bytes(), type=list[Account])
    except msgspec.MsgspecError as error:
        raise Refused(f"{path} is no file of accounts: {error}. Remove it, or name another one.") from error


def save(path: Path, accounts: Sequence[Account]) -> None:
    """Nobody else may read it: a token is as good as a password."""
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(file, "wb") as out:
        out.write(msgspec.json.format(msgspec.json.encode(accounts)))


class _Api:
    def __init__(self, http: aiohttp.ClientSession, urls: Sequence[str], permits: asyncio.Semaphore) -> None:
        self._http = http
        self._urls = urls
        self._permits = permits

    async def valid(self, accounts: Sequence[Account]) -> list[Account]:
        known = await _each([self._knows(account) for account in accounts])
        return [account for account, valid in zip(accounts, known, strict=True) if valid]

    async def sign_up(self, names: Sequence[str]) -> list[Account]:
        return await _each([self._sign_up(number, name) for number, name in enumerate(names)])

    async def _knows(self, account: Account) -> bool:
        headers = {"Authorization": f"Bearer {account.token}"}
        for number in range(TRIES):
            async with self._permits:
                status, _, _ = await self._ask("GET", f"{self._url(number)}/api/me", headers=headers)
            if status in (200, 401, 403):
                return status == 200
            await asyncio.sleep(PAUSE_SECONDS)
        raise self._away()

    async def _sign_up(self, number: int, name: str) -> Account:
        body = {"username": name, "password": f"{name}-of-the-bench"}
        path = "/api/auth/register"
        for again in range(TRIES):
            async with self._permits:
                status, answer, token = await self._ask("POST", self._url(number + again) + path, json=body)
            if status == 201:
                return Account(name, token)
            if status == 409:  # the last try had worked, and its answer was lost
                path = "/api/auth/login"
            elif status == 200:
                return Account(name, token)
            elif status == RATE_LIMITED:
                raise Refused(
                    "The deployment limits how often an address may sign up. Start it with PROSA_RATE_LIMITS=off, "
                    "or let the bench use accounts that are there: --tokens-file."
                )
            elif status not in (0, *RETRYABLE):
                raise Refused(f"Nobody can be signed up at {self._url(number)}: {_detail(answer, status)}")
            await asyncio.sleep(PAUSE_SECONDS)
        raise self._away()

    async def _ask(
        self, method: str, url: str, *, headers: dict[str, str] | None = None, json: object = None
    ) -> tuple[int, bytes, str]:
        """Status (0: nobody answered), body, and the token in the cookie."""
        try:
            async with self._http.request(method, url, headers=headers, json=json) as response:
                return response.status, await response.read(), _token(response)
        except (aiohttp.ClientError, OSError):
            return 0, b"", ""

    def _url(self, number: int) -> str:
        return self._urls[number % len(self._urls)]

    def _away(self) -> ProsaError:
        return Unavailable(f"There is no answer from {' '.join(self._urls)}. Is Prosa running there? See --url.")


async def _each(asked: Sequence[Coroutine[None, None, T]]) -> list[T]:
    """All results, in order; the first ProsaError as it is, outside of any group."""
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one) for one in asked]
    except* ProsaError as failed:
        error = failed.exceptions[0]
    else:
        return [task.result() for task in tasks]
    raise error


def _token(response: aiohttp.ClientResponse) -> str:
    morsel = response.cookies.get(COOKIE)
    return morsel.value if morsel is not None else ""


def _detail(answer: bytes, status: int) -> str:
    try:
        return msgspec.json.decode(answer, type=_Problem).detail
    except msgspec.MsgspecError:
        return f"status {status}"
