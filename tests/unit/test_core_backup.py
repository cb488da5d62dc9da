"""A backup's form: what was written is read, and whatever is not exactly that is refused."""

from datetime import UTC, datetime
from io import BytesIO
from typing import Any
from uuid import UUID

import pytest

from prosa.core.backup import MAGIC, Column, Head, Reader, Rows, Writer
from prosa.core.errors import BackupDamaged, BackupRefused, BackupUnknown

MOMENT = datetime(2026, 3, 4, 5, 6, 7, 890123, UTC)
HEAD = Head(
    "0009", "1.2.3", MOMENT, {"a": [Column("id", "uuid"), Column("text", "plain")], "b": [Column("at", "moment")]}
)
ROWS: list[list[Any]] = [[UUID(int=1).bytes, "olá 🦜"], [UUID(int=2).bytes, None]]


def written() -> bytes:
    file = BytesIO()
    writer = Writer(file.write)
    writer.begin(HEAD)
    writer.rows("a", [[UUID(int=1), "olá 🦜"], [UUID(int=2), None]])
    writer.rows("b", [[MOMENT]])
    writer.end()
    return file.getvalue()


def read(data: bytes) -> tuple[Head, list[Rows]]:
    reader = Reader(BytesIO(data).read)
    return reader.head(), list(reader.rows())


WHOLE = written()


def records() -> list[bytes]:
    found, at = [], len(MAGIC)
    while at < len(WHOLE):
        length = 8 + int.from_bytes(WHOLE[at : at + 4])
        found.append(WHOLE[at : at + length])
        at += length
    return found


def test_what_was_written_is_read() -> None:
    assert read(WHOLE) == (HEAD, [Rows("a", ROWS), Rows("b", [[MOMENT]])])


def test_a_backup_that_ends_anywhere_before_its_end_is_incomplete() -> None:
    for length in range(1, len(WHOLE)):
        with pytest.raises(BackupDamaged, match="incomplete"):
            read(WHOLE[:length])


def test_a_backup_with_any_byte_changed_is_refused() -> None:
    for place in range(len(WHOLE)):
        with pytest.raises(BackupRefused):
            read(WHOLE[:place] + bytes([WHOLE[place] ^ 0x40]) + WHOLE[place + 1 :])


def test_nothing_may_stand_behind_the_end() -> None:
    with pytest.raises(BackupDamaged):
        read(WHOLE + b"\0")


def test_records_that_are_missing_doubled_or_moved_are_noticed() -> None:
    head, a, b, end = records()
    for others in ([head, b, end], [head, a, a, b, end], [head, b, a, end], [a, head, b, end], [head, head, a, b, end]):
        with pytest.raises(BackupDamaged):
            read(MAGIC + b"".join(others))


def test_a_length_that_no_record_has_is_not_waited_for() -> None:
    with pytest.raises(BackupDamaged, match="not those that were written"):
        read(MAGIC + b"\xff" * 8 + WHOLE[len(MAGIC) + 8 :])


@pytest.mark.parametrize("other", [b"", b"SQLite format 3\0", b"\x1f\x8b\x08\0", b"hello\n"])
def test_another_file_is_no_backup(other: bytes) -> None:
    with pytest.raises(BackupUnknown, match="no backup of Prosa"):
        read(other)


def test_a_form_of_later_days_is_told_apart() -> None:
    with pytest.raises(BackupUnknown, match="newer"):
        read(WHOLE.replace(b"prosa-backup 1\n", b"prosa-backup 2\n", 1))
