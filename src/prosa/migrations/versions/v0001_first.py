"""The first schema: users, chats, messages, runs, workers, sign-ins, API keys.

Revision 0001.
"""

from typing import Any

import sqlalchemy as sa
from alembic import op

from prosa.adapters.sql.columns import Id, Moment, Now

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    _create_users()
    _create_chats()
    _create_runs()
    _create_workers()
    _create_sign_ins()


def downgrade() -> None:
    for table in ("api_keys", "sessions", "workers", "runs", "messages", "chat_sessions", "users"):
        op.drop_table(table)


def _moment(name: str) -> sa.Column[Any]:
    return sa.Column(name, Moment(), nullable=False, server_default=Now())


def _create_users() -> None:
    op.create_table(
        "users",
        sa.Column("id", Id(), nullable=False),
        sa.Column("username", sa.Text(), nullable=False),
        sa.Column("username_key", sa.Text()),
        sa.Column("password", sa.Text()),
        sa.Column("role", sa.String(16), nullable=False, server_default="member"),
        sa.Column("disabled", sa.Boolean(), nullable=False, server_default=sa.false()),
        _moment("created_at"),
        sa.PrimaryKeyConstraint("id", name="pk_users"),
    )
    key = sa.text("coalesce(username_key, lower(username))")
    op.create_index("uq_users_name", "users", [key], unique=True)


def _create_chats() -> None:
    op.create_table(
        "chat_sessions",
        sa.Column("id", Id(), nullable=False),
        sa.Column("user_id", Id(), nullable=False),
        sa.Column("title", sa.Text(), nullable=False, server_default=""),
        sa.Column("status", sa.String(16), nullable=False, server_default="ACTIVE"),
        _moment("created_at"),
        _moment("updated_at"),
        sa.PrimaryKeyConstraint("id", name="pk_chat_sessions"),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="fk_chat_sessions_user_id"),
    )
    op.create_index("ix_chat_sessions_page", "chat_sessions", ["user_id", "updated_at", "id"])
    op.create_table(
        "messages",
        sa.Column("chat_id", Id(), nullable=False),
        sa.Column("id", Id(), nullable=False),
        sa.Column("parent_id", Id()),
        sa.Column("role", sa.String(16), nullable=False),
        sa.Column("text", sa.Text(), nullable=False, server_default=""),
        sa.Column("ordinal", sa.Integer(), nullable=False),
        _moment("created_at"),
        sa.PrimaryKeyConstraint("chat_id", "id", name="pk_messages"),
        sa.ForeignKeyConstraint(["chat_id"], ["chat_sessions.id"], name="fk_messages_chat_id"),
        sa.ForeignKeyConstraint(
            ["chat_id", "parent_id"], ["messages.chat_id", "messages.id"], name="fk_messages_chat_id_parent_id"
        ),
        sa.UniqueConstraint("chat_id", "ordinal", "role", name="uq_messages_chat_id_ordinal_role"),
    )


