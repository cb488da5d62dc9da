"""What administrators see and do: how the installation stands, every run's life, and the few levers that there are."""

import asyncio
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import asynccontextmanager
from typing import Final
from uuid import UUID, uuid5

import msgspec

from prosa.app.intake import Intake
from prosa.core.errors import NotEnded, OneProcess, StoreUnavailable
from prosa.core.operations import Detail, Listing, Standing, Wanted
from prosa.core.protocol import Regenerate
from prosa.core.relay import Row
from prosa.core.trail import Event, timeline
from prosa.ports import Clock, DeadLetters, Operations

FRESH_SECONDS: Final = 1.0
"""So long one look at the store serves everybody who asks: a hundred open cockpits cost what one costs."""
ANSWER_SECONDS: Final = 5.0
AGAIN: Final = "answer again"
"""What the id of such a request is derived from, besides the run."""


class Overview(msgspec.Struct, frozen=True):
    """``dead_letters`` is None while the broker cannot say."""

    standing: Standing
    dead_letters: int | None


class Story(msgspec.Struct, frozen=True):
    """One run and what happened to it, oldest first."""

    detail: Detail
    events: tuple[Event, ...]


class Administration:
    """``models``: each model's pool. ``alone``: the only worker is in this very process."""

    def __init__(  # noqa: PLR0913 — what administrators need, by keyword only
        self,
        *,
        operations: Operations,
        letters: DeadLetters,
        intake: Intake,
        clock: Clock,
        models: Mapping[str, str],
        alone: bool,
    ) -> None:
        self._operations = operations
        self._letters = letters
        self._intake = intake
        self._clock = clock
        self._models = models
        self._alone = alone
        self._last: tuple[Overview, float] | None = None
        self._turn = asyncio.Lock()

    async def overview(self) -> Overview:
        """At most a second old. Raises Unavailable."""
        async with _in_time(), self._turn:
            if self._last is not None and self._clock.monotonic() < self._last[1] + FRESH_SECONDS:
                return self._last[0]
            found = await self._look()
            self._last = (found, self._clock.monotonic())
            return found

    async def _look(self) -> Overview:
        return Overview(await self._operations.standing(self._pools), await self._letters.dead_letters())

    @property
    def _pools(self) -> Collection[str]:
        return set(self._models.values())

    async def runs(self, wanted: Wanted, cursor: str | None, limit: int) -> Listing:
        """Newest first. Raises BadRequest for a cursor that no page gave out, Unavailable."""
        async with _in_time():
            return await self._operations.listing(wanted, cursor, limit)

    async def story(self, run: UUID) -> Story:
        """Raises NotFound, Unavailable."""
        detail = await self._detail(run)
        return Story(detail, timeline(detail.life))

    async def _detail(self, run: UUID) -> Detail:
        async with _in_time():
            return await self._operations.detail(run)

    async def stop(self, run: UUID) -> Row:
        """As if its user had. Nothing changes on a run that is over. Raises NotFound, Unavailable."""
        detail = await self._detail(run)
        return await self._intake.stop(detail.listed.user, run)

    async def retry(self, run: UUID) -> UUID:
        """Answer the question again, in the chat of its user and by the same model, where it is still offered.

        Returns the new run, of which there is one however often it is asked for (L10): its request's id is derived
        from the run. What failed again is asked for again by its own. Raises NotEnded, NotFound (also for a chat that
        its user deleted), Unavailable, and what else refuses a message.
        """
        detail = await self._detail(run)
        if not detail.listed.state.ended:
            raise NotEnded(f"The run {run} is not over. Stop it, or wait for its end.")
        model = detail.listed.model if detail.listed.model in self._models else None
        again = Regenerate(uuid5(run, AGAIN), detail.reply, model)
        return (await self._intake.regenerate(detail.listed.user, again)).row.run

    async def drain(self, worker: str) -> None:
        """It takes no more, finishes what it has and ends. Raises NotFound, OneProcess, Unavailable."""
        if self._alone:
            way = "To end it, stop that process: it gives back what it has not finished."
            raise OneProcess(f"The only worker is part of the one process that serves this page. {way}")
        await self._operations.drain(worker)


@asynccontextmanager
async def _in_time() -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            yield
    except TimeoutError:
        what = f"The database did not tell within {ANSWER_SECONDS:.0f} s how things stand."
        raise StoreUnavailable(f"{what} Try again in a moment.") from None
