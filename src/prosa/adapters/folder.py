"""The data folder of an embedded process: made, proved writable, and locked, so that no second process uses it."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Final

from prosa.core.errors import DataFolderInUse, DataFolderUnusable

LOCK: Final = "prosa.lock"


@contextmanager
def locked(folder: Path) -> Iterator[Path]:
    """Hold the folder until the context is left; the lock ends with the process, however it ends.

    Raises DataFolderUnusable and DataFolderInUse.
    """
    with _opened(folder) as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise DataFolderInUse(
                f"Another prosa process{_holder(file)} uses the data folder {folder}. "
                "Stop it first, or give this one its own with --data-dir."
            ) from error
        _sign(file, folder)
        yield folder


def made(folder: Path) -> None:
    """Raises DataFolderUnusable."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _unusable(folder, error) from error


def _opened(folder: Path) -> IO[str]:
    made(folder)
    try:
        return open(folder / LOCK, "a+", encoding="utf-8")
    except OSError as error:
        raise _unusable(folder, error) from error


def _sign(file: IO[str], folder: Path) -> None:
    """Write who holds the folder; a full or failing disk shows here, before anything is accepted."""
    try:
        # Past the file object's own buffer: what it could not write it would try again when it is closed.
        os.ftruncate(file.fileno(), 0)
        os.write(file.fileno(), f"{os.getpid()}\n".encode())
    except OSError as error:
        raise _unusable(folder, error) from error


def _holder(file: IO[str]) -> str:
    file.seek(0)
    pid = file.read(20).strip()
    return f" (id {pid})" if pid.isdecimal() else ""


def _unusable(folder: Path, error: OSError) -> DataFolderUnusable:
    return DataFolderUnusable(
        f"Prosa cannot write in its data folder {folder}: {error.strerror}. "
        "Make room or give write permission, or name another folder with --data-dir."
    )
