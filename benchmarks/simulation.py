"""Arrivals, slots, takeovers and autoscaling as a discrete-event simulation: hours of a deployment in seconds of CPU.

What is simulated is the life of a run as the design has it, without its text: people ask, runs wait in one queue of a
pool, workers with free slots take the oldest, a dead worker's runs are taken over after its lease and go on from what
was saved, a worker that is told to leave drains and gives back. Nothing here is measured: docs/scaling.md says where it
was held against theory and against the real thing.
"""

import heapq
import math
import random
from collections import deque
from collections.abc import Callable

import msgspec

Rate = Callable[[float], float]
"""Questions a second at a moment."""


class Answers(msgspec.Struct, frozen=True):
    """How long an answer holds its slot: words, log-normal around their median, at a pace; and what Prosa adds."""

    words_median: float = 200.0
    spread: float = 0.6
    """The sigma of the logarithm; 0: all are alike. Negative: exponential, for the comparison with theory."""
    words_per_second: float = 40.0
    added_seconds: float = 0.03

    def draw(self, dice: random.Random) -> float:
        """Seconds."""
        if self.spread < 0:
            return dice.expovariate(self.words_per_second / self.words_median)
        words = dice.lognormvariate(math.log(self.words_median), self.spread) if self.spread else self.words_median
        return words / self.words_per_second + self.added_seconds

    @property
    def mean_seconds(self) -> float:
        factor = math.exp(self.spread**2 / 2) if self.spread > 0 else 1.0
        return self.words_median * factor / self.words_per_second + (self.added_seconds if self.spread >= 0 else 0)


class Scaling(msgspec.Struct, frozen=True):
    """The rules that add and remove workers. ``least`` and ``most`` workers; seconds.

    Wanted is the larger of what keeps ``busy`` of the slots filled by all that run or wait, and of as many times those
    there are as the oldest waits times ``age_seconds``. Up twofold at most, or by two, in half a minute; down one by
    one, each minute, to no fewer than were wanted within ``calm_seconds``. So it is in deploy/helm.
    """

    least: int
    most: int
    busy: float = 0.8
    age_seconds: float = 10.0
    look_seconds: float = 15.0
    start_seconds: float = 20.0
    """From the wish for a worker to its first answer: a machine that is there, and an image that is too."""
    calm_seconds: float = 300.0
    up_seconds: float = 30.0
    down_seconds: float = 60.0


class Deployment(msgspec.Struct, frozen=True):
    workers: int
    slots: int = 16
    answers: Answers = Answers()
    scaling: Scaling | None = None
    drain_seconds: float = 60.0
    """0: a worker that must leave is killed."""
    noticed_seconds: float = 1.3
    """From a worker's death to the first text of the new attempt, where a slot is free: docs/chaos.md measured it."""
    saved_seconds: float = 1.0
    """Of text that a checkpoint had not saved yet is written again."""


class Outcome(msgspec.Struct):
    """What people met, in seconds. ``waits``: from each question to its slot; ``interrupted``: of each loss, until new
    text."""

    waits: list[float] = []
    interrupted: list[float] = []
    given_back: int = 0
    answered: int = 0
    worker_seconds: float = 0.0
    history: list[tuple[float, int, int, float]] = []
    """Each look: moment, workers, queue, and seconds that the oldest waits."""

    def wait(self, share: float) -> float:
        """The quantile of the waits."""
        ordered = sorted(self.waits)
        return ordered[min(int(share * len(ordered)), len(ordered) - 1)] if ordered else 0.0


class Run:
    """One question: when it was asked, what is left of its answer, and when its worker began with that."""

    __slots__ = ("asked", "began", "left", "lost_at", "serial")

    def __init__(self, asked: float, left: float) -> None:
        self.asked = asked
        self.left = left
        self.began = 0.0
        self.lost_at: float | None = None
        self.serial = 0
        """Of its present attempt: an end that was planned for another one counts for nothing."""


