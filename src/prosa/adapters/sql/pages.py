"""Cursors of keyset pages: where the page before ended, in a form that clients pass on unread."""

from typing import TypeVar

import msgspec

from prosa.core.errors import BadRequest

T = TypeVar("T")


def cursor_of(*key: object) -> str:
    return msgspec.json.encode(key).hex()


def read_cursor(cursor: str, shape: type[T]) -> T:
    """Raises BadRequest for what no page gave out."""
    try:
        return msgspec.json.decode(bytes.fromhex(cursor), type=shape)
    except (ValueError, msgspec.MsgspecError):
        raise bad_cursor() from None


def bad_cursor() -> BadRequest:
    return BadRequest("The cursor is none that a page gave out. Begin with the first page.")
