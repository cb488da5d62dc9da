"""The one streaming loop: a claimed run from its first chunk to its one end."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, suppress
from typing import Final
from uuid import UUID

import structlog

from prosa.app.endings import note_end
from prosa.app.outbox import Outbox
from prosa.app.spans import OK, STOPPED, Spans, reason
from prosa.core.chat import Role, Turn
from prosa.core.desk import Interruption, Work
from prosa.core.errors import EngineFailed, Failed, InternalFailure, ModelBroke, ModelMissing, RunTimeout, Unavailable
from prosa.core.events import Gone, Job, Over, Taken
from prosa.core.model import Chunk, Finished, Prompt
from prosa.core.policy import Limits
from prosa.core.run import Claimant, End, Failure, Finish, RunState, Usage
from prosa.core.work import Held
from prosa.ports import Bus, Clock, Engine, Metrics, Runs

log = structlog.get_logger()

Stream = AbstractAsyncContextManager[AsyncIterator[Chunk]]

RETRY_SECONDS: Final = (0.05, 0.1, 0.2, 0.5, 1.0, 2.0)
"""Between tries at a store that is away; the last one repeats."""


class Generation:
    """Answers claimed runs. One object serves all runs of a worker; who calls has bound a run's ids for the log."""

    def __init__(  # noqa: PLR0913 — what a worker's loop needs, by keyword only
        self,
        *,
        runs: Runs,
        bus: Bus,
        engines: Mapping[str, Engine],
        fallbacks: Mapping[str, str],
        systems: Mapping[str, str],
        outbox: Outbox,
        clock: Clock,
        limits: Limits,
        metrics: Metrics,
        spans: Spans,
    ) -> None:
        self._runs = runs
        self._bus = bus
        self._engines = engines
        self._fallbacks = fallbacks
        self._systems = systems
        self._outbox = outbox
        self._clock = clock
        self._limits = limits
        self._metrics = metrics
        self._spans = spans
        self._scopes: dict[UUID, asyncio.Timeout] = {}

    async def answer(self, claimant: Claimant, held: Held, origin: str | None) -> None:
        """Stream the reply and commit its end. Returns when the outcome is durable, or the run is not ours any more."""
        engine = self._engines.get(held.row.model)
        work = Work(claimant, held)
        work.begun = self._clock.monotonic()
        self._outbox.desk.open(work, origin)
        self._outbox.announce(Taken(claimant.run, claimant.worker, claimant.claim))
        if work.attempt > 1:
            # Who watched the attempt before waits for this one's first frame.
            self._outbox.flush()
        self._spans.claimed(work)
        try:
            await self._settle(work, await self._outcome(work, engine))
        finally:
            if work.ended is None:
                work.gone()
            if isinstance(work.ended, Gone):
                log.info("run.let_go", attempt=work.attempt, reason=reason(work))
            self._spans.left(work)
            self._outbox.announce(Over(work.run, held.row.chat, held.row.user))

    @property
    def continues(self) -> frozenset[str]:
        """The models here that go on from saved text."""
        return frozenset(name for name, engine in self._engines.items() if engine.continues)

    def interrupt(self, work: Work, reason: Interruption) -> None:
        """End a stream early. A run that commits already is left alone; a lost one stays lost."""
        if work.interruption is not None:
            return
        work.interruption = reason
        scope = self._scopes.get(work.run)
        if scope is not None and not scope.expired():
            scope.reschedule(asyncio.get_running_loop().time())

    async def _outcome(self, work: Work, engine: Engine | None) -> End | Interruption:
        if work.held.stop_requested:
            work.interruption = Interruption.STOP
        try:
            ended = await self._stream(work, engine)
        except Failed as error:
            self._note(work, error)
            return End(RunState.FAILED, failure=Failure.of(error))
        except Exception:
            log.exception("engine.broke", model=work.held.row.model)
            return _broken()
        if ended is not None:
            return End(RunState.DONE, ended.finish, ended.usage)
        if work.interruption is Interruption.STOP:
            return End(RunState.STOPPED, Finish.STOPPED, Usage(completion_tokens=work.pieces))
        return work.interruption or _timed_out()

    def _note(self, work: Work, error: Failed) -> None:
        """For the operator: the same sentence that the user is shown."""
        model = work.held.row.model
        self._metrics.count("engine_errors_total", model=model, code=error.code)
        log.warning("model.failed", attempt=work.attempt, model=model, code=error.code, error=error.message)

    async def _stream(self, work: Work, engine: Engine | None) -> Finished | None:
        """The model's end, or None where the run was interrupted or out of time. Raises Failed."""
        if engine is None:
            raise ModelMissing(f"The model {work.held.row.model!r} is not configured at this worker. Choose another.")
        prefix = work.reply.seq
        try:
            return await self._call(work, work.held.row.model, engine)
        except EngineFailed as error:
            name = self._fallbacks.get(work.held.row.model, "")
            fallback = self._engines.get(name)
            if (
                fallback is None
                or not error.retryable
                or work.reply.seq > prefix
                or (prefix and not fallback.continues)
            ):
                raise
            self._note(work, error)
            return await self._call(work, name, fallback)

    async def _call(self, work: Work, model: str, engine: Engine) -> Finished | None:
        if work.interruption is not None:
            return None
        called, outcome = self._clock.monotonic(), STOPPED
        try:
            finished = await self._attempt(work, model, engine)
            outcome = OK if finished else STOPPED if work.interruption else RunTimeout.code
            return finished
        except Exception as error:
            outcome = error.code if isinstance(error, Failed) else InternalFailure.code
            raise
        finally:
            self._metrics.count("engine_calls_total", model=model, outcome=outcome)
            self._spans.called(work, model, called, outcome)

    async def _attempt(self, work: Work, model: str, engine: Engine) -> Finished | None:
        prompt = Prompt(work.run, self._turns(work), work.reply.text)
        with suppress(TimeoutError):
            async with asyncio.timeout(work.held.seconds_left) as scope:
                self._scopes[work.run] = scope
                try:
                    return await self._pump(work, model, engine.stream(prompt))
                finally:
                    self._scopes.pop(work.run, None)
        return None

    def _turns(self, work: Work) -> tuple[Turn, ...]:
        system = self._systems.get(work.held.row.model)
        return (Turn(Role.SYSTEM, system), *work.held.turns) if system else work.held.turns

    async def _pump(self, work: Work, model: str, stream: Stream) -> Finished:
        first, called = True, self._clock.monotonic()
        async with stream as chunks:
            async for chunk in chunks:
                if isinstance(chunk, Finished):
                    return chunk
                work.reply.append(chunk.text)
                work.pieces += 1
                if first:
                    # The first words do not wait for the tick.
                    first = False
                    work.spoke_at = self._clock.monotonic()
                    self._outbox.hurry(work.run)
                    self._begun(work, model, called)
                if work.reply.seq > self._limits.reply_characters:
                    return Finished(Finish.LENGTH, Usage(completion_tokens=work.pieces))
        raise ModelBroke(f"The model {work.held.row.model!r} stopped without saying why. Try again.")

    def _begun(self, work: Work, model: str, called: float) -> None:
        """The model's first piece is here."""
        now = self._clock.monotonic()
        self._metrics.observe("engine_first_seconds", now - called, model=model)
        if work.attempt == 1:
            seconds = work.held.queued_seconds + now - work.begun
            self._metrics.observe("first_token_seconds", seconds, model=work.held.row.model)

    async def _settle(self, work: Work, outcome: End | Interruption) -> None:
        """Make the outcome durable and tell the listeners."""
        match outcome:
            case End():
                await self._commit(work, outcome)
            case Interruption.DRAIN:
                await self._give_back(work)
            case _:
                work.gone()

    async def _commit(self, work: Work, end: End) -> None:
        text = work.reply.text
        tries, begun = 0, self._clock.monotonic()
        while True:
            try:
                spoke = work.spoke(self._clock.monotonic())
                committed = await self._runs.finish(work.claimant, text, end, self._limits, spoke=spoke)
                break
            except Unavailable:
                # The text stays in memory: the fence decides who commits when the store is back.
                await self._pause(tries)
                tries += 1
        self._spans.committed(work, begun, tries, mine=committed.mine)
        if committed.mine and committed.end is not None:
            work.over(committed.end)
            self._ended(work, committed.end)
        else:
            self._metrics.count("fenced_total")
            work.gone()
        self._dispatch(committed.promoted)

    def _ended(self, work: Work, end: End) -> None:
        model, seconds = work.held.row.model, self._clock.monotonic() - work.begun
        note_end(self._metrics, work.held.row, end, seconds)
        self._metrics.count("reply_characters_total", work.reply.seq, model=model)
        self._metrics.count("prompt_tokens_total", end.usage.prompt_tokens, model=model)
        self._metrics.count("completion_tokens_total", end.usage.completion_tokens, model=model)
        self._metrics.observe("run_seconds", seconds, model=model)

    async def _give_back(self, work: Work) -> None:
        for tries in range(len(RETRY_SECONDS)):
            try:
                await self.release(work.claimant, work.held, work.reply.text)
                break
            except Unavailable:
                await self._pause(tries)
        work.gone()

    async def release(self, claimant: Claimant, held: Held, text: str) -> None:
        """Give the run back with all that was sent of it; another worker may have it at once. Raises Unavailable."""
        if await self._runs.release(claimant, text):
            self._bus.dispatch(Job(claimant.run, held.row.pool))

    async def _pause(self, tries: int) -> None:
        await self._clock.sleep(RETRY_SECONDS[min(tries, len(RETRY_SECONDS) - 1)])

    def _dispatch(self, jobs: tuple[Job, ...]) -> None:
        for job in jobs:
            self._bus.dispatch(job)


def _broken() -> End:
    error = InternalFailure("Something in Prosa broke while it answered. Try again; if it stays, tell the operator.")
    return End(RunState.FAILED, failure=Failure.of(error))


def _timed_out() -> End:
    error = RunTimeout("The answer took longer than a run may take. Ask for less at once, or try again.")
    return End(RunState.FAILED, failure=Failure.of(error))
