"""L1: what must be durable is synced when it returns; only checkpoints and heartbeats are not."""

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import TypeVar
from uuid import uuid4

import pytest
from sqlalchemy import Connection

from prosa.adapters.sql.database import Database, Work
from prosa.adapters.sql.opening import open_database
from prosa.adapters.sql.runs import SqlRuns
from prosa.core.errors import StoreUnavailable
from prosa.core.policy import Limits
from prosa.core.run import Claimant, End, RunState
from prosa.core.work import Ask

T = TypeVar("T")

FULL, NORMAL = 2, 1


def _synchronous(tx: Connection) -> int:
    level: int = tx.exec_driver_sql("PRAGMA synchronous").scalar_one()
    return level


@pytest.mark.parametrize("rounds", [1, 3])
async def test_a_write_is_synced_unless_it_says_otherwise_whatever_came_before(tmp_path: Path, rounds: int) -> None:
    async with open_database(f"sqlite:///{tmp_path}/prosa.db") as database:
        for _ in range(rounds):
            assert await database.write(_synchronous) == FULL
            assert await database.write(_synchronous, synced=False) == NORMAL
            assert await database.write(_synchronous) == FULL


async def test_the_log_is_written_ahead_and_a_reader_never_blocks_the_writer(tmp_path: Path) -> None:
    async with open_database(f"sqlite:///{tmp_path}/prosa.db") as database:
        mode = await database.write(lambda tx: tx.exec_driver_sql("PRAGMA journal_mode").scalar_one())
        assert mode == "wal"


class Recorder(Database):
    """Stands where the database does, notes which writes want to be synced, and is away."""

    def __init__(self, tasks: asyncio.TaskGroup) -> None:
        super().__init__(tasks)
        self.synced: list[bool] = []

    async def read(self, work: Work[T]) -> T:
        raise StoreUnavailable("Nothing is read here.")

    async def write(self, work: Work[T], *, synced: bool = True) -> T:
        self.synced.append(synced)
        raise StoreUnavailable("Nothing is written here.")


async def test_accept_claim_finish_release_and_stop_are_synced_and_only_the_checkpoint_is_not() -> None:
    user, run, limits = uuid4(), uuid4(), Limits()
    ask = Ask(user, uuid4(), run, uuid4(), uuid4(), "hi", None, "m", None, "default", 600.0)
    claimant = Claimant(run, "wk-1", 1)
    async with asyncio.TaskGroup() as tasks:
        recorder = Recorder(tasks)
        runs = SqlRuns(recorder)
        for call in (
            runs.accept(ask, limits),
            runs.claim(claimant, lease_seconds=3, continues=(), limits=limits),
            runs.finish(claimant, "text", End(RunState.DONE), limits),
            runs.release(claimant, "text"),
            runs.stop(uuid4(), run, limits),
        ):
            with pytest.raises(StoreUnavailable):
                await call
        assert recorder.synced == [True] * 5
        with pytest.raises(StoreUnavailable):
            await runs.checkpoint("wk-1", [])
        assert recorder.synced[-1] is False


async def test_a_new_database_that_somebody_writes_at_that_moment_is_waited_for(tmp_path: Path) -> None:
    """The switch to the write-ahead log meets a writer: SQLite refuses it at once, whatever its busy timeout."""
    path = tmp_path / "prosa.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("CREATE TABLE t (x)")
        other.execute("BEGIN IMMEDIATE")
        async with open_database(f"sqlite:///{path}") as database, asyncio.TaskGroup() as group:
            writing = group.create_task(database.write(_synchronous))
            await asyncio.sleep(0.1)
            other.execute("COMMIT")
    assert writing.result() == FULL
