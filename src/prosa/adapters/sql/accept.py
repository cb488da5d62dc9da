"""Accept: one transaction that stores a question, its empty reply and their run (L1, L5, L9, L10)."""

from typing import Final
from uuid import UUID

import msgspec
from sqlalchemy import Connection, and_, bindparam, func, insert, select, update

from prosa.adapters.sql.chats import DELETED
from prosa.adapters.sql.columns import Now
from prosa.adapters.sql.insertion import insert_new
from prosa.adapters.sql.places import position_of
from prosa.adapters.sql.rows import Record, is_in, live, own_row, unfinished
from prosa.adapters.sql.steps import lock_user, queued
from prosa.adapters.sql.tables import chats, messages, runs
from prosa.core.chat import Role
from prosa.core.errors import IdConflict, NotEnded, NotFound, TooManyWaiting
from prosa.core.policy import Limits
from prosa.core.run import RunState
from prosa.core.work import Ask, Receipt

_TITLE_CHARACTERS: Final = 60

_request: Final = (
    select(
        runs.c.id,
        runs.c.chat_id,
        runs.c.message_id,
        runs.c.kind,
        runs.c.asked_parent,
        runs.c.asked_model,
        messages.c.text.label("question"),
    )
    .join_from(runs, messages, and_(messages.c.chat_id == runs.c.chat_id, messages.c.id == runs.c.message_id))
    .where(runs.c.user_id == bindparam("user"), runs.c.request_id == bindparam("request"))
)
_counts: Final = select(
    func.count().filter(live).label("live"),
    func.count().filter(is_in(RunState.WAITING)).label("waiting"),
    func.count().filter(runs.c.chat_id == bindparam("chat")).label("chat"),
).where(runs.c.user_id == bindparam("user"), unfinished)


class _Place(msgspec.Struct, frozen=True):
    """Where a new run goes: the question it answers, that question's parent, and whether the chat is new."""

    chat: UUID
    question: UUID
    parent: UUID | None
    created: bool = False


def accept(tx: Connection, ask: Ask, limits: Limits) -> Receipt:
    """See ports.Runs.accept."""
    if not lock_user(tx, ask.user):
        raise NotFound(f"There is no user {ask.user}. Sign in again.")
    before = _asked_before(tx, ask)
    if before is not None:
        return before
    if ask.known:
        raise NotFound(f"There is no message {ask.id} of yours.")
    place = _regenerated(tx, ask) if ask.text is None else _sent(tx, ask)
    state = _state(tx, ask, place.chat, limits)
    _store(tx, ask, place, state)
    row = own_row(tx, ask.user, ask.run)
    return Receipt(row, place.question, position_of(tx, ask.run), created=place.created)


def _asked_before(tx: Connection, ask: Ask) -> Receipt | None:
    """The first answer to the same request, asked before any limit (L10). Raises IdConflict for another content."""
    found = tx.execute(_request, {"user": ask.user, "request": ask.id}).first()
    if found is None:
        return None
    if _content(ask, found.chat_id) != _stored_content(found):
        raise _conflict(ask)
    return Receipt(own_row(tx, ask.user, found.id), found.message_id, position_of(tx, found.id), repeated=True)


def _content(ask: Ask, chat: UUID) -> tuple[object, ...]:
    return (_kind(ask), ask.chat or chat, ask.text, ask.parent, ask.asked_model)


def _stored_content(run: Record) -> tuple[object, ...]:
    text = run.question if run.kind == "send" else None
    return (run.kind, run.chat_id, text, run.asked_parent, run.asked_model)


def _kind(ask: Ask) -> str:
    return "regenerate" if ask.text is None else "send"


def _conflict(ask: Ask) -> IdConflict:
    return IdConflict(f"The id {ask.id} is taken by another message. Send this one under a new id.")


def _sent(tx: Connection, ask: Ask) -> _Place:
    """A question under the parent, in a chat of the user's or a new one."""
    if ask.chat is None:
        raise NotFound("A message needs a chat. Name one.")
    if _create_chat(tx, ask, ask.chat):
        if ask.parent not in (None, ask.chat):
            raise _unknown_reply(ask.parent)
        return _Place(ask.chat, ask.id, None, created=True)
    own = (chats.c.id == ask.chat, chats.c.user_id == ask.user, chats.c.status != DELETED)
    if tx.execute(select(chats.c.id).where(*own)).first() is None:
        raise NotFound(f"There is no chat {ask.chat} of yours. Begin a new one.")
    taken = select(messages.c.id).where(messages.c.chat_id == ask.chat, messages.c.id == ask.id)
    if tx.execute(taken).first() is not None:
        raise _conflict(ask)
    return _Place(ask.chat, ask.id, _parent(tx, ask.chat, ask.parent))


