"""What goes to a model engine and what comes back: a prompt, then chunks."""

from uuid import UUID

import msgspec

from prosa.core.chat import Turn
from prosa.core.run import Finish, Usage


class Prompt(msgspec.Struct, frozen=True):
    """What an engine answers: turns that end with a question, and the text of the reply to go on from."""

    run: UUID
    turns: tuple[Turn, ...]
    prefix: str = ""


class Piece(msgspec.Struct, frozen=True):
    """Some text: whole code points, ``clean`` (core.reply), never empty."""

    text: str


class Finished(msgspec.Struct, frozen=True):
    """The last chunk: why the model ended, and what it counted for the whole reply."""

    finish: Finish
    usage: Usage


Chunk = Piece | Finished
