"""The replies that the classic socket owes. A table of its own: an older version beside this one need not know it.

Revision 0002.
"""

import sqlalchemy as sa
from alembic import op

from prosa.adapters.sql.columns import Id, Moment

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "classic_replies",
        sa.Column("chat_id", Id(), nullable=False),
        sa.Column("ordinal", sa.Integer(), nullable=False),
        sa.Column("told_at", Moment()),
        sa.PrimaryKeyConstraint("chat_id", "ordinal", name="pk_classic_replies"),
        sa.ForeignKeyConstraint(
            ["chat_id", "ordinal"], ["runs.chat_id", "runs.ordinal"], name="fk_classic_replies_chat_id_ordinal"
        ),
    )


def downgrade() -> None:
    op.drop_table("classic_replies")
