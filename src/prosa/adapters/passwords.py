"""Argon2id in a few threads, so that the event loop never waits for a password."""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Final, Self, TypeVar

from pwdlib import PasswordHash
from pwdlib.hashers.argon2 import Argon2Hasher

from prosa.core.errors import Overloaded

# The first choice of OWASP's password storage cheat sheet: 19 MiB, two passes, one lane. Bounded by the
# workers, all sign-ins together never hold more than workers × 19 MiB.
MEMORY_KIB: Final = 19 * 1024
PASSES: Final = 2

T = TypeVar("T")


class Argon2Passwords:
    """At most ``workers`` hashes are computed at once and ``waiting`` more wait; the next one raises Overloaded.

    An async context manager: leaving it drops what waits and lets what is being computed end.
    """

    def __init__(self, *, workers: int = 2, waiting: int = 64, hasher: PasswordHash | None = None) -> None:
        self._hasher = hasher or PasswordHash((Argon2Hasher(PASSES, MEMORY_KIB, 1),))
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="passwords")
        self._line = threading.BoundedSemaphore(workers + waiting)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.shutdown(cancel_futures=True)

    async def hash(self, password: str) -> str:
        return await self._run(lambda: self._hasher.hash(_bytes(password)))

    async def verify(self, password: str, digest: str | None) -> bool:
        return await self._run(lambda: self._matches(_bytes(password), digest))

    def _matches(self, password: bytes, digest: str | None) -> bool:
        if digest is None:
            # To hash costs what to verify costs: the time does not tell whether the name exists.
            self._hasher.hash(password)
            return False
        return self._hasher.verify(password, digest)

    async def _run(self, work: Callable[[], T]) -> T:
        if not self._line.acquire(blocking=False):
            raise Overloaded("Too many people are signing in at this moment. Try again in a few seconds.")
        future = self._pool.submit(work)
        # Not in a `finally` here: a cancelled caller leaves, yet its hash may still occupy a thread.
        future.add_done_callback(self._leave)
        return await asyncio.wrap_future(future)

    def _leave(self, _done: Future[T]) -> None:
        self._line.release()


def _bytes(password: str) -> bytes:
    # Half a surrogate pair is no valid password, but it must be a wrong one and not an error.
    return password.encode("utf-8", "surrogatepass")
