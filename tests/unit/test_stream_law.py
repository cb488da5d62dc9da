"""L4 and L6 over the pure core: whatever the bus loses, a reader sees prefixes, and in the end what is stored.

A worker's desk, the bus, a gateway's relay and a reader's cursor are driven in random order, with frames lost,
workers killed after any checkpoint, attempts that go on from the saved text, and readers that read when they like.
"""

from uuid import uuid4

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from prosa.core import events
from prosa.core.chat import Role, Turn
from prosa.core.cursor import Cursor, told
from prosa.core.desk import Desk, Work
from prosa.core.events import Frame, Listen, Taken
from prosa.core.protocol import Delta, Done, Failed, ServerMessage, Snapshot
from prosa.core.relay import AskWorker, Outcome, Relay, Row, heard, read, taken
from prosa.core.run import Claimant, End, Finish, RunState
from prosa.core.work import Held, Saved

GATEWAY = "gw-1"


class Reader:
    """A client as the protocol describes it; it refuses what is not adjacent."""

    def __init__(self) -> None:
        self.attempt = 0
        self.text = ""
        self.end: Done | Failed | None = None

    def take(self, message: ServerMessage) -> None:
        assert self.end is None, "something came behind the end"
        if isinstance(message, Delta):
            assert message.start == len(self.text) + 1, "a gap or a repetition"
            assert message.attempt >= self.attempt
            self.attempt, self.text = message.attempt, self.text + message.text
            assert len(self.text) == message.seq
        elif isinstance(message, Snapshot):
            assert message.attempt > self.attempt or message.text.startswith(self.text), "text was taken back"
            self.attempt, self.text = message.attempt, message.text
        elif isinstance(message, Done | Failed):
            assert message.seq == len(self.text)
            assert message.attempt == self.attempt or not self.text
            self.end = message


