"""Forms of results, their series, and storage commitment"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.add_column("result", sa.Column("variant", sa.String(length=64), nullable=False, server_default=""))
    op.add_column("result", sa.Column("series_instance_uid", sa.String(length=64), nullable=False, server_default=""))
    op.execute("UPDATE result SET variant = kind")
    op.add_column("delivery", sa.Column("commitment", sa.String(length=16), nullable=True))
    op.add_column("delivery", sa.Column("commitment_due_at", sa.Float(precision=53), nullable=True))
    op.add_column("delivery", sa.Column("transaction_uid", sa.String(length=64), nullable=True))
    with op.batch_alter_table("delivery", schema=None) as batch_op:
        batch_op.create_index("ix_delivery_commitment_due", ["destination", "commitment_due_at"], unique=False)
        batch_op.create_index(batch_op.f("ix_delivery_transaction_uid"), ["transaction_uid"], unique=False)


def downgrade() -> None:
    """Undo."""
    with op.batch_alter_table("delivery", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_delivery_transaction_uid"))
        batch_op.drop_index("ix_delivery_commitment_due")
        batch_op.drop_column("transaction_uid")
        batch_op.drop_column("commitment_due_at")
        batch_op.drop_column("commitment")
    with op.batch_alter_table("result", schema=None) as batch_op:
        batch_op.drop_column("series_instance_uid")
        batch_op.drop_column("variant")
