"""``prosa backup`` and ``prosa restore`` at the files: whole ones under their name, or none."""

import asyncio
import errno
import stat
from io import BytesIO
from pathlib import Path
from types import SimpleNamespace

import pytest

from prosa import bootstrap, settings
from prosa.adapters.folder import locked
from prosa.adapters.sql.migrate import current, migrate
from prosa.core.errors import BackupDamaged, BackupExists, BackupUnknown, BadConfig, DataFolderInUse, StorageFull
from prosa.settings import Settings


@pytest.fixture(autouse=True)
def _nothing_is_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for key in Settings.model_fields:
        monkeypatch.delenv(f"PROSA_{key.upper()}", raising=False)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def here(tmp_path: Path) -> Settings:
    """A database with nobody in it."""
    found = settings.load({"data_dir": tmp_path / "here"})
    found.data_dir.mkdir()
    asyncio.run(migrate(found.database_url))
    return found


@pytest.fixture
def there(tmp_path: Path) -> Settings:
    """Where there is nothing yet."""
    return settings.load({"data_dir": tmp_path / "there"})


def test_a_backup_is_readable_by_its_owner_alone_and_leaves_nothing_beside_it(here: Settings, tmp_path: Path) -> None:
    assert bootstrap.backup(here, tmp_path / "b")["users"] == 0
    assert stat.S_IMODE((tmp_path / "b").stat().st_mode) == 0o600
    assert {path.name for path in tmp_path.iterdir()} == {"here", "b"}
    assert bootstrap.check_backup(tmp_path / "b").schema


def test_a_file_that_is_there_is_not_written_over(here: Settings, tmp_path: Path) -> None:
    (tmp_path / "b").write_text("mine")
    with pytest.raises(BackupExists, match=f"{tmp_path}/b is there already"):
        bootstrap.backup(here, tmp_path / "b")
    assert (tmp_path / "b").read_text() == "mine"


def test_a_backup_that_fails_leaves_no_file(there: Settings, tmp_path: Path) -> None:
    with pytest.raises(Exception, match="does not answer"):
        bootstrap.backup(there, tmp_path / "b")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written_is_named(here: Settings, tmp_path: Path) -> None:
    with pytest.raises(BadConfig, match=f"{tmp_path}/no/b cannot be used: No such file"):
        bootstrap.backup(here, tmp_path / "no" / "b")


class Full(BytesIO):
    """The standard output, on a disk that is full."""

    def write(self, _data: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")


def test_a_full_disk_is_told_of_as_such_and_not_as_a_database_that_is_away(
    here: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdout", SimpleNamespace(buffer=Full()))
    with pytest.raises(StorageFull, match="its disk is full"):
        bootstrap.backup(here, None)


def test_through_a_pipe_a_backup_arrives_whole(
    here: Settings, there: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipe = BytesIO()
    monkeypatch.setattr("sys.stdout", SimpleNamespace(buffer=pipe))
    bootstrap.backup(here, None)
    pipe.seek(0)
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=pipe))
    bootstrap.restore(there, None)
    assert asyncio.run(current(there.database_url)) == asyncio.run(current(here.database_url))


@pytest.mark.parametrize("cut", [3, 30, -1])
def test_a_damaged_file_is_refused_before_anything_is_touched(
    here: Settings, there: Settings, tmp_path: Path, cut: int
) -> None:
    bootstrap.backup(here, tmp_path / "b")
    (tmp_path / "b").write_bytes((tmp_path / "b").read_bytes()[:cut])
    with pytest.raises(BackupDamaged):
        bootstrap.restore(there, tmp_path / "b")
    assert not there.data_dir.exists()


def test_a_file_that_is_missing_is_named(there: Settings, tmp_path: Path) -> None:
    with pytest.raises(BackupUnknown, match=f"There is no file {tmp_path}/b"):
        bootstrap.restore(there, tmp_path / "b")
    assert not there.data_dir.exists()


def test_nothing_is_restored_under_a_running_prosa(here: Settings, there: Settings, tmp_path: Path) -> None:
    bootstrap.backup(here, tmp_path / "b")
    with locked(there.data_dir), pytest.raises(DataFolderInUse):
        bootstrap.restore(there, tmp_path / "b")
