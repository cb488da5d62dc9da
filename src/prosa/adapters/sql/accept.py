"""Accept: one transaction that stores questions, their empty replies and their runs (L1, L5, L9, L10).

Many at once, one of each user at most. What is refused is refused before anything is written, so that a refusal of
one is no rollback of the others.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Final, TypeAlias
from uuid import UUID

import msgspec
from sqlalchemy import Connection

from prosa.adapters.sql.accepting import (
    MESSAGES,
    RUNS,
    beginning,
    last_ordinal,
    locking,
    regenerated,
    standing,
    storing,
)
from prosa.adapters.sql.classic import owe
from prosa.adapters.sql.given import parameters, with_rows
from prosa.adapters.sql.places import positions
from prosa.adapters.sql.rows import Record, own_row
from prosa.adapters.sql.steps import touching
from prosa.core.chat import Role
from prosa.core.errors import IdConflict, NotEnded, NotFound, ProsaError, TooManyWaiting
from prosa.core.policy import Limits
from prosa.core.relay import Row
from prosa.core.run import RunState
from prosa.core.work import Ask, Receipt

_TITLE_CHARACTERS: Final = 60

Answers: TypeAlias = dict[UUID, Receipt | ProsaError]
"""What each ask is answered, by its fresh run id."""


Standing: TypeAlias = dict[UUID, Record]
"""How things stand for each user's ask (accepting.standing)."""


class Wish(msgspec.Struct, frozen=True):
    """One accept."""

    ask: Ask
    limits: Limits


class _Place(msgspec.Struct, frozen=True):
    """Where a new run goes: the question it answers, and that question's parent."""

    ask: Ask
    chat: UUID
    question: UUID
    parent: UUID | None
    last: int
    """The ordinal of the chat's newest messages."""
    busy: bool
    """The chat has an unfinished run."""
    created: bool = False
    state: RunState = RunState.QUEUED

    @property
    def ordinal(self) -> int:
        return self.last + 1


def accept(tx: Connection, wishes: Sequence[Wish]) -> list[Receipt | ProsaError]:
    """See ports.Runs.accept. Their limits are the same."""
    answers: Answers = {}
    asks = _of_users(tx, [wish.ask for wish in wishes], answers)
    now = {one.user: one for one in with_rows(tx, standing, [_keys(ask) for ask in asks])} if asks else {}
    placed = _placed(tx, _new(tx, asks, now, answers), now, answers)
    places = _begun(tx, _within(placed, now, wishes[0].limits, answers), answers)
    if places:
        answers |= _stored(tx, places, now)
    return [answers[wish.ask.run] for wish in wishes]


# ── what is refused ──────────────────────────────────────────────────────────────────────────────────────────


def _of_users(tx: Connection, asks: Sequence[Ask], answers: Answers) -> list[Ask]:
    """Lock the users, in one order: two that do this never wait for each other."""
    there = set(with_rows(tx, locking, [{"user": ask.user} for ask in asks]).scalars())
    for ask in asks:
        if ask.user not in there:
            answers[ask.run] = NotFound(f"There is no user {ask.user}. Sign in again.")
    return [ask for ask in asks if ask.user in there]


def _keys(ask: Ask) -> dict[str, object]:
    ids = {"user": ask.user, "request": ask.id, "chat": ask.chat, "message": ask.id, "parent": ask.parent}
    return {**ids, "pool": ask.pool}


def _new(tx: Connection, asks: Sequence[Ask], now: Standing, answers: Answers) -> list[Ask]:
    """Those that were not asked before; the others get their first answer again, before any limit (L10)."""
    for ask in asks:
        if now[ask.user].run is not None:
            answers[ask.run] = _repeated(tx, ask, now[ask.user])
        elif ask.known:
            answers[ask.run] = NotFound(f"There is no message {ask.id} of yours.")
    return _left(asks, answers)


def _repeated(tx: Connection, ask: Ask, first: Record) -> Receipt | ProsaError:
    if _content(ask, first.chat_id) != _stored_content(first):
        return _conflict(ask)
    place = positions(tx, [first.run])[first.run]
    return Receipt(own_row(tx, ask.user, first.run), first.message_id, place, repeated=True)


def _content(ask: Ask, chat: UUID) -> tuple[object, ...]:
    return (_kind(ask), ask.chat or chat, ask.text, ask.parent, ask.asked_model)


def _stored_content(run: Record) -> tuple[object, ...]:
    text = run.question if run.kind == "send" else None
    return (run.kind, run.chat_id, text, run.asked_parent, run.asked_model)


def _kind(ask: Ask) -> str:
    return "regenerate" if ask.text is None else "send"


def _conflict(ask: Ask) -> IdConflict:
    return IdConflict(f"The id {ask.id} is taken by another message. Send this one under a new id.")


def _left(asks: Iterable[Ask], answers: Answers) -> list[Ask]:
    return [ask for ask in asks if ask.run not in answers]


def _placed(tx: Connection, asks: Sequence[Ask], now: Standing, answers: Answers) -> list[_Place]:
    places: list[_Place] = []
    for ask in asks:
        place = _regenerated(tx, ask) if ask.text is None else _sent(ask, now[ask.user])
        if isinstance(place, _Place):
            places.append(place)
        else:
            answers[ask.run] = place
    return places


def _sent(ask: Ask, now: Record) -> _Place | ProsaError:
    """A question under the parent, in a chat of the user's or a new one. The chat itself as parent: the root."""
    if ask.chat is None:
        return NotFound("A message needs a chat. Name one.")
    root = ask.parent == ask.chat
    if now.own is None:
        if ask.parent is not None and not root:
            return _unknown_reply(ask.parent)
        return _Place(ask, ask.chat, ask.id, None, 0, busy=False, created=True)
    if now.taken:
        return _conflict(ask)
    if ask.parent is not None and not root and not now.replied:
        return _unknown_reply(ask.parent)
    parent = now.newest if ask.parent is None else None if root else ask.parent
    return _Place(ask, ask.chat, ask.id, parent, now.last or 0, busy=now.busy > 0)


