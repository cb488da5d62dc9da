"""The tables, the same for PostgreSQL and SQLite. Migrations create them; a test holds the two together."""

from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    false,
    func,
    text,
)

from prosa.adapters.sql.columns import Id, Moment, Now

metadata: Final = MetaData(
    naming_convention={
        "ix": "ix_%(column_0_N_label)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)


def _moment(name: str) -> Column[Any]:
    """A moment that the database fills in."""
    return Column(name, Moment(), nullable=False, server_default=Now())


users: Final = Table(
    "users",
    metadata,
    Column("id", Id(), primary_key=True),
    Column("username", Text, nullable=False),
    # The name without regard to case. SQL's lower() knows only ASCII on SQLite and under the C locale, so Python
    # folds it; rows that people insert by hand have none.
    Column("username_key", Text),
    Column("password", Text),
    Column("role", String(16), nullable=False, server_default="member"),
    Column("disabled", Boolean, nullable=False, server_default=false()),
    _moment("created_at"),
)
name_key: Final = func.coalesce(users.c.username_key, func.lower(users.c.username))
Index("uq_users_name", name_key, unique=True)

chats: Final = Table(
    "chat_sessions",
    metadata,
    Column("id", Id(), primary_key=True),
    Column("user_id", Id(), ForeignKey("users.id"), nullable=False),
    Column("title", Text, nullable=False, server_default=""),
    Column("status", String(16), nullable=False, server_default="ACTIVE"),
    _moment("created_at"),
    _moment("updated_at"),
    Index("ix_chat_sessions_page", "user_id", "updated_at", "id"),
)

messages: Final = Table(
    "messages",
    metadata,
    Column("chat_id", Id(), ForeignKey("chat_sessions.id"), primary_key=True),
    # Unique within the chat only: clients name their messages, and must not learn of the names of others (L11).
    Column("id", Id(), primary_key=True),
    Column("parent_id", Id()),
    Column("role", String(16), nullable=False),
    Column("text", Text, nullable=False, server_default=""),
    Column("ordinal", Integer, nullable=False),
    _moment("created_at"),
    ForeignKeyConstraint(["chat_id", "parent_id"], ["messages.chat_id", "messages.id"]),
    UniqueConstraint("chat_id", "ordinal", "role"),
)

runs: Final = Table(
    "runs",
    metadata,
    Column("id", Id(), primary_key=True),
    Column("user_id", Id(), ForeignKey("users.id"), nullable=False),
    Column("chat_id", Id(), ForeignKey("chat_sessions.id"), nullable=False),
    Column("request_id", Id(), nullable=False),
    Column("message_id", Id(), nullable=False),
    Column("reply_id", Id(), nullable=False, unique=True),
    # What was asked, to compare a repeated request with.
    Column("kind", String(16), nullable=False),
    Column("asked_parent", Id()),
    Column("asked_model", Text),
    Column("ordinal", Integer, nullable=False),
    Column("pool", Text, nullable=False),
    Column("model", Text, nullable=False),
    Column("state", String(16), nullable=False),
    Column("attempt", Integer, nullable=False, server_default="0"),
    Column("claim", BigInteger),
    Column("worker", Text),
    # The reply so far, until the end moves it into its message.
    Column("saved", Text, nullable=False, server_default=""),
    Column("crashes_row", Integer, nullable=False, server_default="0"),
    Column("crashes_total", Integer, nullable=False, server_default="0"),
    Column("stop_requested", Boolean, nullable=False, server_default=false()),
    Column("dispatches", Integer, nullable=False, server_default="0"),
    Column("dispatched_at", Moment()),
    Column("start_seconds", Float, nullable=False, server_default="600"),
    Column("queued_at", Moment()),
    Column("start_by", Moment()),
    Column("started_at", Moment()),
    Column("end_by", Moment()),
    Column("ended_at", Moment()),
    Column("finish", String(16)),
    Column("prompt_tokens", Integer, nullable=False, server_default="0"),
    Column("completion_tokens", Integer, nullable=False, server_default="0"),
    Column("error_code", String(64)),
    Column("error_message", Text),
    Column("error_retryable", Boolean),
    _moment("created_at"),
    # For administrators only. Nothing is decided by them (core/trail.py).
    Column("trail", Text),
    Column("first_text_at", Moment()),
    Column("saved_at", Moment()),
    ForeignKeyConstraint(["chat_id", "message_id"], ["messages.chat_id", "messages.id"]),
    ForeignKeyConstraint(["chat_id", "reply_id"], ["messages.chat_id", "messages.id"]),
    UniqueConstraint("user_id", "request_id"),
    UniqueConstraint("chat_id", "ordinal"),
    # Room on each page, so that checkpoints update in place (HOT).
    postgresql_with={"fillfactor": "70"},
)


def _partial(name: str, where: str, *columns: str, unique: bool = False) -> Index:
    condition = text(where)
    return Index(
        name, *(runs.c[column] for column in columns), unique=unique, postgresql_where=condition, sqlite_where=condition
    )


_partial("uq_runs_live_chat", "state IN ('queued', 'running')", "chat_id", unique=True)
_partial("ix_runs_unfinished", "ended_at IS NULL", "user_id", "chat_id")
_partial("ix_runs_waiting", "state = 'waiting'", "user_id", "created_at", "id")
_partial("ix_runs_queued", "state = 'queued'", "pool", "queued_at", "id")
_partial("ix_runs_running", "state = 'running'", "worker")
_partial("ix_runs_done", "state = 'done'", "pool", "ended_at")
# For the lists of administrators. None of them has an entry before the end of a run: accept and claim pay nothing.
_partial("ix_runs_user", "ended_at IS NOT NULL", "user_id", "id")
_partial("ix_runs_code", "error_code IS NOT NULL", "error_code", "id")
_partial("ix_runs_broken", "state IN ('failed', 'stopped')", "state", "id")
_partial("ix_runs_failed", "state = 'failed'", "ended_at")

# The replies to questions of the classic socket: a table of its own, so that no other run carries a column or an index
# for it. ``told_at`` is empty until the reply was sent.
classic_replies: Final = Table(
    "classic_replies",
    metadata,
    Column("chat_id", Id(), primary_key=True),
    Column("ordinal", Integer, primary_key=True, autoincrement=False),
    Column("told_at", Moment()),
    ForeignKeyConstraint(["chat_id", "ordinal"], ["runs.chat_id", "runs.ordinal"]),
)

workers: Final = Table(
    "workers",
    metadata,
    Column("name", String(64), primary_key=True),
    _moment("alive_at"),
    Column("slots", Integer, nullable=False, server_default="0"),
    Column("draining", Boolean, nullable=False, server_default=false()),
    Column("started_at", Moment()),
    Column("host", Text),
    Column("version", Text),
    # A JSON object: slots by the pool's name.
    Column("pools", Text),
    Column("slots_used", Integer),
    Column("drain_wanted", Boolean, nullable=False, server_default=false()),
    postgresql_with={"fillfactor": "50"},
)

gateways: Final = Table(
    "gateways",
    metadata,
    Column("name", String(64), primary_key=True),
    _moment("alive_at"),
    _moment("started_at"),
    Column("host", Text, nullable=False, server_default=""),
    Column("version", Text, nullable=False, server_default=""),
    Column("sockets", Integer, nullable=False, server_default="0"),
    Column("watched", Integer, nullable=False, server_default="0"),
    Column("draining", Boolean, nullable=False, server_default=false()),
    postgresql_with={"fillfactor": "50"},
)

sessions: Final = Table(
    "sessions",
    metadata,
    Column("id", Id(), primary_key=True),
    Column("user_id", Id(), ForeignKey("users.id"), nullable=False, index=True),
    Column("digest", Text, nullable=False, unique=True),
    Column("kind", String(16), nullable=False),
    _moment("created_at"),
    Column("expires_at", Moment(), nullable=False),
    Column("revoked_at", Moment()),
)

api_keys: Final = Table(
    "api_keys",
    metadata,
    Column("id", Id(), primary_key=True),
    Column("user_id", Id(), ForeignKey("users.id"), nullable=False, index=True),
    Column("name", Text, nullable=False, server_default=""),
    Column("digest", Text, nullable=False, unique=True),
    _moment("created_at"),
    Column("revoked_at", Moment()),
)

# One row: the oldest schema whose Prosa may still run on this database. Migrations write it.
schema_oldest: Final = Table("schema_oldest", metadata, Column("version", String(32), primary_key=True))
