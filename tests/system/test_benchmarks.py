"""The benchmarks that measure on nodes of their own, small: that they run, and that what they count is right."""

from pathlib import Path

from benchmarks import backup
from benchmarks.cockpit import LISTS, Options, cockpit
from benchmarks.rows import filled
from prosa.cluster.nodes import PostgresNode
from tests.system.cluster import folder


async def test_the_cockpit_is_measured_beside_synthetic_runs_and_real_people() -> None:
    async with folder("rows") as kept:
        few = Options(rows=2_000, a_second=100, rounds=1, seconds=1.0, users=3, looks=2, keep=kept)
        figures = await cockpit(few)
        assert figures.flaws == 0
        others = {"overview", "a chat's", "one by its id", "a run's life", "further pages"}
        assert figures.looks.keys() == {*LISTS, *others}
        assert min(look.median for look in figures.looks.values()) > 0
        assert figures.alone.replies_per_second > 0
        assert figures.watched.replies_per_second > 0
        assert 50 < figures.added_per_second < 150
        await _is_kept(kept, few.rows)


async def test_a_backup_is_measured_and_every_row_compared() -> None:
    figures = await backup.backup(backup.Options(messages=1_000))
    rows = 1_000 + 500 + 50 + backup.PEOPLE
    assert figures.equal == {"same": rows, "laptop": rows, "moved": rows}
    assert all(step.seconds > 0 and step.memory > 10 for step in figures.steps.values())
    assert 0 < figures.file_mb < figures.database_mb


async def _is_kept(kept: Path, rows: int) -> None:
    """The next run finds the rows, with every index there again."""
    async with PostgresNode(kept / "postgresql") as node:
        assert not await filled(node.url(), rows, 1)
