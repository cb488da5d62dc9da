"""Every seam of Prosa on one page, as protocols. Adapters implement them; use-cases know nothing else.

Store methods are one transaction each: they are committed and synced when they return (``checkpoint`` and
``heartbeat`` are not synced), and changed nothing when they raise. A store that is away raises
StoreUnavailable, a full disk StorageFull. Cancelling a store call leaves it either committed or not, never half.
"""

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import Protocol
from uuid import UUID

from prosa.core.account import Account, SignIn, User
from prosa.core.chat import Chat, History, Message, Page
from prosa.core.classic import Opened
from prosa.core.events import BulletinNotice, Job, Mail
from prosa.core.model import Chunk, Prompt
from prosa.core.operations import Detail, Duty, Listing, Process, Standing, Wanted
from prosa.core.policy import Limits
from prosa.core.relay import Place, Row
from prosa.core.run import Claimant, End, RunState
from prosa.core.trace import Span
from prosa.core.work import Ask, Census, Committed, Held, Receipt, Save, Saved, Stopped


class Clock(Protocol):
    """Time as this process sees it. Lease times come from the database's clock instead."""

    def now(self) -> datetime:
        """The wall clock, in UTC."""
        ...

    def monotonic(self) -> float:
        """Seconds that never go back."""
        ...

    async def sleep(self, seconds: float) -> None: ...


class Tokens(Protocol):
    """Randomness: ids that sort by time, claims, and secrets with the digests that are stored of them."""

    def uuid(self) -> UUID: ...

    def claim(self) -> int:
        """A random number of 63 bits (it fits a signed 64-bit column)."""
        ...

    def secret(self) -> str: ...
    def digest(self, secret: str) -> str: ...


class Passwords(Protocol):
    """Slow password hashes, computed off the event loop, a bounded number at once; a full line raises Overloaded."""

    async def hash(self, password: str) -> str: ...

    async def verify(self, password: str, digest: str | None) -> bool:
        """Takes as long for a user without a password (None) as for a wrong one, so that names cannot be probed."""
        ...


class Engine(Protocol):
    """A language model. ``stream`` yields pieces in order and one Finished at the end; a piece never repeats the
    prefix. It raises only EngineFailed; before the first piece an engine may try again by itself. Leaving the context
    or cancelling its reader cancels the model at once. ``continues``: it can go on from a prefix."""

    @property
    def continues(self) -> bool: ...
    def stream(self, prompt: Prompt) -> AbstractAsyncContextManager[AsyncIterator[Chunk]]: ...

    async def check(self) -> str:
        """One sentence of what the model is and that it is ready, for ``prosa doctor``; raises EngineFailed."""
        ...


class Delivery(Protocol):
    """One job, delivered at least once. Unsettled deliveries of a consumer that goes away are delivered again."""

    @property
    def job(self) -> Job: ...

    @property
    def redelivered(self) -> bool: ...

    async def ack(self) -> None:
        """The run is durable elsewhere or over. Never raises: an ack lost with its channel means a redelivery."""
        ...

    async def reject(self) -> None:
        """To the dead letters; for a job that nobody can ever run."""
        ...


class Deliveries(Protocol):
    """What a consumer is given. ``stop`` takes no more and never raises: others get at once what was not handed out."""

    def __aiter__(self) -> AsyncIterator[Delivery]: ...
    async def __anext__(self) -> Delivery: ...
    async def stop(self) -> None: ...


class Bus(Protocol):
    """What makes things fast; everything on it may be lost, for the store is the truth (L6).
    ``dispatch``, ``send`` and ``announce`` hand over and return at once: they never wait, never raise, and drop where
    their bounded buffers are full (jobs: the newest; mail: the oldest). Mail to one address arrives in the order in
    which one process sent it, at most once; a bulletin keeps its place among the sender's mail.
    """

    def dispatch(self, job: Job) -> None:
        """Put a run into its pool's queue, durably and confirmed, in the background."""
        ...

    def jobs(self, pool: str, slots: int) -> AbstractAsyncContextManager[Deliveries]:
        """Consume a pool's queue: at most ``slots`` unsettled deliveries at once. Leaving the context stops taking."""
        ...

    async def backlog(self, pool: str) -> int | None:
        """Jobs of the pool that nobody holds yet; None while the broker cannot say."""
        ...

    def inbox(self, name: str, *, bulletins: bool) -> AbstractAsyncContextManager[AsyncIterator[Mail]]:
        """This process's mail, bounded in messages and bytes (the oldest goes). Unreadable bodies are skipped."""
        ...

    def send(self, to: str, mail: Mail) -> None: ...

    def announce(self, notices: Sequence[BulletinNotice]) -> None:
        """One bulletin to every inbox that wants them. At most one a tick: callers collect."""
        ...


