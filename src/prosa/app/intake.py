"""What users ask of runs: send, regenerate, stop. Committed first, then told to others, who may miss it (L1, L6)."""

from collections.abc import Callable, Iterable
from uuid import UUID

import msgspec
import structlog

from prosa.app.endings import note_end
from prosa.app.spans import Spans
from prosa.core import policy
from prosa.core.errors import NotFound, Refused, TextTooLong, UnknownModel
from prosa.core.events import Added, BulletinNotice, ChatTouched, Job, Over, StopAsked
from prosa.core.model import Catalogue
from prosa.core.policy import Limits
from prosa.core.protocol import Regenerate, Send
from prosa.core.relay import Row
from prosa.core.run import RunState
from prosa.core.work import Ask, Receipt
from prosa.ports import Bus, Metrics, Runs, Tokens

log = structlog.get_logger()

Announce = Callable[[BulletinNotice], None]


class Intake:
    """Accepts messages. ``announce`` collects notices for the process's next bulletin."""

    def __init__(  # noqa: PLR0913 — what a gateway's intake needs, by keyword only
        self,
        *,
        runs: Runs,
        bus: Bus,
        tokens: Tokens,
        catalogue: Catalogue,
        limits: Limits,
        metrics: Metrics,
        spans: Spans,
        announce: Announce,
    ) -> None:
        self._runs = runs
        self._bus = bus
        self._tokens = tokens
        self._catalogue = catalogue
        self._limits = limits
        self._metrics = metrics
        self._spans = spans
        self._announce = announce

    async def send(self, user: UUID, message: Send, *, run: UUID | None = None, origin: str | None = None) -> Receipt:
        """Store a question and its run. ``run`` is a fresh id that the caller watches already; ``origin`` its gateway.

        Raises BadText, TextTooLong, UnknownModel, and what ``Runs.accept`` raises.
        """
        return await self._accept(user, message, run, origin)

    async def classic(self, user: UUID, chat: UUID, text: str, *, origin: str | None = None) -> Receipt:
        """Store a question whose reply the classic socket owes. Each call is a new one: its frames name no message.

        Raises what ``send`` raises.
        """
        message = Send(self._tokens.uuid(), chat, text)
        return await self._accept(user, message, None, origin, classic=True)

    async def regenerate(
        self, user: UUID, message: Regenerate, *, run: UUID | None = None, origin: str | None = None
    ) -> Receipt:
        """Ask for a sibling of a reply. Raises NotFound, NotEnded, and what ``send`` raises."""
        return await self._accept(user, message, run, origin)

    async def stop(self, user: UUID, run: UUID) -> Row:
        """End a run with what it has said. The wish is stored before its worker is nudged. Raises NotFound."""
        stopped = await self._runs.stop(user, run, self._limits)
        row = stopped.row
        self._dispatch(stopped.promoted)
        if stopped.mine and row.end is not None:
            note_end(self._metrics, row, row.end)
        if row.state is RunState.RUNNING and row.worker is not None:
            self._bus.send(row.worker, StopAsked(run))
        elif row.state.ended:
            self._announce(Over(run, row.chat, user))
        return row

    async def _accept(
        self, user: UUID, message: Send | Regenerate, run: UUID | None, origin: str | None, *, classic: bool = False
    ) -> Receipt:
        begun = self._spans.now()
        refusal = self._refusal(message)
        ask = self._ask(user, message, None if refusal else message.model, run)
        ask = msgspec.structs.replace(ask, classic=True) if classic else ask
        receipt = await (self._runs.accept(ask, self._limits) if refusal is None else self._known(ask, refusal))
        if not receipt.repeated:
            self._metrics.count("accepted_total", model=ask.model)
            self._metrics.observe("accept_seconds", self._spans.now() - begun)
            self._spans.accepted(receipt.row, begun)
            _log_accept(receipt.row)
            self._publish(ask, receipt, origin)
        return receipt

    def _refusal(self, message: Send | Regenerate) -> Refused | None:
        """Why a new message cannot be taken. Text that no store could hold is refused at once (BadText)."""
        try:
            if isinstance(message, Send):
                policy.checked_text(message.text, self._limits)
            self._catalogue.choose(message.model)
        except (TextTooLong, UnknownModel) as error:
            return error
        return None

    def _ask(self, user: UUID, message: Send | Regenerate, asked: str | None, run: UUID | None) -> Ask:
        model, pool = self._catalogue.choose(asked)
        if isinstance(message, Send):
            chat, text, parent = message.chat, message.text, message.parent
        else:
            chat, text, parent = None, None, message.reply
        return Ask(
            user=user,
            id=message.id,
            run=run or self._tokens.uuid(),
            reply=self._tokens.uuid(),
            chat=chat,
            text=text,
            parent=parent,
            model=model,
            asked_model=message.model,
            pool=pool,
            start_seconds=self._limits.start_seconds,
        )

    async def _known(self, ask: Ask, refusal: Refused) -> Receipt:
        """What was accepted before stays accepted, whatever limit or model has changed since (L10)."""
        try:
            return await self._runs.accept(msgspec.structs.replace(ask, known=True), self._limits)
        except NotFound:
            raise refusal from None

    def _publish(self, ask: Ask, receipt: Receipt, origin: str | None) -> None:
        row = receipt.row
        if row.state is RunState.QUEUED:
            self._dispatch([Job(row.run, row.pool, origin)])
        if receipt.created:
            self._announce(ChatTouched(ask.user, row.chat, "created"))
        question = None if ask.text is None else ask.id
        self._announce(Added(ask.user, row.chat, question, row.reply, row.run))

    def _dispatch(self, jobs: Iterable[Job]) -> None:
        for job in jobs:
            self._bus.dispatch(job)


def _log_accept(row: Row) -> None:
    log.debug("run.accepted", run=str(row.run), chat=str(row.chat), user=str(row.user), state=row.state.value)
