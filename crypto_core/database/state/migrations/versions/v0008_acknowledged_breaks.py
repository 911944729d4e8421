"""Checkpoints that acknowledge a break of the journal, which they name."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    """Add the column. Checkpoints that are there acknowledge nothing."""
    column = sa.Column("broken", sa.Text, nullable=False, server_default="")
    op.add_column("journal_checkpoint", column, schema="keydeck")