class DeadLetters(Protocol):
    """What the bus has put aside, of all pools."""

    async def dead_letters(self) -> int | None:
        """How many; None while the broker cannot say."""
        ...


class Broker(Bus, DeadLetters, Protocol):
    """What a process has of its broker."""


class Runs(Protocol):
    """The life of a run, from accept to its one end (L1–L3, L5, L9, L10)."""

    async def accept(self, ask: Ask, limits: Limits) -> Receipt:
        """Store message, empty reply and run. Idempotency comes before every limit.
        Raises IdConflict, NotFound, NotEnded (parent of a regenerate still runs), TooManyWaiting."""
        ...

    async def claim(
        self, claimant: Claimant, *, lease_seconds: float, continues: Collection[str], limits: Limits
    ) -> Held | Row | None:
        """Take a queued run, or a running one whose worker's heartbeat is over, or one that this claim has already.

        ``continues`` are the models that can go on from saved text; for another the saved text is cleared in the
        same update, so that no reader takes it for a part of the new attempt (L4). A takeover counts a crash
        (policy.crashed). None: there is nothing to take: it ended, or another has it. A Row: it crashed too often, and
        this call ended it.
        """
        ...

    async def checkpoint(self, worker: str, saves: Sequence[Save]) -> Sequence[Saved]:
        """Append the new text of all runs of a worker in one statement. A run without a Saved is lost: stop it (L3)."""
        ...

    async def finish(
        self, claimant: Claimant, text: str, end: End, limits: Limits, *, spoke: float | None = None
    ) -> Committed:
        """Fenced: the final reply, the end, and the promotion of the user's oldest waiting runs that may go.
        ``spoke``: so many seconds ago the attempt's first text came."""
        ...

    async def release(self, claimant: Claimant, text: str) -> bool:
        """Give a run back to its queue with all the text that was sent; no crash is counted. False: no longer owned."""
        ...

    async def stop(self, user: UUID, run: UUID, limits: Limits) -> Stopped:
        """End a waiting or queued run at once; record the wish on a running one; change nothing on one that is over.
        Raises NotFound."""
        ...


class Sweeps(Protocol):
    """Upkeep by every worker, safe to run by many at once: each call locks what it changes and skips what is locked."""

    async def heartbeat(
        self, worker: str, *, slots: int, draining: bool, alone: bool = False, duty: Duty | None = None
    ) -> bool:
        """True: an administrator wants this worker to drain. ``duty`` is what it tells of itself beside.

        ``alone``: no other worker exists. The time in which nobody's heart beat (a closed lid, a process that was
        off) is then no run's time: deadlines move by it; and the first beat of a worker forgets all dispatches."""
        ...

    async def orphans(self, worker: str, lease_seconds: float, limit: int) -> Sequence[Job]:
        """Running runs of others whose heartbeat is over, oldest first. Lease 0: every run of every other worker."""
        ...

    async def undispatched(self, pool: str, ready: int, limits: Limits) -> Sequence[Job]:
        """Queued runs whose last dispatch is too long ago (policy.redispatch_after); marks them as dispatched now.
        Oldest first, and at most (queued rows of the pool − ``ready``), the jobs that still lie in its queue."""
        ...

    async def promote(self, limits: Limits, limit: int) -> Sequence[Job]:
        """Queue waiting runs whose chat is idle while their user is below N; at most ``limit``."""
        ...

    async def expire(self, limits: Limits, limit: int) -> Sequence[Row]:
        """Fail runs past their deadline to start (no_worker) or to end (timeout). A running one gets a higher attempt:
        its reader may have seen text that was not saved (L4)."""
        ...

    async def prune(self, before_seconds: float) -> None:
        """Forget workers and gateways silent for so long, and sign-ins that expired."""
        ...


class Reads(Protocol):
    """What gateways read of runs."""

    async def rows(self, runs: Sequence[UUID]) -> Sequence[Row]:
        """All that exist, in one statement, with the saved text."""
        ...

    async def places(self, runs: Sequence[UUID]) -> Sequence[Place]:
        """The places of those that wait: an estimate."""
        ...

    async def unfinished(self, user: UUID, chat: UUID) -> Sequence[UUID]:
        """The chat's runs without an end, by ordinal. Raises NotFound."""
        ...

    async def own(self, user: UUID, run: UUID) -> Row:
        """Raises NotFound."""
        ...

    async def counts(self) -> Mapping[RunState, int]:
        """Runs without an end by state: also proves that the store answers."""
        ...

    async def census(self, lease_seconds: float) -> Census:
        """For metrics, in one cheap statement. ``lease_seconds``: after a longer silence a worker is not alive."""
        ...


