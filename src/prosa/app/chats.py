"""A user's chats: list, read, rename, delete."""

from collections.abc import Sequence
from typing import Final, Protocol
from uuid import UUID

import structlog

from prosa import ports
from prosa.core.chat import Chat, History, Message, Page
from prosa.core.errors import BadText, ProsaError, TextTooLong
from prosa.core.relay import Row
from prosa.core.reply import clean

TITLE_CHARACTERS: Final = 200

log = structlog.get_logger()


class Stops(Protocol):
    """Whoever can end a run (app.intake)."""

    async def stop(self, user: UUID, run: UUID) -> Row: ...


class Chats:
    """What a user may do with chats. What is not theirs raises NotFound, as if it did not exist."""

    def __init__(self, store: ports.Chats, stops: Stops) -> None:
        self._store = store
        self._stops = stops

    async def page(self, user: UUID, cursor: str | None, limit: int) -> Page:
        return await self._store.page(user, cursor, limit)

    async def history(self, user: UUID, chat: UUID, cursor: str | None, limit: int) -> History:
        return await self._store.history(user, chat, cursor, limit)

    async def message(self, user: UUID, chat: UUID, message: UUID) -> Message:
        return await self._store.message(user, chat, message)

    async def rename(self, user: UUID, chat: UUID, title: str) -> Chat:
        """Raises BadText, TextTooLong, NotFound."""
        return await self._store.rename(user, chat, checked_title(title))

    async def delete(self, user: UUID, chat: UUID) -> Chat:
        """Hide the chat and end its runs."""
        hidden, runs = await self._store.delete(user, chat)
        await self._stop(user, runs)
        return hidden

    async def _stop(self, user: UUID, runs: Sequence[UUID]) -> None:
        # The newest first: to end the oldest would promote the next one of a chat that nobody sees any more.
        for run in reversed(runs):
            try:
                await self._stops.stop(user, run)
            except ProsaError as error:
                # The chat is gone already and the run ends by itself: that must not look like a failed deletion.
                log.warning("chat.deleted_run_goes_on", run=str(run), user=str(user), error=error.message)


def checked_title(title: str) -> str:
    """The title as typed. Raises BadText or TextTooLong."""
    if not title.strip():
        raise BadText("The title is empty. Write one.")
    if clean(title) != title:
        raise BadText("The title holds U+0000 or half of a surrogate pair, which is no valid text. Remove it.")
    if len(title) > TITLE_CHARACTERS:
        raise TextTooLong(f"The title has {len(title)} characters; the limit is {TITLE_CHARACTERS}. Shorten it.")
    return title
