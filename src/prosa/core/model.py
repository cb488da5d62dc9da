"""What goes to a model engine and what comes back: a prompt, then chunks."""

from uuid import UUID

import msgspec

from prosa.core.chat import Turn
from prosa.core.errors import UnknownModel
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


class Catalogue(msgspec.Struct, frozen=True):
    """The models of a deployment: each name's pool of workers; the first name is the default."""

    pools: dict[str, str]

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self.pools)

    def choose(self, asked: str | None) -> tuple[str, str]:
        """The model and its pool. Raises UnknownModel."""
        if asked is None:
            asked = next(iter(self.pools))
        if asked not in self.pools:
            raise UnknownModel(f"There is no model {asked[:80]!r} here. Choose one of: {', '.join(self.pools)}.")
        return asked, self.pools[asked]
