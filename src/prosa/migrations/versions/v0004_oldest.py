"""The oldest schema whose Prosa may still run on this one: a release back is a way that stays open.

A later migration that only adds leaves the row as it is; one that takes something away writes the first version that
does without it.

Revision 0004.
"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    table = op.create_table(
        "schema_oldest",
        sa.Column("version", sa.String(32), nullable=False),
        sa.PrimaryKeyConstraint("version", name="pk_schema_oldest"),
    )
    op.bulk_insert(table, [{"version": "0002"}])


def downgrade() -> None:
    op.drop_table("schema_oldest")