def _regenerated(tx: Connection, ask: Ask) -> _Place | ProsaError:
    """The question of the reply to which a sibling is asked."""
    found = tx.execute(regenerated, {"reply": ask.parent, "user": ask.user}).first()
    if found is None or ask.chat not in (None, found.chat_id):
        return _unknown_reply(ask.parent)
    if found.ended_at is None:
        return NotEnded(f"The reply {ask.parent} is still being written. Stop it, or wait for its end.")
    last = tx.execute(last_ordinal, {"chat": found.chat_id}).scalar()
    return _Place(ask, found.chat_id, found.message_id, None, last or 0, busy=found.busy > 0)


def _unknown_reply(reply: UUID | None) -> NotFound:
    return NotFound(f"There is no reply {reply} in this chat of yours. Load the chat again.")


def _within(places: Sequence[_Place], now: Standing, limits: Limits, answers: Answers) -> list[_Place]:
    """Waiting behind the chat's unfinished run (L5) or the user's N others (L9)."""
    within: list[_Place] = []
    for place in places:
        mine = now[place.ask.user]
        if mine.live < limits.user_runs and not place.busy:
            within.append(place)
        elif mine.waiting < limits.user_waiting:
            within.append(msgspec.structs.replace(place, state=RunState.WAITING))
        else:
            what = f"{mine.waiting} messages of yours wait already. Send this one when some are answered."
            answers[place.ask.run] = TooManyWaiting(what)
    return within


# ── what is stored ───────────────────────────────────────────────────────────────────────────────────────────


def _begun(tx: Connection, places: Sequence[_Place], answers: Answers) -> list[_Place]:
    """Make the new chats. An id that is taken is somebody else's chat, or a deleted one: two users may make the same
    one up at the same time. In the order of their ids: two that do this never wait for each other."""
    created = sorted((place for place in places if place.created), key=lambda place: place.chat)
    new = [{"chat": place.chat, "user": place.ask.user, "title": _title(place.ask)} for place in created]
    made = {(chat.id, chat.user_id) for chat in with_rows(tx, beginning, new)} if new else set()
    for place in places:
        if place.created and (place.chat, place.ask.user) not in made:
            what = f"There is no chat {place.chat} of yours. Begin a new one."
            answers[place.ask.run] = NotFound(what)
    return [place for place in places if place.ask.run not in answers]


def _title(ask: Ask) -> str:
    return " ".join((ask.text or "").split())[:_TITLE_CHARACTERS].rstrip()


def _stored(tx: Connection, places: Sequence[_Place], now: Standing) -> Answers:
    """Question, empty reply and run, each at the end of its chat."""
    dialect = tx.dialect.name
    messages = [message for place in places for message in _messages(place)]
    rows = parameters(dialect, messages, MESSAGES) | parameters(dialect, [_run(place) for place in places], RUNS)
    for statement in storing(dialect):
        tx.execute(statement, rows)
    for place in places:
        if place.ask.classic:
            owe(tx, place.chat, place.ordinal)
    if there := [{"chat": place.chat} for place in places if not place.created]:
        with_rows(tx, touching, there)
    in_line = _in_line(places, now)
    return {
        place.ask.run: Receipt(_row(place), place.question, in_line[place.ask.run], created=place.created)
        for place in places
    }


def _in_line(places: Sequence[_Place], now: Standing) -> dict[UUID, int]:
    """As places.positions would tell: a queued run's place in its pool; a waiting one comes behind the pool and its
    user's earlier ones. Who is in line was read before; asking again would cost a round trip."""
    queued = Counter(place.ask.pool for place in places if place.state is RunState.QUEUED)
    before: Counter[str] = Counter()
    found = {}
    for place in places:
        pool, mine = place.ask.pool, now[place.ask.user]
        if place.state is RunState.QUEUED:
            before[pool] += 1
            found[place.ask.run] = mine.ahead + before[pool]
        else:
            found[place.ask.run] = mine.ahead + queued[pool] + mine.waiting + 1
    return found


def _messages(place: _Place) -> list[dict[str, object]]:
    ask, here = place.ask, {"chat": place.chat, "ordinal": place.ordinal}
    reply = {**here, "id": ask.reply, "parent": place.question, "role": Role.ASSISTANT, "text": ""}
    if ask.text is None:
        return [reply]
    return [{**here, "id": ask.id, "parent": place.parent, "role": Role.USER, "text": ask.text}, reply]


def _run(place: _Place) -> dict[str, object]:
    ask = place.ask
    return {
        "id": ask.run,
        "user_id": ask.user,
        "chat_id": place.chat,
        "request_id": ask.id,
        "message_id": place.question,
        "reply_id": ask.reply,
        "kind": _kind(ask),
        "asked_parent": ask.parent,
        "asked_model": ask.asked_model,
        "ordinal": place.ordinal,
        "pool": ask.pool,
        "model": ask.model,
        "start_seconds": ask.start_seconds,
        "state": place.state,
    }


def _row(place: _Place) -> Row:
    """What reading the new run would give."""
    ask = place.ask
    return Row(
        run=ask.run,
        chat=place.chat,
        user=ask.user,
        reply=ask.reply,
        request=ask.id,
        pool=ask.pool,
        model=ask.model,
        ordinal=place.ordinal,
        state=place.state,
        attempt=0,
        claim=None,
        worker=None,
        text="",
        end=None,
    )
