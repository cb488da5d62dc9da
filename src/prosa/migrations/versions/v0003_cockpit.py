"""What administrators see: gateways, more of workers, and a trail of what happened to each run.

Every new column may be empty or has a default: an older version beside this one need not know it. The indexes can be
made before, without keeping anybody from writing (docs/operations.md).

Revision 0003.
"""

import sqlalchemy as sa
from alembic import op

from prosa.adapters.sql.columns import Moment, Now

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_INDEXES = {
    "ix_runs_user": ("ended_at IS NOT NULL", ["user_id", "id"]),
    "ix_runs_code": ("error_code IS NOT NULL", ["error_code", "id"]),
    "ix_runs_broken": ("state IN ('failed', 'stopped')", ["state", "id"]),
    "ix_runs_failed": ("state = 'failed'", ["ended_at"]),
}
_OF_RUNS = ("trail", "first_text_at", "saved_at")
_OF_WORKERS = ("started_at", "host", "version", "pools", "slots_used", "drain_wanted")


def upgrade() -> None:
    op.create_table(
        "gateways",
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("alive_at", Moment(), nullable=False, server_default=Now()),
        sa.Column("started_at", Moment(), nullable=False, server_default=Now()),
        sa.Column("host", sa.Text(), nullable=False, server_default=""),
        sa.Column("version", sa.Text(), nullable=False, server_default=""),
        sa.Column("sockets", sa.Integer(), nullable=False, server_default="0"),
        sa.Column("watched", sa.Integer(), nullable=False, server_default="0"),
        sa.Column("draining", sa.Boolean(), nullable=False, server_default=sa.false()),
        sa.PrimaryKeyConstraint("name", name="pk_gateways"),
        postgresql_with={"fillfactor": "50"},
    )
    _add_to_workers()
    op.add_column("runs", sa.Column("trail", sa.Text()))
    op.add_column("runs", sa.Column("first_text_at", Moment()))
    op.add_column("runs", sa.Column("saved_at", Moment()))
    for name, (where, columns) in _INDEXES.items():
        condition = sa.text(where)
        op.create_index(name, "runs", columns, postgresql_where=condition, sqlite_where=condition, if_not_exists=True)


def _add_to_workers() -> None:
    op.add_column("workers", sa.Column("started_at", Moment()))
    op.add_column("workers", sa.Column("host", sa.Text()))
    op.add_column("workers", sa.Column("version", sa.Text()))
    op.add_column("workers", sa.Column("pools", sa.Text()))
    op.add_column("workers", sa.Column("slots_used", sa.Integer()))
    op.add_column("workers", sa.Column("drain_wanted", sa.Boolean(), nullable=False, server_default=sa.false()))


def downgrade() -> None:
    for name in _INDEXES:
        op.drop_index(name, "runs")
    for column in _OF_RUNS:
        op.drop_column("runs", column)
    for column in _OF_WORKERS:
        op.drop_column("workers", column)
    op.drop_table("gateways")
