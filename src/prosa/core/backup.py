"""A backup as bytes: what it says of itself, rows in batches, and an end without which it is none.

A line that names the format; then records, each behind its length and its checksum: one ``Head``, ``Rows`` as often as
it takes, one ``End``, which counts the rows and seals all bytes before it. Nothing follows the end. Each record is
compressed by itself, so that whoever writes or reads holds one at a time.
"""

import hashlib
import zlib
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any, Final

import msgspec

from prosa.core.errors import BackupDamaged, BackupUnknown

MAGIC: Final = b"prosa-backup 1\n"
RECORD_BYTES: Final = 256 * 1024 * 1024
"""Of one record, packed or not: what claims more is damaged."""
_LEVEL: Final = 3
_NUMBER: Final = 4
_OTHER_VERSION: Final = b"prosa-backup "


class Column(msgspec.Struct, frozen=True):
    """``kind``: ``uuid`` (16 bytes), ``moment`` (with its zone) or ``plain``."""

    name: str
    kind: str


class Head(msgspec.Struct, frozen=True, tag="head"):
    """``schema``: the version of the tables; ``taken_at``: the moment that all rows are of."""

    schema: str
    version: str
    taken_at: datetime
    tables: dict[str, list[Column]]


class Rows(msgspec.Struct, frozen=True, tag="rows"):
    """Some rows of one table, with values in the order of the head's columns."""

    table: str
    rows: list[list[Any]]


class End(msgspec.Struct, frozen=True, tag="end"):
    """How many rows of each table there were; ``digest``: SHA-256 of everything before this record."""

    counts: dict[str, int]
    digest: str


_encoder: Final = msgspec.msgpack.Encoder(uuid_format="bytes")
_decoder: Final = msgspec.msgpack.Decoder(Head | Rows | End)


class Writer:
    """Puts a backup together. ``write`` takes bytes in their order."""

    def __init__(self, write: Callable[[bytes], object]) -> None:
        self._write = write
        self._digest = hashlib.sha256()
        self.counts: dict[str, int] = {}

    def begin(self, head: Head) -> None:
        self.counts = dict.fromkeys(head.tables, 0)
        self._put(MAGIC)
        self._record(head)

    def rows(self, table: str, rows: list[list[Any]]) -> None:
        self.counts[table] += len(rows)
        self._record(Rows(table, rows))

    def end(self) -> None:
        self._record(End(self.counts, self._digest.hexdigest()))

    def _record(self, record: Head | Rows | End) -> None:
        body = zlib.compress(_encoder.encode(record), _LEVEL)
        self._put(len(body).to_bytes(_NUMBER) + zlib.crc32(body).to_bytes(_NUMBER) + body)

    def _put(self, data: bytes) -> None:
        self._digest.update(data)
        self._write(data)


class Reader:
    """Takes a backup apart. ``read(n)`` returns n bytes, or fewer where there are no more.

    ``head`` comes first; then ``rows`` yields every batch, and ends only behind an end that fits all that was read.
    Both raise BackupDamaged, and ``head`` raises BackupUnknown for what is no backup, or of a form of later days.
    """

    def __init__(self, read: Callable[[int], bytes]) -> None:
        self._read = read
        self._digest = hashlib.sha256()
        self._counts: dict[str, int] = {}

    def head(self) -> Head:
        magic = self._read(len(MAGIC))
        if magic != MAGIC:
            raise _unknown(magic)
        self._digest.update(magic)
        head = self._record()
        if not isinstance(head, Head):
            raise BackupDamaged("The backup is damaged: it does not begin with what it holds. Use another one.")
        self._counts = dict.fromkeys(head.tables, 0)
        return head

    def rows(self) -> Iterator[Rows]:
        while True:
            sealed = self._digest.hexdigest()
            record = self._record()
            match record:
                case Rows() if record.table in self._counts:
                    self._counts[record.table] += len(record.rows)
                    yield record
                case End() if (record.counts, record.digest) == (self._counts, sealed) and not self._read(1):
                    return
                case _:
                    raise BackupDamaged(
                        "The backup is damaged: its end does not fit what stands before it. Use another one."
                    )

    def _record(self) -> Head | Rows | End:
        prefix = self._exactly(2 * _NUMBER)
        length = int.from_bytes(prefix[:_NUMBER])
        if length > RECORD_BYTES:
            raise _spoiled()
        body = self._exactly(length)
        if zlib.crc32(body) != int.from_bytes(prefix[_NUMBER:]):
            raise _spoiled()
        self._digest.update(prefix)
        self._digest.update(body)
        return _unpacked(body)

    def _exactly(self, count: int) -> bytes:
        data = self._read(count)
        if len(data) < count:
            what = "it was not written to its end, or was cut off when it was copied"
            raise BackupDamaged(f"The backup is incomplete: {what}. Use another one, or copy it again.")
        return data


def _unpacked(body: bytes) -> Head | Rows | End:
    unpacking = zlib.decompressobj()
    try:
        data = unpacking.decompress(body, RECORD_BYTES)
        record: Head | Rows | End = _decoder.decode(data)
    except (zlib.error, msgspec.DecodeError) as error:
        raise _spoiled() from error
    return record


def _spoiled() -> BackupDamaged:
    return BackupDamaged("The backup is damaged: some of its bytes are not those that were written. Use another one.")


def _unknown(magic: bytes) -> BackupUnknown | BackupDamaged:
    if magic and MAGIC.startswith(magic):
        return BackupDamaged("The backup is incomplete: nothing stands behind its first line. Use another one.")
    if magic.startswith(_OTHER_VERSION):
        return BackupUnknown("This backup has a form that this Prosa does not know. Restore it with a newer one.")
    return BackupUnknown("This is no backup of Prosa. Name a file that `prosa backup` has written.")