class Worker:
    def __init__(self, slots: int, ready: bool) -> None:
        self.slots = slots
        self.ready = ready
        self.leaving = False
        self.since = 0.0
        self.runs: set[Run] = set()

    @property
    def free(self) -> int:
        return self.slots - len(self.runs) if self.ready and not self.leaving else 0


class Simulation:
    """``run`` plays ``seconds``; ``kills``: moments at which a worker that has the most runs dies and is replaced."""

    def __init__(self, deployment: Deployment, rate: Rate, *, most_rate: float, seed: int = 1) -> None:
        self._set = deployment
        self._rate = rate
        self._most_rate = most_rate
        self._random = random.Random(seed)  # noqa: S311 — a simulation, not a secret
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._serial = 0
        self._queue: deque[Run] = deque()
        # As if it had stood like this for long: nothing is taken away in the first minutes.
        self._wishes = deque([(0.0, deployment.workers)])
        self._counts: deque[tuple[float, int]] = deque()
        self._shrunk_at = 0.0
        self.now = 0.0
        self.workers = [Worker(deployment.slots, True) for _ in range(deployment.workers)]
        self.outcome = Outcome([], [], 0, 0, 0.0, [])

    def run(self, seconds: float, kills: tuple[float, ...] = ()) -> Outcome:
        self._at(0.0, self._arrive)
        for moment in kills:
            self._at(moment, self._kill)
        self._at(0.0, self._look)
        while self._events and self._events[0][0] <= seconds:
            self.now, _, happens = heapq.heappop(self._events)
            happens()
        self.now = seconds
        for worker in self.workers:
            self.outcome.worker_seconds += seconds - worker.since
        return self.outcome

    def _at(self, moment: float, happens: Callable[[], None]) -> None:
        self._serial += 1
        heapq.heappush(self._events, (moment, self._serial, happens))

    # ── questions and answers ──

    def _arrive(self) -> None:
        """Thinning: arrivals at the highest rate there is, of which the present rate's share counts."""
        if self._random.random() * self._most_rate <= self._rate(self.now):
            self._queue.append(Run(self.now, self._set.answers.draw(self._random)))
            self._serve()
        self._at(self.now + self._random.expovariate(self._most_rate), self._arrive)

    def _serve(self) -> None:
        while self._queue:
            worker = max(self.workers, key=lambda one: one.free, default=None)
            if worker is None or worker.free <= 0:
                return
            self._begin(worker, self._queue.popleft())

    def _begin(self, worker: Worker, run: Run) -> None:
        if run.lost_at is None and run.serial == 0:
            self.outcome.waits.append(self.now - run.asked)
        elif run.lost_at is not None:
            self.outcome.interrupted.append(self.now - run.lost_at)
        run.began, run.lost_at, run.serial = self.now, None, run.serial + 1
        worker.runs.add(run)
        serial = run.serial
        self._at(self.now + run.left, lambda: self._end(worker, run, serial))

    def _end(self, worker: Worker, run: Run, serial: int) -> None:
        if run.serial != serial or run not in worker.runs:
            return
        worker.runs.discard(run)
        self.outcome.answered += 1
        if worker.leaving and not worker.runs:
            self._gone(worker)
        self._serve()

    # ── workers that die, leave and come ──

    def _kill(self) -> None:
        victims = [worker for worker in self.workers if worker.ready]
        if victims:
            self._lose(max(victims, key=lambda worker: len(worker.runs)))
            self._start()

    def _lose(self, worker: Worker) -> None:
        """Others take its runs over when they notice, a quarter above their slots; the rest is first in line."""
        runs, worker.runs = sorted(worker.runs, key=lambda run: run.asked), set()
        for run in runs:
            done = self.now - run.began
            run.left = max(run.left - max(done - self._random.random() * self._set.saved_seconds, 0.0), 0.0)
            run.lost_at = self.now
        self._gone(worker)
        self._at(self.now + self._set.noticed_seconds, lambda: self._take_over(runs))

    def _take_over(self, runs: list[Run]) -> None:
        for run in reversed(runs):
            heirs = [one for one in self.workers if one.ready and not one.leaving]
            heir = min(heirs, key=lambda one: len(one.runs), default=None)
            if heir is not None and len(heir.runs) < heir.slots * 1.25:
                self._begin(heir, run)
            else:
                self._queue.appendleft(run)
        self._serve()

    def _leave(self, worker: Worker) -> None:
        if not self._set.drain_seconds:
            self._lose(worker)
            return
        worker.leaving = True
        if not worker.runs:
            self._gone(worker)
        self._at(self.now + self._set.drain_seconds, lambda: self._give_back(worker))

    def _give_back(self, worker: Worker) -> None:
        """All that was sent is saved: whoever takes it goes on, and nothing is taken back."""
        if worker not in self.workers:
            return
        for run in sorted(worker.runs, key=lambda run: run.asked, reverse=True):
            run.left -= self.now - run.began
            run.serial += 1
            self.outcome.given_back += 1
            self._queue.appendleft(run)
        worker.runs = set()
        self._gone(worker)
        self._serve()

    def _gone(self, worker: Worker) -> None:
        if worker in self.workers:
            self.workers.remove(worker)
            self.outcome.worker_seconds += self.now - worker.since

    def _start(self) -> None:
        worker = Worker(self._set.slots, False)
        worker.since = self.now
        self.workers.append(worker)
        seconds = self._set.scaling.start_seconds if self._set.scaling else 1.0

        def ready() -> None:
            worker.ready = True
            self._serve()

        self._at(self.now + seconds, ready)

    # ── the autoscaler ──

    def _look(self) -> None:
        rules = self._set.scaling
        age = self.now - self._queue[0].asked if self._queue else 0.0
        staying = [worker for worker in self.workers if not worker.leaving]
        self.outcome.history.append((self.now, len(staying), len(self._queue), age))
        self._at(self.now + (rules.look_seconds if rules else 15.0), self._look)
        if rules is None:
            return
        wanted = self._slowly(rules, len(staying), self._wanted(rules, staying, age))
        for _ in range(wanted - len(staying)):
            self._start()
        for worker in sorted(staying, key=lambda one: len(one.runs))[: max(len(staying) - wanted, 0)]:
            self._leave(worker)

    def _wanted(self, rules: Scaling, staying: list[Worker], age: float) -> int:
        load = len(self._queue) + sum(len(worker.runs) for worker in staying)
        by_load = math.ceil(load / (self._set.slots * rules.busy))
        by_age = math.ceil(len(staying) * age / rules.age_seconds) if age > rules.age_seconds else 0
        now = min(max(by_load, by_age, rules.least), rules.most)
        self._wishes.append((self.now, now))
        while self._wishes[0][0] < self.now - rules.calm_seconds:
            self._wishes.popleft()
        return max(now, min(max(wish for _, wish in self._wishes), len(staying)))

    def _slowly(self, rules: Scaling, there: int, wanted: int) -> int:
        """What may be done of it at this look."""
        self._counts.append((self.now, there))
        while self._counts[0][0] < self.now - rules.up_seconds:
            self._counts.popleft()
        if wanted >= there:
            fewest = min(count for _, count in self._counts)
            return min(wanted, max(2 * fewest, fewest + 2))
        if self.now - self._shrunk_at < rules.down_seconds:
            return there
        self._shrunk_at = self.now
        return there - 1


def erlang_c(rate: float, seconds: float, slots: int) -> tuple[float, float]:
    """The share of questions that wait at all, and the mean wait of all in seconds, for exponential answers (M/M/c).

    Source: A. K. Erlang, 1917. Raises ValueError where more is asked than answered.
    """
    load = rate * seconds
    if load >= slots:
        raise ValueError(f"{slots} slots never keep up with {load:.1f} answers at once.")
    blocked = 1.0
    for count in range(1, slots + 1):
        blocked = load * blocked / (count + load * blocked)
    waiting = blocked / (1 - load / slots * (1 - blocked))
    return waiting, waiting * seconds / (slots - load)
