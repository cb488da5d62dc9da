"""The store: one database behind the ports Runs, Sweeps, Reads, Operations, Chats, Users, SignIns and Classic."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec

from prosa.adapters.sql.accounts import SqlSignIns, SqlUsers
from prosa.adapters.sql.chats import SqlChats
from prosa.adapters.sql.classic import SqlClassic
from prosa.adapters.sql.measured import MeasuredDatabase
from prosa.adapters.sql.opening import open_database
from prosa.adapters.sql.operations import SqlOperations
from prosa.adapters.sql.reads import SqlReads
from prosa.adapters.sql.runs import SqlRuns
from prosa.adapters.sql.sweeps import SqlSweeps
from prosa.ports import Chats, Classic, Metrics, Operations, Reads, Runs, SignIns, Sweeps, Users


class Store(msgspec.Struct, frozen=True):
    """The ports over one database."""

    runs: Runs
    sweeps: Sweeps
    reads: Reads
    operations: Operations
    chats: Chats
    users: Users
    sign_ins: SignIns
    classic: Classic


@asynccontextmanager
async def open_store(url: str, *, pool_size: int = 10, metrics: Metrics | None = None) -> AsyncIterator[Store]:
    """Open a store whose schema is current (migrate.py). Leaving it lets transactions end and closes connections.

    ``url``: ``sqlite:///path`` or ``postgresql://…``, with or without a driver. ``pool_size`` is for PostgreSQL;
    SQLite has one writer. ``metrics``: where its transactions are measured. Nothing is connected before the first call.
    Raises BadConfig.
    """
    async with open_database(url, pool_size=pool_size) as opened:
        database = MeasuredDatabase(opened, metrics) if metrics else opened
        yield Store(
            runs=SqlRuns(database),
            sweeps=SqlSweeps(database),
            reads=SqlReads(database),
            operations=SqlOperations(database),
            chats=SqlChats(database),
            users=SqlUsers(database),
            sign_ins=SqlSignIns(database),
            classic=SqlClassic(database),
        )
