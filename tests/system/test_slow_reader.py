"""L8: a reader that stops reading costs nothing and ends with the whole text."""

from pathlib import Path

from benchmarks.load import load
from benchmarks.sockets import idle, stalled

MEGABYTE = 1000
"""In the kilobytes that the system counts in."""


async def test_a_reader_that_does_not_read_wakes_to_few_large_deltas_and_the_whole_text(tmp_path: Path) -> None:
    grown = []
    for n in range(3):
        folder = tmp_path / str(n)
        folder.mkdir()
        result = await stalled(folder, words=20_000, rate=20_000)
        assert result.whole
        assert result.largest > 50_000
        grown.append(result.grown)
        if result.grown < MEGABYTE:
            return
    # Other things than this reader only add to a process's memory: one measure below the bound proves it.
    raise AssertionError(f"The process grew by {grown} KB each time.")


async def test_the_load_benchmark_finds_every_reply_whole_and_the_database_never_locked(tmp_path: Path) -> None:
    result = await load(tmp_path, users=20, words=20, rate=20, spread=0.5)
    assert (result.whole, result.locked) == (20, 0)


async def test_the_idle_benchmark_opens_all_its_sockets(tmp_path: Path) -> None:
    assert (await idle(tmp_path, 30)).sockets == 30
