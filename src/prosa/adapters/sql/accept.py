"""Accept: one transaction that stores a question, its empty reply and their run (L1, L5, L9, L10)."""

from typing import Any, Final
from uuid import UUID

import msgspec
from sqlalchemy import (
    ColumnElement,
    Connection,
    Float,
    Integer,
    Select,
    String,
    Text,
    and_,
    bindparam,
    func,
    insert,
    literal,
    select,
    union_all,
    update,
)

from prosa.adapters.sql.chats import DELETED
from prosa.adapters.sql.classic import owe
from prosa.adapters.sql.columns import Id, Now
from prosa.adapters.sql.insertion import insert_new
from prosa.adapters.sql.places import position_of
from prosa.adapters.sql.rows import Record, is_in, live, own_row, unfinished
from prosa.adapters.sql.steps import lock_user, queued
from prosa.adapters.sql.tables import chats, messages, runs
from prosa.core.chat import Role
from prosa.core.errors import IdConflict, NotEnded, NotFound, TooManyWaiting
from prosa.core.policy import Limits
from prosa.core.relay import Row
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
_newest: Final = (
    select(messages.c.id)
    .where(messages.c.chat_id == chats.c.id, messages.c.role == Role.ASSISTANT)
    .order_by(messages.c.ordinal.desc())
    .limit(1)
)
_last_here: Final = select(func.max(messages.c.ordinal)).where(messages.c.chat_id == chats.c.id)
_taken: Final = select(messages.c.id).where(messages.c.chat_id == chats.c.id, messages.c.id == bindparam("message"))
_own_chat: Final = select(
    _newest.scalar_subquery().label("newest"),
    _last_here.scalar_subquery().label("last"),
    _taken.exists().label("taken"),
).where(chats.c.id == bindparam("chat"), chats.c.user_id == bindparam("user"), chats.c.status != DELETED)
_last: Final = select(func.max(messages.c.ordinal)).where(messages.c.chat_id == bindparam("chat"))
_one_reply: Final = select(messages.c.id).where(
    messages.c.chat_id == bindparam("chat"), messages.c.role == Role.ASSISTANT, messages.c.id == bindparam("reply")
)


def _message(role: Role, of: str, parent: str, text: ColumnElement[str]) -> Select[*tuple[Any, ...]]:
    """A row of ``messages`` to be inserted, from the parameters of these names."""
    ids = (bindparam("chat", type_=Id()), bindparam(of, type_=Id()), bindparam(parent, type_=Id()))
    return select(*ids, literal(role.value, String), text, bindparam("ordinal", type_=Integer))


# Inserted as a select: rows as VALUES would be compiled anew each time.
_columns: Final = ["chat_id", "id", "parent_id", "role", "text", "ordinal"]
_question: Final = _message(Role.USER, "question", "parent", bindparam("asked", type_=Text))
_reply: Final = _message(Role.ASSISTANT, "reply", "question", literal("", Text))
_insert_reply: Final = insert(messages).from_select(_columns, _reply)
_insert_pair: Final = insert(messages).from_select(_columns, union_all(_question, _reply))
_insert_run: Final = insert(runs)
_insert_queued: Final = insert(runs).values(queued(bindparam("patience", type_=Float)))
_touch: Final = update(chats).where(chats.c.id == bindparam("chat")).values(updated_at=Now())


class _Place(msgspec.Struct, frozen=True):
    """Where a new run goes: the question it answers, and that question's parent."""

    chat: UUID
    question: UUID
    parent: UUID | None
    last: int
    """The ordinal of the chat's newest messages."""
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
    row = _store(tx, ask, place, state)
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
    own = tx.execute(_own_chat, {"chat": ask.chat, "user": ask.user, "message": ask.id}).first()
    if own is None:
        return _begun(tx, ask, ask.chat)
    if own.taken:
        raise _conflict(ask)
    parent = own.newest if ask.parent is None else _parent(tx, ask.chat, ask.parent)
    return _Place(ask.chat, ask.id, parent, own.last or 0)


def _begun(tx: Connection, ask: Ask, chat: UUID) -> _Place:
    """In a chat that is made for it. An id that is taken is somebody else's chat, or a deleted one."""
    title = " ".join((ask.text or "").split())[:_TITLE_CHARACTERS].rstrip()
    if not insert_new(tx, chats, {"id": chat, "user_id": ask.user, "title": title}):
        raise NotFound(f"There is no chat {chat} of yours. Begin a new one.")
    if ask.parent not in (None, chat):
        raise _unknown_reply(ask.parent)
    return _Place(chat, ask.id, None, 0, created=True)


def _parent(tx: Connection, chat: UUID, asked: UUID) -> UUID | None:
    """The asked reply of the chat. The chat itself as parent: the root, before the first message."""
    if asked == chat:
        return None
    if tx.execute(_one_reply, {"chat": chat, "reply": asked}).first() is None:
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
    last = tx.execute(_last, {"chat": found.chat_id}).scalar()
    return _Place(found.chat_id, found.message_id, None, last or 0)


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


def _store(tx: Connection, ask: Ask, place: _Place, state: RunState) -> Row:
    """Question, empty reply and run, at the end of their chat; the run as it now stands."""
    ordinal = place.last + 1
    here = {"chat": place.chat, "ordinal": ordinal, "reply": ask.reply, "question": place.question}
    if ask.text is None:
        tx.execute(_insert_reply, here)
    else:
        tx.execute(_insert_pair, {**here, "parent": place.parent, "asked": ask.text})
    tx.execute(_insert_queued if state is RunState.QUEUED else _insert_run, _run(ask, place, state, ordinal))
    if ask.classic:
        owe(tx, place.chat, ordinal)
    if not place.created:
        tx.execute(_touch, {"chat": place.chat})
    return _row(ask, place, state, ordinal)


def _row(ask: Ask, place: _Place, state: RunState, ordinal: int) -> Row:
    """What reading the new run would give."""
    return Row(
        run=ask.run,
        chat=place.chat,
        user=ask.user,
        reply=ask.reply,
        request=ask.id,
        pool=ask.pool,
        model=ask.model,
        ordinal=ordinal,
        state=state,
        attempt=0,
        claim=None,
        worker=None,
        text="",
        end=None,
    )


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
    return {**values, "patience": ask.start_seconds} if state is RunState.QUEUED else values