def _create_runs() -> None:
    op.create_table(
        "runs",
        sa.Column("id", Id(), nullable=False),
        sa.Column("user_id", Id(), nullable=False),
        sa.Column("chat_id", Id(), nullable=False),
        sa.Column("request_id", Id(), nullable=False),
        sa.Column("message_id", Id(), nullable=False),
        sa.Column("reply_id", Id(), nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("asked_parent", Id()),
        sa.Column("asked_model", sa.Text()),
        sa.Column("ordinal", sa.Integer(), nullable=False),
        sa.Column("pool", sa.Text(), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False, server_default="0"),
        sa.Column("claim", sa.BigInteger()),
        sa.Column("worker", sa.Text()),
        sa.Column("saved", sa.Text(), nullable=False, server_default=""),
        sa.Column("crashes_row", sa.Integer(), nullable=False, server_default="0"),
        sa.Column("crashes_total", sa.Integer(), nullable=False, server_default="0"),
        sa.Column("stop_requested", sa.Boolean(), nullable=False, server_default=sa.false()),
        sa.Column("dispatches", sa.Integer(), nullable=False, server_default="0"),
        sa.Column("dispatched_at", Moment()),
        sa.Column("start_seconds", sa.Float(), nullable=False, server_default="600"),
        sa.Column("queued_at", Moment()),
        sa.Column("start_by", Moment()),
        sa.Column("started_at", Moment()),
        sa.Column("end_by", Moment()),
        sa.Column("ended_at", Moment()),
        sa.Column("finish", sa.String(16)),
        sa.Column("prompt_tokens", sa.Integer(), nullable=False, server_default="0"),
        sa.Column("completion_tokens", sa.Integer(), nullable=False, server_default="0"),
        sa.Column("error_code", sa.String(64)),
        sa.Column("error_message", sa.Text()),
        sa.Column("error_retryable", sa.Boolean()),
        _moment("created_at"),
        sa.PrimaryKeyConstraint("id", name="pk_runs"),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="fk_runs_user_id"),
        sa.ForeignKeyConstraint(["chat_id"], ["chat_sessions.id"], name="fk_runs_chat_id"),
        _run_message("message_id"),
        _run_message("reply_id"),
        sa.UniqueConstraint("reply_id", name="uq_runs_reply_id"),
        sa.UniqueConstraint("user_id", "request_id", name="uq_runs_user_id_request_id"),
        sa.UniqueConstraint("chat_id", "ordinal", name="uq_runs_chat_id_ordinal"),
        postgresql_with={"fillfactor": "70"},
    )
    _index_runs("uq_runs_live_chat", "state IN ('queued', 'running')", "chat_id", unique=True)
    _index_runs("ix_runs_unfinished", "ended_at IS NULL", "user_id", "chat_id")
    _index_runs("ix_runs_waiting", "state = 'waiting'", "user_id", "created_at", "id")
    _index_runs("ix_runs_queued", "state = 'queued'", "pool", "queued_at", "id")
    _index_runs("ix_runs_running", "state = 'running'", "worker")
    _index_runs("ix_runs_done", "state = 'done'", "pool", "ended_at")


def _run_message(column: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(
        ["chat_id", column], ["messages.chat_id", "messages.id"], name=f"fk_runs_chat_id_{column}"
    )


def _index_runs(name: str, where: str, *columns: str, unique: bool = False) -> None:
    condition = sa.text(where)
    op.create_index(name, "runs", list(columns), unique=unique, postgresql_where=condition, sqlite_where=condition)


def _create_workers() -> None:
    op.create_table(
        "workers",
        sa.Column("name", sa.String(64), nullable=False),
        _moment("alive_at"),
        sa.Column("slots", sa.Integer(), nullable=False, server_default="0"),
        sa.Column("draining", sa.Boolean(), nullable=False, server_default=sa.false()),
        sa.PrimaryKeyConstraint("name", name="pk_workers"),
        postgresql_with={"fillfactor": "50"},
    )


def _create_sign_ins() -> None:
    op.create_table(
        "sessions",
        sa.Column("id", Id(), nullable=False),
        sa.Column("user_id", Id(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        _moment("created_at"),
        sa.Column("expires_at", Moment(), nullable=False),
        sa.Column("revoked_at", Moment()),
        sa.PrimaryKeyConstraint("id", name="pk_sessions"),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="fk_sessions_user_id"),
        sa.UniqueConstraint("digest", name="uq_sessions_digest"),
    )
    op.create_index("ix_sessions_user_id", "sessions", ["user_id"])
    op.create_table(
        "api_keys",
        sa.Column("id", Id(), nullable=False),
        sa.Column("user_id", Id(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False, server_default=""),
        sa.Column("digest", sa.Text(), nullable=False),
        _moment("created_at"),
        sa.Column("revoked_at", Moment()),
        sa.PrimaryKeyConstraint("id", name="pk_api_keys"),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="fk_api_keys_user_id"),
        sa.UniqueConstraint("digest", name="uq_api_keys_digest"),
    )
    op.create_index("ix_api_keys_user_id", "api_keys", ["user_id"])
