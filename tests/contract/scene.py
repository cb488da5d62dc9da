"""A store with people in it, and the few words in which tests of the store are written."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count
from typing import Final
from uuid import UUID, uuid4

from uuid_utils.compat import uuid7

from prosa.adapters.sql.store import Store
from prosa.core.policy import Limits
from prosa.core.relay import Row
from prosa.core.run import Claimant, End, Finish, RunState, Usage
from prosa.core.work import Ask, Committed, Held, Receipt, Save, Saved

POOL: Final = "pool"
MODEL: Final = "echo"
LEASE: Final = 3.0
DONE: Final = End(RunState.DONE, Finish.STOP, Usage(7, 11))
LIMITS: Final = Limits()


@dataclass
class Scene:
    """Somebody with a store. Claims are numbered, so that each is fresh."""

    store: Store
    url: str
    user: UUID = field(default_factory=uuid4)
    limits: Limits = LIMITS
    claims: Iterator[int] = field(default_factory=lambda: count(1 << 60))

    async def person(self, name: str | None = None) -> UUID:
        """One more user, a member without a password."""
        user = uuid4()
        await self.store.users.add(user, name or f"user-{user}", None, role="member")
        return user

    def ask(
        self,
        chat: UUID | None = None,
        text: str | None = "How are you?",
        *,
        id: UUID | None = None,
        user: UUID | None = None,
        parent: UUID | None = None,
        model: str | None = None,
        start_seconds: float = 600.0,
    ) -> Ask:
        return Ask(
            user=user or self.user,
            id=id or uuid4(),
            run=uuid7(),
            reply=uuid7(),
            chat=chat or (None if text is None else uuid4()),
            text=text,
            parent=parent,
            model=model or MODEL,
            asked_model=model,
            pool=POOL,
            start_seconds=start_seconds,
        )

    async def send(self, chat: UUID | None = None, text: str = "How are you?", **how: object) -> Receipt:
        return await self.accept(self.ask(chat, text, **how))  # type: ignore[arg-type] # as ask has them

    async def accept(self, ask: Ask) -> Receipt:
        return await self.store.runs.accept(ask, self.limits)

    def claimant(self, run: UUID, worker: str = "wk-1") -> Claimant:
        return Claimant(run, worker, next(self.claims))

    async def claim(
        self, claimant: Claimant, *, lease: float = LEASE, continues: tuple[str, ...] = (MODEL,)
    ) -> Held | None:
        """What is held now. Whether a run was ended instead, its row tells."""
        found = await self.attempt(claimant, lease=lease, continues=continues)
        return found if isinstance(found, Held) else None

    async def attempt(
        self, claimant: Claimant, *, lease: float = LEASE, continues: tuple[str, ...] = (MODEL,)
    ) -> Held | Row | None:
        return await self.store.runs.claim(claimant, lease_seconds=lease, continues=continues, limits=self.limits)

    async def hold(self, run: UUID, worker: str = "wk-1", *, lease: float = LEASE) -> Claimant:
        """Claim a run that must be there to claim."""
        claimant = self.claimant(run, worker)
        assert await self.claim(claimant, lease=lease) is not None
        return claimant

    async def save(
        self, claimant: Claimant, text: str, at: int = 0, *, whole: bool = False, spoke: float | None = None
    ) -> list[Saved]:
        save = Save(claimant.run, claimant.claim, at, text, whole, spoke)
        return list(await self.store.runs.checkpoint(claimant.worker, [save]))

    async def finish(
        self, claimant: Claimant, text: str = "Fine.", end: End = DONE, *, spoke: float | None = None
    ) -> Committed:
        return await self.store.runs.finish(claimant, text, end, self.limits, spoke=spoke)

    async def answer(self, run: UUID, text: str = "Fine.") -> Committed:
        """Claim and finish."""
        return await self.finish(await self.hold(run), text)

    async def state(self, run: UUID) -> RunState:
        return (await self.store.reads.own(self.user, run)).state

    async def text(self, run: UUID) -> str:
        return (await self.store.reads.own(self.user, run)).text

    async def alive(self, worker: str) -> None:
        await self.store.sweeps.heartbeat(worker, slots=4, draining=False)
