"""Requests for approval with the digests of what was shown, and signed decisions."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Add the columns. What was requested before has no digest, and holds for nothing."""
    for name in ("database", "request_digest", "key_arn", "algorithm"):
        column = sa.Column(name, sa.Text, nullable=False, server_default="")
        op.add_column("approval", column, schema="keydeck")
    for name in ("parts", "decided_parts"):
        op.add_column("approval", sa.Column(name, JSONB), schema="keydeck")
    op.add_column("approval", sa.Column("signature", sa.LargeBinary), schema="keydeck")
