"""Everything that can happen to runs, in random order, on the real SQL: L2-L6 and L9 hold after each step.

Jobs are never delivered: a worker claims what it finds, and anything twice (L6). Time does not pass: a
heartbeat or a deadline is over when a rule says so.
"""

import asyncio
import itertools
import shutil
import tempfile
from collections import Counter
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import ClassVar, Final, TypeVar
from uuid import UUID

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import Update, update

from prosa.adapters.sql.opening import open_database
from prosa.adapters.sql.store import open_store
from prosa.adapters.sql.tables import metadata, runs, workers
from prosa.core.errors import NoWorker, RunTimeout, TooManyWaiting
from prosa.core.policy import Crashes, Limits
from prosa.core.run import LIVE, Claimant, End, Failure, Finish, RunState, Usage
from prosa.core.work import Ask, Held, Save
from tests.model.oracle import Life, Oracle

T = TypeVar("T")

LIMITS: Final = Limits(user_runs=2, user_waiting=3)
LONG_AGO: Final = datetime(2001, 1, 1, tzinfo=UTC)
LEASE: Final = 3.0
STOPPED: Final = End(RunState.STOPPED, Finish.STOPPED)
ENDS: Final = (
    End(RunState.DONE, Finish.STOP, Usage(3, 5)),
    STOPPED,
    End(RunState.FAILED, failure=Failure("model_broke", "It broke.", retryable=True)),
)
texts: Final = st.text(st.sampled_from("aé🌍 "), min_size=1, max_size=4)
picks: Final = st.integers(0, 63)
turns: Final = st.lists(st.integers(0, 2), min_size=1, max_size=4)


@dataclass
class Holder:
    """A claim at its worker: what it sent to its readers, and the length that it believes to be saved."""

    claimant: Claimant
    sent: str
    saved: int
    whole: bool = False