class Stream(RuleBasedStateMachine):
    @initialize()
    def begin(self) -> None:
        self.run = uuid4()
        self.row = Row(
            run=self.run,
            chat=uuid4(),
            user=uuid4(),
            reply=uuid4(),
            request=uuid4(),
            pool="default",
            model="m",
            ordinal=1,
            state=RunState.QUEUED,
        )
        self.desks: dict[str, Desk] = {}
        self.work: Work | None = None
        self.written = ""
        self.relay = Relay(self.run)
        self.readers = [(Reader(), Cursor(self.run)), (Reader(), Cursor(self.run, whole=True))]
        self.learn(read(self.relay, self.row))

    # ── the worker and the store ─────────────────────────────────────────────────────────────────────────────

    @precondition(lambda self: self.row.end is None and self.work is None)
    @rule(listens=st.booleans(), told_all=st.booleans(), continues=st.booleans())
    def claim(self, listens: bool, told_all: bool, continues: bool) -> None:
        attempt = self.row.attempt + 1
        name, claim = f"wk-{attempt}", attempt * 1000
        self.row = Row(
            **{
                **{field: getattr(self.row, field) for field in Row.__struct_fields__},
                "state": RunState.RUNNING,
                "attempt": attempt,
                "claim": claim,
                "worker": name,
                "text": self.row.text if continues else "",
            }
        )
        held = Held(self.row, (Turn(Role.USER, "?"),), stop_requested=False, seconds_left=9)
        self.work = Work(Claimant(self.run, name, claim), held)
        self.written = self.work.reply.text
        self.desk = self.desks[name] = Desk()
        self.desk.open(self.work, GATEWAY if listens else None)
        if told_all:
            self.learn(taken(self.relay, Taken(self.run, name, claim)))

    @precondition(lambda self: self.work is not None)
    @rule(text=st.text(alphabet="aé𝄞", min_size=1, max_size=5))
    def write(self, text: str) -> None:
        assert self.work is not None
        self.work.reply.append(text)

    @precondition(lambda self: self.work is not None)
    @rule()
    def checkpoint(self) -> None:
        assert self.work is not None
        (save,) = self.desk.saves(everything=True)
        text = save.text if save.whole else self.row.text + save.text
        self.store(text=text)
        self.desk.saved([save], [Saved(self.run, len(text), stop_requested=False)])

    @precondition(lambda self: self.work is not None)
    @rule()
    def die(self) -> None:
        self.desks.pop(self.row.worker or "")
        self.work = None

    @precondition(lambda self: self.work is not None)
    @rule()
    def give_back(self) -> None:
        assert self.work is not None
        self.store(text=self.work.reply.text, state=RunState.QUEUED, worker=None, claim=None)
        self.work.gone()
        self.work = None

    @precondition(lambda self: self.work is not None)
    @rule(heard_of=st.booleans())
    def commit(self, heard_of: bool) -> None:
        assert self.work is not None
        end = End(RunState.DONE, Finish.STOP)
        self.store(text=self.work.reply.text, state=RunState.DONE, end=end, worker=None)
        if heard_of:
            self.work.over(end)
        else:
            self.desks.pop(f"wk-{self.row.attempt}")
        self.work = None

    # ── the bus, the gateway, the readers ────────────────────────────────────────────────────────────────────

    @rule(lost=st.booleans())
    def frame(self, lost: bool) -> None:
        for name, desk in self.desks.items():
            for sent in desk.cut().values():
                if not lost:
                    self.deliver(events.frame(name, sent))

    @rule()
    def ask_the_store(self) -> None:
        self.learn(read(self.relay, self.row))

    @rule(which=st.sampled_from([0, 1]))
    def pull(self, which: int) -> None:
        reader, cursor = self.readers[which]
        cursor, messages = told(cursor, self.relay)
        for message in messages:
            reader.take(message)
        self.readers[which] = (reader, cursor)

    @rule()
    def join_late(self) -> None:
        if len(self.readers) < 4:
            self.readers.append((Reader(), Cursor(self.run, whole=True)))

    @rule(which=st.sampled_from([0, 1]))
    def resume(self, which: int) -> None:
        """The reader's connection broke: it comes back with what it holds (``Last-Event-ID``)."""
        reader, cursor = self.readers[which]
        if not cursor.over:
            at = Cursor(self.run, attempt=reader.attempt, seq=len(reader.text), started=reader.attempt)
            self.readers[which] = (reader, at)

    @rule(which=st.sampled_from([0, 1]))
    def watch_again(self, which: int) -> None:
        """The same reader asks for a snapshot: it never shows less of an attempt than the reader has."""
        reader, cursor = self.readers[which]
        if not cursor.over:
            self.readers[which] = (reader, Cursor(self.run, whole=True))

    @rule()
    def gateway_dies(self) -> None:
        """Every reader resumes at another gateway, which knows nothing but the row."""
        self.relay = Relay(self.run)
        for which in range(len(self.readers)):
            reader, cursor = self.readers[which]
            at = Cursor(self.run, attempt=reader.attempt, seq=len(reader.text), started=reader.attempt)
            self.readers[which] = (reader, cursor if cursor.over else at)
        self.learn(read(self.relay, self.row))

    @invariant()
    def readers_hold_a_prefix_of_their_attempt(self) -> None:
        for reader, _ in getattr(self, "readers", []):
            if self.work is not None and reader.attempt == self.row.attempt:
                assert self.work.reply.text.startswith(reader.text)

    def teardown(self) -> None:
        """Whoever reads on gets the stored reply, from the database alone if need be."""
        if not hasattr(self, "row"):
            return
        if self.row.end is None:
            self.store(state=RunState.DONE, end=End(RunState.DONE, Finish.STOP), attempt=self.row.attempt + 1)
        self.learn(read(self.relay, self.row))
        for which, (reader, _) in enumerate(self.readers):
            self.pull(which)
            assert reader.end is not None
            assert reader.text == self.row.text

    def store(self, **fields: object) -> None:
        now = {field: getattr(self.row, field) for field in Row.__struct_fields__}
        self.row = Row(**{**now, **fields})

    def deliver(self, frame: Frame) -> None:
        for event in events.run_events(frame)[0]:
            self.learn(heard(self.relay, frame.worker, event))

    def learn(self, outcome: Outcome) -> None:
        self.relay, actions = outcome
        for action in actions:
            if isinstance(action, AskWorker) and action.worker in self.desks:
                self.desks[action.worker].listen(Listen(GATEWAY, action.run, action.claim, action.seq))


TestStream = Stream.TestCase
TestStream.settings = settings(max_examples=200, stateful_step_count=40, deadline=None)
