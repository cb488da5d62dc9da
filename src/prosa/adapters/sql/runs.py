"""The port ``Runs``: each method is one transaction."""

from collections.abc import Collection, Sequence
from typing import Final
from uuid import UUID

from sqlalchemy import ColumnElement, Connection, case, update

from prosa.adapters.sql.accept import Wish, accept
from prosa.adapters.sql.checkpoint import checkpoint
from prosa.adapters.sql.claim import Terms, Wanted, claims
from prosa.adapters.sql.columns import Now
from prosa.adapters.sql.database import Database
from prosa.adapters.sql.finish import Ending, finish
from prosa.adapters.sql.rows import own_row, unknown_run
from prosa.adapters.sql.steps import STOPPED, end_locked, lock_run, lock_user, promote_user
from prosa.adapters.sql.tables import runs
from prosa.adapters.sql.together import Together
from prosa.adapters.sql.trail import noted
from prosa.core.policy import Limits
from prosa.core.relay import Row
from prosa.core.run import Claimant, End, RunState
from prosa.core.trail import What
from prosa.core.work import Ask, Committed, Held, Receipt, Save, Saved, Stopped


class SqlRuns:
    """The life of a run in SQL. See ports.Runs for what each method promises."""

    def __init__(self, database: Database) -> None:
        self._database = database
        # The later of two asks of one user must see what the earlier stored.
        self._accepts: Together[Wish, Receipt] = Together(
            database, accept, call="accept", apart=lambda wish: wish.ask.user
        )
        self._claims: Together[Wanted, Held | Row | None] = Together(database, claims, call="claim")
        self._endings: Together[Ending, Committed] = Together(database, finish, call="finish")

    async def accept(self, ask: Ask, limits: Limits) -> Receipt:
        return await self._accepts(Wish(ask, limits))

    async def claim(
        self, claimant: Claimant, *, lease_seconds: float, continues: Collection[str], limits: Limits
    ) -> Held | Row | None:
        return await self._claims(Wanted(claimant, Terms(lease_seconds, tuple(continues), limits)))

    async def checkpoint(self, worker: str, saves: Sequence[Save]) -> Sequence[Saved]:
        return await self._database.write(lambda tx: checkpoint(tx, worker, saves), synced=False)

    async def finish(
        self, claimant: Claimant, text: str, end: End, limits: Limits, *, spoke: float | None = None
    ) -> Committed:
        return await self._endings(Ending(claimant, text, end, limits, spoke))

    async def release(self, claimant: Claimant, text: str) -> bool:
        return await self._database.write(lambda tx: _release(tx, claimant, text))

    async def stop(self, user: UUID, run: UUID, limits: Limits) -> Stopped:
        return await self._database.write(lambda tx: _stop(tx, user, run, limits))


_released: Final = noted(What.RELEASED, runs.c.attempt, runs.c.worker)
# Asked once more, it is noted no more.
_stop_asked: Final = case((runs.c.stop_requested, runs.c.trail), else_=noted(What.STOP_ASKED, runs.c.attempt))


def _fence(claimant: Claimant) -> tuple[ColumnElement[bool], ...]:
    """What must hold for a worker's write (L3)."""
    return (
        runs.c.id == claimant.run,
        runs.c.worker == claimant.worker,
        runs.c.claim == claimant.claim,
        runs.c.state == RunState.RUNNING,
    )


def _release(tx: Connection, claimant: Claimant, text: str) -> bool:
    """It keeps its place in the queue, and no deadline to start but the one to end: it had started."""
    values = {"state": RunState.QUEUED, "claim": None, "worker": None, "saved": text, "start_by": None}
    dispatched = {"dispatches": 1, "dispatched_at": Now(), "trail": _released}
    return tx.execute(update(runs).where(*_fence(claimant)).values({**values, **dispatched})).rowcount == 1


def _stop(tx: Connection, user: UUID, run: UUID, limits: Limits) -> Stopped:
    lock_user(tx, user)
    found = lock_run(tx, runs.c.id == run, runs.c.user_id == user)
    if found is None:
        raise unknown_run(run)
    if found.state == RunState.RUNNING:
        tx.execute(update(runs).where(runs.c.id == run).values(stop_requested=True, trail=_stop_asked))
    elif not RunState(found.state).ended:
        end_locked(tx, found, STOPPED)
        promoted = promote_user(tx, user, limits)
        return Stopped(own_row(tx, user, run), mine=True, promoted=promoted)
    return Stopped(own_row(tx, user, run))
