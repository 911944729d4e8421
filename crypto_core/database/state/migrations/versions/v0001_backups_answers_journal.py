"""Envelope backups, KMS's answers, and the journal with the trigger that makes it append-only."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

_REFUSE = """
CREATE FUNCTION keydeck.journal_is_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'keydeck.journal is append-only' USING ERRCODE = 'insufficient_privilege';
END
$$
"""
_TRIGGER = """
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON keydeck.journal
FOR EACH STATEMENT EXECUTE FUNCTION keydeck.journal_is_append_only()
"""


def upgrade() -> None:
    """Create the three tables."""
    moment = sa.DateTime(timezone=True)
    op.create_table(
        "envelope_backup",
        sa.Column("id", sa.BigInteger, sa.Identity(always=True), primary_key=True),
        sa.Column("run_id", sa.Uuid, nullable=False, index=True),
        sa.Column("verb", sa.String(16), nullable=False),
        sa.Column("token_column", sa.Text, nullable=False),
        sa.Column("row_id", sa.Text, nullable=False),
        sa.Column("envelope", sa.Text, nullable=False),
        sa.Column("key_arn", sa.Text),
        sa.Column("key_material_id", sa.Text),
        sa.Column("replaced_at", moment, nullable=False),
        schema="keydeck",
    )
    op.create_table(
        "key_answer",
        sa.Column("envelope_digest", sa.LargeBinary, primary_key=True),
        sa.Column("edk_prefix", sa.LargeBinary, index=True),
        sa.Column("key_arn", sa.Text),
        sa.Column("key_material_id", sa.Text),
        sa.Column("reason", sa.Text, nullable=False, server_default=""),
        sa.Column("asked_at", moment, nullable=False),
        schema="keydeck",
    )
    op.create_table(
        "journal",
        sa.Column("seq", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("at", moment, nullable=False),
        sa.Column("actor", sa.Text, nullable=False),
        sa.Column("host", sa.Text, nullable=False),
        sa.Column("action", sa.Text, nullable=False),
        sa.Column("subject", sa.Text, nullable=False),
        sa.Column("outcome", sa.Text, nullable=False),
        sa.Column("detail", sa.Text, nullable=False),
        sa.Column("previous", sa.LargeBinary, nullable=False),
        sa.Column("digest", sa.LargeBinary, nullable=False),
        schema="keydeck",
    )
    op.execute(_REFUSE)
    op.execute(_TRIGGER)
