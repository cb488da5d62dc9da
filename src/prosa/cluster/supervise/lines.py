"""What processes print: cut into lines of bounded length, kept in files of bounded size."""

from collections.abc import Sequence
from pathlib import Path
from typing import IO, Final

LINE_BYTES: Final = 8 * 1024
FILE_BYTES: Final = 32 * 1024 * 1024


class Lines:
    """Bytes in, whole lines out. A longer line comes in pieces."""

    def __init__(self, most: int = LINE_BYTES) -> None:
        self._most = most
        self._rest = b""

    def feed(self, data: bytes) -> list[str]:
        *whole, self._rest = (self._rest + data).split(b"\n")
        found = [piece for line in whole for piece in self._pieces(line)]
        while len(self._rest) > self._most:
            found.append(_text(self._rest[: self._most]))
            self._rest = self._rest[self._most :]
        return found

    def end(self) -> list[str]:
        """What came after the last line end."""
        rest, self._rest = self._rest, b""
        return self._pieces(rest) if rest else []

    def _pieces(self, line: bytes) -> list[str]:
        starts = range(0, max(len(line), 1), self._most)
        return [_text(line[start : start + self._most]) for start in starts]


def _text(line: bytes) -> str:
    return line.decode(errors="replace").rstrip("\r")


class LogFile:
    """Appends lines. A file that is full becomes ``NAME.log.1`` in place of the one before.

    Raises OSError where it cannot write.
    """

    def __init__(self, path: Path, most: int = FILE_BYTES) -> None:
        self.path = path
        self._most = most
        self._file: IO[bytes] | None = None

    def write(self, lines: Sequence[str]) -> None:
        file = self._file or self.path.open("ab", buffering=0)
        self._file = file
        file.write("".join(f"{line}\n" for line in lines).encode(errors="replace"))
        if file.tell() >= self._most:
            self.close()
            self.path.replace(self.path.with_name(f"{self.path.name}.1"))

    def close(self) -> None:
        file, self._file = self._file, None
        if file is not None:
            file.close()
