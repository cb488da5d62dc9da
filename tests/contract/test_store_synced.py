"""L1: what must be durable is synced when it returns; only checkpoints and heartbeats are not."""

from pathlib import Path

import pytest
from sqlalchemy import Connection

from prosa.adapters.sql.opening import open_database

FULL, NORMAL = 2, 1


def _synchronous(tx: Connection) -> int:
    level: int = tx.exec_driver_sql("PRAGMA synchronous").scalar_one()
    return level


@pytest.mark.parametrize("rounds", [1, 3])
async def test_a_write_is_synced_unless_it_says_otherwise_whatever_came_before(tmp_path: Path, rounds: int) -> None:
    async with open_database(f"sqlite+aiosqlite:///{tmp_path}/prosa.db") as database:
        for _ in range(rounds):
            assert await database.write(_synchronous) == FULL
            assert await database.write(_synchronous, synced=False) == NORMAL
            assert await database.write(_synchronous) == FULL


async def test_the_log_is_written_ahead_and_a_reader_never_blocks_the_writer(tmp_path: Path) -> None:
    async with open_database(f"sqlite+aiosqlite:///{tmp_path}/prosa.db") as database:
        mode = await database.write(lambda tx: tx.exec_driver_sql("PRAGMA journal_mode").scalar_one())
        assert mode == "wal"
