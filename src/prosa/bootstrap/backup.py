"""``prosa backup`` and ``prosa restore``: between a database and a file, or a pipe."""

import asyncio
import errno
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import IO, Final, ParamSpec, TypeVar

from prosa.adapters.folder import locked
from prosa.adapters.sql import backup as tables
from prosa.bootstrap.foundation import VERSION
from prosa.core.backup import Head, Reader, Writer
from prosa.core.errors import BackupExists, BackupUnknown, BadConfig, StorageFull
from prosa.settings import Settings

P = ParamSpec("P")
T = TypeVar("T")

PARTIAL: Final = ".partial"
"""Behind the name of a file that is not whole yet."""
_FULL: Final = (errno.ENOSPC, errno.EDQUOT)


def backup(settings: Settings, path: Path | None) -> dict[str, int]:
    """Write all rows to a new file, which only its owner can read, or to the standard output; rows by table.

    The file has its name only once it is whole and synced.

    Raises BackupExists, StorageFull, BadConfig for a place that cannot be written, and what the store raises.
    """
    with _new(path) if path else nullcontext(sys.stdout.buffer) as file:
        writer = Writer(_careful(file.write, path))
        asyncio.run(tables.backup(settings.database_url, writer, VERSION))
    return writer.counts


def restore(settings: Settings, path: Path | None) -> Head:
    """Fill the empty database of the settings from a file, or from the standard input, in one transaction.

    A file is checked whole before the database is touched. Raises BackupRefused, SchemaOutdated, DataFolderInUse.
    """
    if path:
        check(path)
    with (
        _there(path) if path else nullcontext(sys.stdin.buffer) as file,
        locked(settings.data_dir) if settings.embedded_database else nullcontext(),
    ):
        return asyncio.run(tables.restore(settings.database_url, Reader(_careful(file.read, path))))


def check(path: Path | None) -> Head:
    """Read a backup to its end. Raises BackupDamaged, BackupUnknown."""
    with _there(path) if path else nullcontext(sys.stdin.buffer) as file:
        reader = Reader(_careful(file.read, path))
        head = reader.head()
        for _ in reader.rows():
            pass
        return head


@contextmanager
def _new(path: Path) -> Iterator[IO[bytes]]:
    if path.exists():
        raise BackupExists(f"{path} is there already. Name another file, or move that one away.")
    partial = path.with_name(path.name + PARTIAL)
    try:
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    except OSError as error:
        raise _unusable(path, error) from error
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
            _careful(file.flush, path)()
            os.fsync(file.fileno())
        partial.rename(path)
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def _there(path: Path) -> Iterator[IO[bytes]]:
    try:
        file = path.open("rb")
    except FileNotFoundError as error:
        raise BackupUnknown(f"There is no file {path}. Name one that `prosa backup` has written.") from error
    except OSError as error:
        raise BadConfig(f"{path} cannot be read: {error.strerror}. Name a file that this user may read.") from error
    with file:
        yield file


def _careful(call: Callable[P, T], path: Path | None) -> Callable[P, T]:
    """The same call. What fails at the file must not look as if the database had failed."""

    def careful(*given: P.args, **named: P.kwargs) -> T:
        try:
            return call(*given, **named)
        except OSError as error:
            raise _unusable(path, error) from error

    return careful


def _unusable(path: Path | None, error: OSError) -> StorageFull | BadConfig:
    where = path or "The standard output"
    if error.errno in _FULL:
        return StorageFull(f"{where} cannot be written: its disk is full. Make room, or name another file.")
    return BadConfig(f"{where} cannot be used: {error.strerror}. Name another file.")