class Operations(Protocol):
    """What administrators see and do. No call costs more where there are more runs, and none reads what was said."""

    async def standing(self, pools: Collection[str]) -> Standing:
        """Processes, queues and rates, of these pools and of all that workers serve; huge counts stop at a bound."""
        ...

    async def listing(self, wanted: Wanted, cursor: str | None, limit: int) -> Listing:
        """Newest first. A page looks at a bounded number of runs: it may be short, or empty, with more behind it.
        Raises BadRequest for a cursor that no page gave out."""
        ...

    async def detail(self, run: UUID) -> Detail:
        """Anybody's. Raises NotFound."""
        ...

    async def drain(self, worker: str) -> None:
        """The worker learns of it at its next heartbeat. Raises NotFound, also for one that has fallen silent."""
        ...

    async def announce(self, gateway: Process, *, sockets: int, watched: int, draining: bool) -> None:
        """The gateway lives. Not synced."""
        ...


class Chats(Protocol):
    """A user's chats. What is not the user's is NotFound (L11)."""

    async def page(self, user: UUID, cursor: str | None, limit: int) -> Page: ...

    async def known(self, owned: Sequence[tuple[UUID, UUID]]) -> Sequence[tuple[UUID, Chat]]:
        """Of pairs of a user and a chat, those where the chat is the user's, in one statement."""
        ...

    async def history(self, user: UUID, chat: UUID, cursor: str | None, limit: int) -> History: ...
    async def message(self, user: UUID, chat: UUID, message: UUID) -> Message: ...
    async def rename(self, user: UUID, chat: UUID, title: str) -> Chat: ...

    async def delete(self, user: UUID, chat: UUID) -> tuple[Chat, Sequence[UUID]]:
        """Hide the chat; returns it and its unfinished runs, which the caller stops."""
        ...


class Classic(Protocol):
    """Replies owed to the classic socket: of questions that accept marked. What may not be opened raises NotFound:
    an unknown or deleted chat, or that of a disabled user. A chat's replies are told in the order of their ordinal."""

    async def enter(self, chat: UUID) -> Opened: ...

    async def next(self, chat: UUID, after: int) -> Row | None:
        """The first owed reply behind the ordinal ``after``, over or not, told or not."""
        ...

    async def tell(self, chat: UUID, ordinal: int) -> None:
        """All owed replies up to ``ordinal`` were sent to somebody. Raises nothing for one that is told already."""
        ...


class Users(Protocol):
    """Accounts. Usernames are unique without regard to case."""

    async def add(self, user: UUID, username: str, password: str | None, *, role: str | None) -> User:
        """``role`` None: admin for the first account with a password, member after. Raises NameTaken."""
        ...

    async def find(self, username: str) -> Account | None: ...
    async def all(self) -> Sequence[Account]: ...

    async def set_password(self, user: UUID, password: str) -> None:
        """Ends all of the user's sign-ins."""
        ...

    async def set_disabled(self, user: UUID, disabled: bool) -> None:
        """Disabling ends all of the user's sign-ins."""
        ...

    async def set_role(self, user: UUID, role: str) -> None: ...


class SignIns(Protocol):
    """Opaque sign-ins, stored as digests of their secrets."""

    async def open(self, session: UUID, user: UUID, digest: str, *, kind: str, seconds: float) -> SignIn: ...

    async def find(self, digest: str) -> SignIn | None:
        """None: unknown, expired, revoked, or its user is disabled."""
        ...

    async def close(self, session: UUID) -> None: ...

    async def closed(self, sessions: Sequence[UUID]) -> Sequence[UUID]:
        """Those of ``sessions`` that are no longer open, in one statement."""
        ...


class Metrics(Protocol):
    """Counters and timings; names are Prometheus names without their prefix ``prosa_``. Never raises, never waits."""

    def count(self, name: str, amount: float = 1, **labels: str) -> None: ...
    def observe(self, name: str, value: float, **labels: str) -> None: ...
    def gauge(self, name: str, value: float, **labels: str) -> None: ...


class Traces(Protocol):
    """Spans of runs, each given once, when it is over. Never raises, never waits: what finds no room is dropped and
    counted."""

    def wants(self, run: UUID, *, telling: bool = False) -> bool:
        """Whether anybody wants a span of this run: ask before making one. Where very many come, only those of a share
        of the runs are wanted, the same runs in every process; and those that are ``telling``: of a failure, or of a
        further attempt."""
        ...

    def add(self, span: Span) -> None: ...
