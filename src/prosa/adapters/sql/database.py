"""Where transactions run: the one idea that both databases share, and the choice between them.

Work is a plain function of a connection, so a transaction reads as straight code, and each database runs it in
the way that is cheapest there: SQLite in a thread of its own, PostgreSQL in a greenlet over asyncpg.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Final, TypeVar

from sqlalchemy import Connection

T = TypeVar("T")
Work = Callable[[Connection], T]

WAIT_SECONDS: Final = 15.0
"""For a turn, a connection, or a statement; then the store is unavailable."""


class Database(ABC):
    """Runs work in transactions. Drivers' errors come out as ours (failures.py)."""

    @abstractmethod
    async def read(self, work: Work[T]) -> T: ...

    @abstractmethod
    async def write(self, work: Work[T], *, synced: bool = True) -> T:
        """One transaction, committed when this returns; changed nothing when it raises.

        A caller that is cancelled while it waits for its turn leaves no trace. Later, the transaction goes on
        to its end without it: a cancelled statement would cost the connection and leave the outcome open.
        """
        ...