def _create_chat(tx: Connection, ask: Ask, chat: UUID) -> bool:
    """False where the id is taken, by whomever: two users may make the same one up at the same time."""
    title = " ".join((ask.text or "").split())[:_TITLE_CHARACTERS].rstrip()
    return insert_new(tx, chats, {"id": chat, "user_id": ask.user, "title": title})


def _parent(tx: Connection, chat: UUID, asked: UUID | None) -> UUID | None:
    """The asked parent, or else the newest reply. The chat itself as parent: the root, before the first message."""
    replies = select(messages.c.id).where(messages.c.chat_id == chat, messages.c.role == Role.ASSISTANT)
    if asked is None:
        found: UUID | None = tx.execute(replies.order_by(messages.c.ordinal.desc()).limit(1)).scalar()
        return found
    if asked == chat:
        return None
    if tx.execute(replies.where(messages.c.id == asked)).first() is None:
        raise _unknown_reply(asked)
    return asked


def _regenerated(tx: Connection, ask: Ask) -> _Place:
    """The question of the reply to which a sibling is asked."""
    mine = and_(chats.c.id == runs.c.chat_id, chats.c.status != DELETED)
    query = select(runs.c.chat_id, runs.c.message_id, runs.c.ended_at).join_from(runs, chats, mine)
    found = tx.execute(query.where(runs.c.reply_id == ask.parent, runs.c.user_id == ask.user)).first()
    if found is None or ask.chat not in (None, found.chat_id):
        raise _unknown_reply(ask.parent)
    if found.ended_at is None:
        raise NotEnded(f"The reply {ask.parent} is still being written. Stop it, or wait for its end.")
    return _Place(found.chat_id, found.message_id, None)


def _unknown_reply(reply: UUID | None) -> NotFound:
    return NotFound(f"There is no reply {reply} in this chat of yours. Load the chat again.")


def _state(tx: Connection, ask: Ask, chat: UUID, limits: Limits) -> RunState:
    """Waiting behind the chat's unfinished run (L5) or the user's N others (L9). Raises TooManyWaiting."""
    now = tx.execute(_counts, {"user": ask.user, "chat": chat}).one()
    if now.live < limits.user_runs and not now.chat:
        return RunState.QUEUED
    if now.waiting >= limits.user_waiting:
        raise TooManyWaiting(f"{now.waiting} messages of yours wait already. Send this one when some are answered.")
    return RunState.WAITING


def _store(tx: Connection, ask: Ask, place: _Place, state: RunState) -> None:
    last = select(func.max(messages.c.ordinal)).where(messages.c.chat_id == place.chat)
    ordinal = (tx.execute(last).scalar() or 0) + 1
    here = {"chat_id": place.chat, "ordinal": ordinal}
    question = {**here, "id": ask.id, "parent_id": place.parent, "role": Role.USER, "text": ask.text}
    reply = {**here, "id": ask.reply, "parent_id": place.question, "role": Role.ASSISTANT, "text": ""}
    tx.execute(insert(messages), [reply] if ask.text is None else [question, reply])
    tx.execute(insert(runs).values(_run(ask, place, state, ordinal)))
    if not place.created:
        tx.execute(update(chats).where(chats.c.id == place.chat).values(updated_at=Now()))


def _run(ask: Ask, place: _Place, state: RunState, ordinal: int) -> dict[str, object]:
    values: dict[str, object] = {
        "id": ask.run,
        "user_id": ask.user,
        "chat_id": place.chat,
        "request_id": ask.id,
        "message_id": place.question,
        "reply_id": ask.reply,
        "kind": _kind(ask),
        "asked_parent": ask.parent,
        "asked_model": ask.asked_model,
        "ordinal": ordinal,
        "pool": ask.pool,
        "model": ask.model,
        "start_seconds": ask.start_seconds,
        "state": state,
    }
    if state is RunState.QUEUED:
        values |= queued(ask.start_seconds)
    return values
