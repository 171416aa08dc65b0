"""Every request for storage commitment, and how it may end"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "commitment_request",
        sa.Column("delivery_id", _ID, nullable=False),
        sa.Column("transaction_uid", sa.String(length=64), nullable=False),
        sa.Column("closed_at", sa.Float(precision=53), nullable=True),
        sa.ForeignKeyConstraint(["delivery_id"], ["delivery.id"]),
        sa.PrimaryKeyConstraint("delivery_id", "transaction_uid"),
    )
    op.create_index(op.f("ix_commitment_request_transaction_uid"), "commitment_request", ["transaction_uid"])
    op.drop_index(op.f("ix_delivery_transaction_uid"), "delivery")
    op.add_column("delivery", sa.Column("commitment_failures", sa.Integer(), nullable=False, server_default="0"))
    op.add_column("delivery", sa.Column("commitment_comment", sa.Text(), nullable=True))
    op.execute(
        "INSERT INTO commitment_request (delivery_id, transaction_uid) "
        "SELECT id, transaction_uid FROM delivery WHERE transaction_uid IS NOT NULL"
    )
    # Until now a delivery that was not committed to in time counted as one that had never arrived.
    op.execute(
        "UPDATE delivery SET state = 'sent', commitment = 'unanswered' "
        "WHERE state = 'expired' AND comment LIKE 'not committed: %'"
    )
    op.execute(
        "UPDATE delivery SET comment = NULL, commitment_comment = substr(comment, length('not committed: ') + 1) "
        "WHERE comment LIKE 'not committed: %'"
    )


def downgrade() -> None:
    """Undo."""
    op.execute(
        "UPDATE delivery SET comment = 'not committed: ' || commitment_comment "
        "WHERE commitment IN ('refused', 'unanswered')"
    )
    op.execute("UPDATE delivery SET state = 'expired', commitment = NULL WHERE commitment IN ('refused', 'unanswered')")
    op.drop_table("commitment_request")
    op.drop_column("delivery", "commitment_comment")
    op.drop_column("delivery", "commitment_failures")
    op.create_index(op.f("ix_delivery_transaction_uid"), "delivery", ["transaction_uid"])