class LifeOfRuns(RuleBasedStateMachine):
    """Two people, some workers that come and go, and the store; the oracle says what must be."""

    reached: ClassVar[Counter[str]] = Counter()

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="prosa-model-"))
        self.runner = asyncio.Runner()
        self.stack = AsyncExitStack()
        url = f"sqlite:///{self.folder}/prosa.db"
        self.database = self.wait(self.stack.enter_async_context(open_database(url)))
        self.wait(self.database.write(metadata.create_all))
        self.store = self.wait(self.stack.enter_async_context(open_store(url)))
        self.ids = itertools.count(1)
        self.oracle = Oracle(LIMITS)
        self.users = [self.fresh(), self.fresh()]
        for number, user in enumerate(self.users):
            self.wait(self.store.users.add(user, f"user-{number}", None, role="member"))
        self.names = ["wk-1", "wk-2", "wk-3"]
        self.holders: list[Holder] = []
        self.synced: dict[UUID, tuple[str, Crashes]] = {}

    def teardown(self) -> None:
        try:
            self.everything_ends()
        finally:
            self.wait(self.stack.aclose())
            self.runner.close()
            shutil.rmtree(self.folder)

    @initialize(sends=st.lists(st.tuples(st.integers(0, 1), picks), min_size=4, max_size=8))
    def begin(self, sends: list[tuple[int, int]]) -> None:
        """Nothing can go wrong where nothing happens: there is work, and two workers are at it."""
        for user, pick in sends:
            self.accept(user, pick)
        for worker in (0, 1):
            self.heartbeat(worker)
            self.work(0, worker)

    # ── words ──

    def wait(self, call: Coroutine[object, object, T]) -> T:
        return self.runner.run(call)

    def fresh(self) -> UUID:
        """Ids in order, so that the oldest is the oldest within a millisecond too."""
        return UUID(int=next(self.ids))

    def by_hand(self, statement: Update) -> None:
        self.wait(self.database.write(lambda tx: tx.execute(statement).close()))

    def life(self, pick: int) -> Life:
        return list(self.oracle.lives.values())[pick % len(self.oracle.lives)]

    def holder(self, pick: int) -> Holder:
        return self.holders[pick % len(self.holders)]

    def count(self, **happened: bool) -> None:
        self.reached.update(name for name, so in happened.items() if so)

    def sync(self) -> None:
        """A synced write makes all before it durable."""
        self.synced = {life.run: (life.saved, life.crashes) for life in self.oracle.lives.values()}

    def claim(self, claimant: Claimant, *, continues: bool) -> Held | None:
        models = ("echo",) if continues else ()
        claim = self.store.runs.claim(claimant, lease_seconds=LEASE, continues=models, limits=LIMITS)
        found = self.wait(claim)
        return found if isinstance(found, Held) else None

    # ── accept ──

    @rule(user=st.integers(0, 1), pick=picks)
    def accept(self, user: int, pick: int) -> None:
        """Into a new chat or one that there is."""
        chats = sorted({life.chat for life in self.oracle.of_user(self.users[user])})
        chat = [self.fresh(), *chats][pick % (len(chats) + 1)]
        ids = (self.fresh(), self.fresh(), self.fresh())
        self.send(Ask(self.users[user], *ids, chat, "Hm?", None, "echo", None, "p", 9))

    @precondition(lambda self: self.oracle.lives)
    @rule(pick=picks)
    def accept_again(self, pick: int) -> None:
        """The first answer was lost: the same request is not a second run."""
        ask = self.life(pick).ask
        again = Ask(
            ask.user, ask.id, self.fresh(), self.fresh(), ask.chat, ask.text, None, ask.model, None, ask.pool, 9
        )
        receipt = self.wait(self.store.runs.accept(again, LIMITS))
        assert (receipt.repeated, receipt.row.run) == (True, ask.run)

    def send(self, ask: Ask) -> None:
        assert ask.chat is not None
        state = self.oracle.state_of_new(ask, ask.chat)
        if state is None:
            with pytest.raises(TooManyWaiting):
                self.wait(self.store.runs.accept(ask, LIMITS))
            return
        receipt = self.wait(self.store.runs.accept(ask, LIMITS))
        life = self.oracle.accepted(ask, ask.chat, state)
        assert (receipt.row.state, receipt.row.ordinal) == (state, life.ordinal)
        self.sync()

    # ── workers ──

    @rule(pick=st.integers(0, 2))
    def heartbeat(self, pick: int) -> None:
        self.wait(self.store.sweeps.heartbeat(self.names[pick], slots=2, draining=False))
        self.oracle.alive.add(self.names[pick])

    @rule(pick=st.integers(0, 2))
    def heartbeat_over(self, pick: int) -> None:
        """Frozen, or cut from the database: it still holds its runs, and will write."""
        self.by_hand(update(workers).where(workers.c.name == self.names[pick]).values(alive_at=LONG_AGO))
        self.oracle.alive.discard(self.names[pick])

    @rule(pick=st.integers(0, 2))
    def crash(self, pick: int) -> None:
        """All that a worker had in memory is gone; the next one has another name."""
        self.heartbeat_over(pick)
        self.holders = [holder for holder in self.holders if holder.claimant.worker != self.names[pick]]
        self.names[pick] = f"wk-{next(self.ids)}"

    @precondition(lambda self: self.queued())
    @rule(pick=picks, worker=st.integers(0, 2))
    def work(self, pick: int, worker: int) -> None:
        """What happens most: a worker takes a queued run."""
        if queued := sorted(self.queued()):
            run = queued[pick % len(queued)]
            self.take(Claimant(run, self.names[worker], next(self.ids)), continues=True, lost=False)

    @precondition(lambda self: self.holders)
    @rule(pick=picks, turns=turns, text=st.just("") | texts, continues=st.booleans(), late=st.booleans())
    def take_over(self, pick: int, turns: list[int], text: str, continues: bool, late: bool) -> None:
        """Worker after worker is frozen and the run delivered again; none knows, and all will go on writing."""
        frozen = self.holder(pick)
        life = self.oracle.lives[frozen.claimant.run]
        if text:
            self.checkpoint(pick, text)
        for worker in turns:
            if life.owner is not None and life.owner.worker in self.names:
                self.heartbeat_over(self.names.index(life.owner.worker))
            self.take(Claimant(life.run, self.names[worker], next(self.ids)), continues=continues, lost=False)
        if late and frozen in self.holders:
            self.commit(self.holders.index(frozen), ENDS[0], lost=False)

    @precondition(lambda self: self.oracle.lives)
    @rule(pick=picks, worker=st.integers(0, 2), continues=st.booleans(), lost=st.booleans())
    def deliver(self, pick: int, worker: int, continues: bool, lost: bool) -> None:
        """A job of any run, once or again, to any worker; ``lost``: the claim worked, its answer did not come."""
        self.take(Claimant(self.life(pick).run, self.names[worker], next(self.ids)), continues=continues, lost=lost)

    @precondition(lambda self: self.holders)
    @rule(pick=picks)
    def claim_again(self, pick: int) -> None:
        """A holder whose claim's answer was lost asks once more: no new attempt, and nothing is cleared."""
        claimant = self.holder(pick).claimant
        life = self.oracle.lives[claimant.run]
        if self.oracle.owns(claimant):
            held = self.claim(claimant, continues=False)
            assert held is not None
            assert (held.row.attempt, held.row.text) == (life.attempt, life.saved)

    def take(self, claimant: Claimant, *, continues: bool, lost: bool) -> None:
        held = self.claim(claimant, continues=continues)
        life = self.oracle.lives[claimant.run]
        before = (life.owner, life.saved, life.end)
        expected = self.oracle.claims(claimant, continues=continues)
        self.count(taken_over=expected and before[0] is not None, cleared=expected and len(before[1]) > len(life.saved))
        self.count(lost_too_often=not expected and life.end != before[2], refused=not expected and life.end is None)
        if lost:
            held = self.claim(claimant, continues=continues)
        assert (held is not None) == expected
        self.sync()
        if held is None:
            return
        assert (held.row.attempt, held.row.text, held.stop_requested) == (life.attempt, life.saved, life.stop_asked)
        self.holders.append(Holder(claimant, held.row.text, len(held.row.text)))

    @precondition(lambda self: self.holders)
    @rule(pick=picks, text=texts)
    def stream(self, pick: int, text: str) -> None:
        self.holder(pick).sent += text

    @precondition(lambda self: self.holders)
    @rule(pick=picks, text=texts)
    def checkpoint(self, pick: int, text: str) -> None:
        """One statement for all that a worker holds, claims among them that are over by now (L3)."""
        chosen = self.holder(pick)
        chosen.sent += text
        worker = chosen.claimant.worker
        held = {holder.claimant.run: holder for holder in self.holders if holder.claimant.worker == worker}
        held[chosen.claimant.run] = chosen
        saves = [self.save(holder) for holder in held.values()]
        found = self.wait(self.store.runs.checkpoint(worker, saves))
        known = {saved.run: (saved.seq, saved.stop_requested) for saved in found}
        assert len(known) == len(found)
        for save, holder in zip(saves, held.values(), strict=True):
            stored = self.oracle.saves(holder.claimant, save.at, save.text, whole=save.whole)
            stop = self.oracle.lives[save.run].stop_asked
            assert known.get(save.run) == (None if stored is None else (stored, stop))
            self.count(
                saved=stored is not None,
                fenced_save=stored is None,
                misfit=stored is not None and not save.whole and stored != save.at + len(save.text),
            )
            self.learn(holder, stored)

    def learn(self, holder: Holder, stored: int | None) -> None:
        """A worker that lost a run stops; one whose text did not fit sends the whole next time."""
        if stored is None:
            self.holders.remove(holder)
        else:
            holder.whole = stored != len(holder.sent)
            holder.saved = stored

    def save(self, holder: Holder) -> Save:
        claimant = holder.claimant
        if holder.whole:
            return Save(claimant.run, claimant.claim, 0, holder.sent, whole=True)
        return Save(claimant.run, claimant.claim, holder.saved, holder.sent[holder.saved :])

    @precondition(lambda self: self.holders)
    @rule(pick=picks, end=st.sampled_from(ENDS), lost=st.booleans())
    def commit(self, pick: int, end: End, lost: bool) -> None:
        """``lost``: its answer did not come, it is tried again, and its worker knows no better (L2)."""
        holder = self.holder(pick)
        life = self.oracle.lives[holder.claimant.run]
        committed = self.wait(self.store.runs.finish(holder.claimant, holder.sent, end, LIMITS))
        before = self.queued()
        mine = self.oracle.finishes(holder.claimant, holder.sent, end)
        self.count(committed=mine, fenced_commit=not mine, promoted=len(committed.promoted) > 0)
        assert (committed.mine, committed.end) == (mine, life.end)
        assert {job.run for job in committed.promoted} == self.queued() - before
        self.settled(holder, lost=lost)
        if lost:
            again = self.wait(self.store.runs.finish(holder.claimant, "other", ENDS[0], LIMITS))
            assert (again.mine, again.end, again.promoted) == (mine, life.end, ())
            self.count(committed_again=mine)

    @precondition(lambda self: self.holders)
    @rule(pick=picks, text=texts, lost=st.booleans())
    def drain(self, pick: int, text: str, lost: bool) -> None:
        """All that was sent is given back with the run: nothing is taken back (L4).

        ``lost``: its answer did not come, and its worker took the run again: only the claim tells the two apart.
        """
        holder = self.holder(pick)
        holder.sent += text
        released = self.wait(self.store.runs.release(holder.claimant, holder.sent))
        assert released == self.oracle.releases(holder.claimant, holder.sent)
        self.count(released=released, fenced_release=not released)
        self.settled(holder, lost=lost)
        if lost and released:
            run, worker = holder.claimant.run, holder.claimant.worker
            self.take(Claimant(run, worker, next(self.ids)), continues=True, lost=False)
            assert not self.wait(self.store.runs.release(holder.claimant, "old"))
            self.checkpoint(self.holders.index(holder), text)

    def queued(self) -> set[UUID]:
        return {life.run for life in self.oracle.lives.values() if life.state is RunState.QUEUED}

    def settled(self, holder: Holder, *, lost: bool) -> None:
        if not lost:
            self.holders.remove(holder)
        self.sync()

    @precondition(lambda self: self.holders)
    @rule(pick=picks, text=texts)
    def lose_the_unsynced_suffix(self, pick: int, text: str) -> None:
        """The database's machine loses power: all is as at the last synced write, which kept every claim (L3)."""
        self.checkpoint(pick, text)
        self.count(suffix_lost=self.unsynced())
        for run, (saved, crashes) in self.synced.items():
            life = self.oracle.lives[run]
            if life.end is None:
                life.saved, life.crashes = saved, crashes
                self.by_hand(update(runs).where(runs.c.id == run).values(saved=saved, crashes_row=crashes.row))

    def unsynced(self) -> bool:
        return any(life.end is None and self.synced[run][0] != life.saved for run, life in self.oracle.lives.items())

    # ── people and sweepers ──

    @precondition(lambda self: self.oracle.lives)
    @rule(pick=picks)
    def stop(self, pick: int) -> None:
        """Rather of a run that has no end."""
        unended = [life for life in self.oracle.lives.values() if life.end is None]
        life = unended[pick % len(unended)] if unended else self.life(pick)
        row = self.wait(self.store.runs.stop(life.ask.user, life.run, LIMITS)).row
        self.count(stop_asked=life.state is RunState.RUNNING, withdrawn=life.state is RunState.WAITING)
        self.oracle.stops(life, STOPPED)
        assert (row.state, row.end) == (life.state, life.end)
        self.sync()

    @precondition(lambda self: self.oracle.lives)
    @rule(pick=picks)
    def deadline(self, pick: int) -> None:
        """A run's time is over, to start or to end, and a sweep finds it."""
        life = self.life(pick)
        self.by_hand(update(runs).where(runs.c.id == life.run, runs.c.end_by.is_not(None)).values(end_by=LONG_AGO))
        self.by_hand(update(runs).where(runs.c.id == life.run, runs.c.start_by.is_not(None)).values(start_by=LONG_AGO))
        rows = self.wait(self.store.sweeps.expire(LIMITS, 9))
        due = life.state in LIVE
        self.count(expired=due)
        if due:
            self.oracle.fails(life, Failure.of(RunTimeout("") if life.attempt else NoWorker("")))
            life.end = rows[0].end
        assert [row.run for row in rows] == ([life.run] if due else [])
        self.sync()

    @rule()
    def sweep(self) -> None:
        """There is nothing to promote that was not promoted; what is orphaned is named."""
        assert list(self.wait(self.store.sweeps.promote(LIMITS, 9))) == []
        orphans = self.wait(self.store.sweeps.orphans(self.names[0], LEASE, 99))
        expected = {
            life.run
            for life in self.oracle.lives.values()
            if life.owner and life.end is None and life.owner.worker not in (self.names[0], *self.oracle.alive)
        }
        assert {job.run for job in orphans} == expected

    # ── laws ──

    @invariant()
    def the_store_is_as_the_oracle_says(self) -> None:
        rows = {row.run: row for row in self.wait(self.store.reads.rows(list(self.oracle.lives)))}
        assert set(rows) == set(self.oracle.lives)
        for life in self.oracle.lives.values():
            row = rows[life.run]
            assert (row.state, row.attempt, row.text, row.end) == (life.state, life.attempt, life.saved, life.end)
            if life.end is None:
                owner = life.owner or Claimant(life.run, "", 0)
                assert (row.worker or "", row.claim or 0) == (owner.worker, owner.claim)

    @invariant()
    def what_is_stored_is_what_its_owner_sent(self) -> None:
        """Within an attempt the store has a prefix of it, so that a reader of either sees no other text (L4)."""
        for holder in self.holders:
            if self.oracle.owns(holder.claimant):
                assert holder.sent.startswith(self.oracle.lives[holder.claimant.run].saved)

    @invariant()
    def chats_are_answered_in_order_and_users_have_their_limits(self) -> None:
        for user in self.users:
            lives = self.oracle.of_user(user)
            assert self.oracle.live(user) <= LIMITS.user_runs
            assert sum(life.state is RunState.WAITING for life in lives) <= LIMITS.user_waiting
            for life in lives:
                if life.state in LIVE:
                    earlier = [other for other in self.oracle.of_chat(life.chat) if other.ordinal < life.ordinal]
                    assert all(other.end is not None for other in earlier)

    def everything_ends(self) -> None:
        """With every job lost and every worker gone, one new worker brings all to an end from the store alone (L6)."""
        for pick in range(3):
            self.crash(pick)
        for _ in self.oracle.lives:
            if all(life.end is not None for life in self.oracle.lives.values()):
                break
            self.by_hand(update(runs).values(dispatched_at=LONG_AGO))
            found = [
                *self.wait(self.store.sweeps.undispatched("p", 0, LIMITS)),
                *self.wait(self.store.sweeps.orphans("wk-last", LEASE, 99)),
            ]
            for job in found:
                self.take(Claimant(job.run, "wk-last", next(self.ids)), continues=True, lost=False)
            while self.holders:
                self.commit(0, ENDS[0], lost=False)
        self.the_store_is_as_the_oracle_says()
        assert all(life.end is not None for life in self.oracle.lives.values())


REACHED: Final = {
    *("saved", "committed", "committed_again", "promoted", "released", "stop_asked", "withdrawn", "expired"),
    *("taken_over", "cleared", "lost_too_often", "refused", "suffix_lost", "misfit"),
    *("fenced_save", "fenced_commit", "fenced_release"),
}


ROUNDS: Final = 6
"""What a walk meets is a matter of chance: more are made until all was met."""


def _missed() -> set[str]:
    return {name for name in REACHED if not LifeOfRuns.reached[name]}


def test_whatever_happens_to_runs_in_whatever_order_the_laws_hold() -> None:
    """And everything that the laws are about did happen: a walk that meets nothing proves nothing."""
    LifeOfRuns.reached.clear()
    for turn in range(ROUNDS):
        run_state_machine_as_test(
            LifeOfRuns,
            settings=settings(
                max_examples=30,
                stateful_step_count=40,
                deadline=None,
                derandomize=not turn,
                suppress_health_check=list(HealthCheck),
            ),
        )
        if not _missed():
            break
    assert _missed() == set()
