"""Incidents with their steps, evidence and timeline; approvals; checkpoints of the journal."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0003"
down_revision = "0002"

_MOMENT = sa.DateTime(timezone=True)

_REFUSE = """
CREATE FUNCTION keydeck.is_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION USING
        ERRCODE = 'insufficient_privilege', MESSAGE = 'keydeck.' || TG_TABLE_NAME || ' is append-only';
END
$$
"""
_TRIGGER = """
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON keydeck.{table}
FOR EACH STATEMENT EXECUTE FUNCTION keydeck.is_append_only()
"""


def _text(name: str, **more: Any) -> sa.Column[Any]:
    return sa.Column(name, sa.Text, nullable=False, **more)


def _key() -> sa.Column[Any]:
    return sa.Column("id", sa.BigInteger, sa.Identity(always=True), primary_key=True)


def _incident(**more: Any) -> sa.Column[Any]:
    kind = sa.BigInteger
    return sa.Column("incident_id", kind, sa.ForeignKey("keydeck.incident.id"), nullable=False, **more)


def upgrade() -> None:
    """Create the tables."""
    op.create_table(
        "incident",
        _key(),
        _text("title"),
        sa.Column("state", sa.String(16), nullable=False),
        _text("runbook_id"),
        _text("runbook_text"),
        _text("runbook_source"),
        _text("runbook_digest"),
        sa.Column("scope", JSONB, nullable=False),
        sa.Column("known", JSONB, nullable=False, server_default="{}"),
        sa.Column("declared_at", _MOMENT, nullable=False),
        _text("declared_by"),
        sa.Column("closed_at", _MOMENT),
        _text("closed_by", server_default=""),
        _text("outcome", server_default=""),
        schema="keydeck",
    )
    op.create_table(
        "incident_step",
        _incident(primary_key=True),
        sa.Column("step_id", sa.Text, primary_key=True),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("begun_at", _MOMENT),
        sa.Column("ended_at", _MOMENT),
        _text("actor", server_default=""),
        _text("reason", server_default=""),
        _text("answer", server_default=""),
        _text("trouble", server_default=""),
        sa.Column("check_result", JSONB),
        schema="keydeck",
    )
    op.create_table(
        "incident_evidence",
        _key(),
        _incident(index=True),
        _text("step_id"),
        _text("kind"),
        _text("title"),
        sa.Column("captured_at", _MOMENT, nullable=False),
        _text("captured_by"),
        _text("content"),
        _text("sha256"),
        sa.Column(
            "characters", sa.Integer, sa.Computed("char_length(content)", persisted=True), nullable=False
        ),
        schema="keydeck",
    )
    op.create_table(
        "incident_entry",
        _key(),
        _incident(index=True),
        sa.Column("at", _MOMENT, nullable=False),
        _text("actor"),
        sa.Column("kind", sa.String(16), nullable=False),
        _text("step_id"),
        _text("text"),
        schema="keydeck",
    )
    op.create_table(
        "incident_presence",
        _incident(primary_key=True),
        sa.Column("actor", sa.Text, primary_key=True),
        sa.Column("host", sa.Text, primary_key=True),
        sa.Column("seen_at", _MOMENT, nullable=False),
        schema="keydeck",
    )
    op.create_table(
        "approval",
        sa.Column("id", sa.Uuid, primary_key=True),
        _text("action"),
        _text("summary"),
        _text("digest", index=True),
        sa.Column("plan", JSONB, nullable=False),
        _text("requested_by"),
        sa.Column("requested_at", _MOMENT, nullable=False),
        sa.Column("expires_at", _MOMENT, nullable=False),
        sa.Column("decision", sa.String(16), nullable=False),
        _text("decided_by", server_default=""),
        sa.Column("decided_at", _MOMENT),
        schema="keydeck",
    )
    op.create_table(
        "journal_checkpoint",
        _key(),
        sa.Column("seq", sa.BigInteger, nullable=False),
        sa.Column("digest", sa.LargeBinary, nullable=False),
        sa.Column("at", _MOMENT, nullable=False),
        _text("actor"),
        _text("key_arn"),
        _text("algorithm"),
        sa.Column("signature", sa.LargeBinary, nullable=False),
        schema="keydeck",
    )
    op.execute(_REFUSE)
    for table in ("incident_evidence", "incident_entry", "journal_checkpoint"):
        op.execute(_TRIGGER.format(table=table))
