"""All people of one process: connected first, then started as the plan says, watched to their ends, verified."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from typing import Final, Self
from uuid import UUID

import msgspec

from prosa.core.errors import ProsaError, Unavailable
from prosa.load import history
from prosa.load.answer import Answer
from prosa.load.dialogue import Dialogue
from prosa.load.histogram import Histogram
from prosa.load.meters import Lag, own_cpu_seconds
from prosa.load.person import Person
from prosa.load.plan import Plan
from prosa.load.tally import Tally

OPENING_AT_ONCE: Final = 50
WELCOME_SECONDS: Final = 60.0
TICK_SECONDS: Final = 0.5
LINGER_SECONDS: Final = 1.0
"""Behind the last end: what comes twice must have the time to come."""


class Harvest(msgspec.Struct, frozen=True):
    """What the people of a process brought home. ``began`` and ``ended``: seconds of the monotonic clock."""

    answers: tuple[Answer, ...]
    tally: Tally
    lag: Histogram
    cpu_seconds: float
    began: float
    ended: float
    unread_chats: int = 0


def merged(harvests: Sequence[Harvest]) -> Harvest:
    """What several processes brought home, as one."""
    tally, lag = Tally(), Histogram()
    for harvest in harvests:
        tally.merge(harvest.tally)
        lag.merge(harvest.lag)
    return Harvest(
        answers=tuple(answer for harvest in harvests for answer in harvest.answers),
        tally=tally,
        lag=lag,
        cpu_seconds=sum(harvest.cpu_seconds for harvest in harvests),
        began=min(harvest.began for harvest in harvests),
        ended=max(harvest.ended for harvest in harvests),
        unread_chats=sum(harvest.unread_chats for harvest in harvests),
    )


class Cast(msgspec.Struct, frozen=True):
    """Who plays where: HTTP addresses of one deployment, and the tokens of the people from number ``first`` on."""

    urls: tuple[str, ...]
    tokens: tuple[str, ...]
    first: int = 0

    def parts(self, count: int) -> list["Cast"]:
        """The same people in so many parts of about the same size."""
        size = -(-len(self.tokens) // count)
        return [Cast(self.urls, self.tokens[at : at + size], at) for at in range(0, len(self.tokens), size)]


class Crowd:
    """Simulated people and their sockets.

    Inside ``connected`` everybody has a socket. ``start`` lets them ask, ``finished`` waits for the last end,
    ``stop`` waits no longer. Behind it ``harvest`` verifies and tells.
    """

    def __init__(self, plan: Plan, cast: Cast, ids: Callable[[], UUID], clock: Callable[[], float]) -> None:
        self.tally = Tally()
        self._plan = plan
        self._cast = cast
        self._clock = clock
        self._lag = Lag(clock)
        self._cpu = own_cpu_seconds()
        self._began = self._ended = clock()
        self._timers: list[asyncio.TimerHandle] = []
        sockets = [f"ws{url.removeprefix('http')}/api/ws" for url in cast.urls]
        self.people = [
            Person(Dialogue(plan, cast.first + n, ids, self.tally), sockets, token, self.tally, clock)
            for n, token in enumerate(cast.tokens)
        ]

    @asynccontextmanager
    async def connected(self) -> AsyncIterator[Self]:
        """Raises Unavailable where not everybody gets a socket in time, NotSignedIn where one is not known."""
        try:
            async with asyncio.TaskGroup() as group:
                around = [group.create_task(self._ticking()), group.create_task(self._lag.run())]
                await self._gather(group)
                yield self
                self._leave()
                for task in around:
                    task.cancel()
        except* ProsaError as failed:
            error = _first(failed)
        else:
            return
        raise error

    def start(self, at: float) -> None:
        """Begin at this time of the clock, each person at the offset that the plan gives."""
        loop, now = asyncio.get_running_loop(), self._clock()
        self._began, self._cpu = at, own_cpu_seconds()
        self._lag.seen = Histogram()
        for person in self.people:
            wait = at + self._plan.offset(person.dialogue.person) - now
            self._timers.append(loop.call_later(max(wait, 0.0), person.begin, at))

    def stop(self) -> None:
        """Ask and wait for nothing more: what is unfinished is abandoned."""
        for timer in self._timers:
            timer.cancel()
        for person in self.people:
            person.stop()

    async def finished(self) -> None:
        """Every message has an end, or was given up, and a moment has passed in which nothing may come twice."""
        for person in self.people:
            await person.over.wait()
        self._ended = self._clock()
        self._cpu = own_cpu_seconds() - self._cpu
        await asyncio.sleep(LINGER_SECONDS)

    async def harvest(self) -> Harvest:
        """Verify every chat against the history, and tell what came of every message."""
        asked = [(token, person.dialogue.asked) for token, person in zip(self._cast.tokens, self.people, strict=True)]
        unread = await history.verify(self._cast.urls, asked)
        answers = tuple(Answer.of(one) for _, messages in asked for one in messages)
        return Harvest(answers, self.tally, self._lag.seen, self._cpu, self._began, self._ended, unread)

    # ── the parts ────────────────────────────────────────────────────────────────────────────────────────────

    async def _gather(self, group: asyncio.TaskGroup) -> None:
        """Everybody connects, some at a time."""
        try:
            async with asyncio.timeout(WELCOME_SECONDS):
                for batch in batched(self.people, OPENING_AT_ONCE):
                    await _welcome(group, batch)
        except TimeoutError:
            there = sum(person.welcomed.is_set() for person in self.people)
            raise Unavailable(
                f"{there} of {len(self.people)} people got a socket at {' '.join(self._cast.urls)} within "
                f"{WELCOME_SECONDS:g} s. Is Prosa running there, and how many sockets may a process open (ulimit -n)?"
            ) from None

    async def _ticking(self) -> None:
        while True:
            await asyncio.sleep(TICK_SECONDS)
            for person in self.people:
                person.tick()

    def _leave(self) -> None:
        for person in self.people:
            person.leave()


async def _welcome(group: asyncio.TaskGroup, people: Sequence[Person]) -> None:
    for person in people:
        group.create_task(person.live())
    for person in people:
        await person.welcomed.wait()


def batched(people: Sequence[Person], size: int) -> Iterator[Sequence[Person]]:
    """The people in groups of ``size``."""
    return (people[at : at + size] for at in range(0, len(people), size))


def _first(failed: BaseExceptionGroup[ProsaError]) -> ProsaError:
    """One error says what is wrong; a hundred more say it again."""
    error: BaseException = failed
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error if isinstance(error, ProsaError) else Unavailable(str(error))
