"""Jobs with their chunks, runners and unwritten tokens; what restoring and purging backups needs."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

revision = "0002"
down_revision = "0001"

_MOMENT = sa.DateTime(timezone=True)


def _counts(*names: str, kind: Any = sa.BigInteger) -> list[sa.Column[Any]]:
    return [sa.Column(name, kind, nullable=False, server_default="0") for name in names]


def _moments(*names: str) -> list[sa.Column[Any]]:
    return [sa.Column(name, _MOMENT) for name in names]


def _job() -> sa.Column[Any]:
    return sa.Column("job_id", sa.BigInteger, sa.ForeignKey("keydeck.job.id"), nullable=False)


def upgrade() -> None:
    """Create the four tables, and extend the backups."""
    op.add_column("envelope_backup", sa.Column("written_digest", sa.LargeBinary), schema="keydeck")
    op.alter_column("envelope_backup", "envelope", nullable=True, schema="keydeck")
    op.create_table(
        "job",
        sa.Column("id", sa.BigInteger, sa.Identity(always=True), primary_key=True),
        sa.Column("run_id", sa.Uuid, nullable=False, unique=True),
        sa.Column("verb", sa.String(16), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("why", sa.Text, nullable=False, server_default=""),
        sa.Column("selection", sa.Text, nullable=False),
        sa.Column("scope", JSONB, nullable=False),
        sa.Column("source_key_arn", sa.Text),
        sa.Column("target_key_arn", sa.Text, nullable=False),
        sa.Column("write_format", sa.String(16), nullable=False),
        sa.Column("allow_downgrade", sa.Boolean, nullable=False),
        sa.Column("verify", sa.String(16), nullable=False),
        sa.Column("plan", JSONB, nullable=False),
        sa.Column("plan_digest", sa.Text, nullable=False),
        sa.Column("planned", sa.BigInteger, nullable=False),
        sa.Column("calls_per_second", sa.Double, nullable=False),
        *_counts("wave", "zeroes", kind=sa.Integer),
        sa.Column("census_before", JSONB),
        sa.Column("census_after", JSONB),
        sa.Column("remarks", JSONB, nullable=False, server_default="[]"),
        sa.Column("created_by", sa.Text, nullable=False),
        sa.Column("host", sa.Text, nullable=False),
        sa.Column("consent", sa.Text, nullable=False),
        sa.Column("created_at", _MOMENT, nullable=False),
        *_moments("started_at", "zero_at", "ended_at"),
        sa.Column("restores", sa.BigInteger),
        schema="keydeck",
    )
    op.create_table(
        "job_chunk",
        sa.Column("id", sa.BigInteger, sa.Identity(always=True), primary_key=True),
        _job(),
        sa.Column("wave", sa.Integer, nullable=False),
        sa.Column("table_name", sa.Text, nullable=False),
        sa.Column("column_name", sa.Text, nullable=False),
        sa.Column("after_id", sa.Text),
        sa.Column("upto_id", sa.Text),
        sa.Column("row_ids", ARRAY(sa.Text)),
        sa.Column("expected", sa.BigInteger, nullable=False),
        sa.Column("position", sa.Text),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("runner_id", sa.Uuid),
        *_counts("attempt", kind=sa.Integer),
        *_moments("lease_until"),
        *_counts("done", "conflicts", "changed", "poisoned", "kms_calls"),
        schema="keydeck",
    )
    op.create_index(
        "ix_job_chunk_left",
        "job_chunk",
        ["job_id", "id"],
        schema="keydeck",
        postgresql_where=sa.text("state <> 'done'"),
    )
    op.create_table(
        "job_runner",
        sa.Column("id", sa.Uuid, primary_key=True),
        sa.Column("job_id", sa.BigInteger, sa.ForeignKey("keydeck.job.id"), nullable=False, index=True),
        sa.Column("host", sa.Text, nullable=False),
        sa.Column("pid", sa.Integer, nullable=False),
        sa.Column("actor", sa.Text, nullable=False),
        sa.Column("started_at", _MOMENT, nullable=False),
        sa.Column("seen_at", _MOMENT, nullable=False),
        *_moments("ended_at"),
        sa.Column("samples", JSONB, nullable=False, server_default="[]"),
        schema="keydeck",
    )
    op.create_table(
        "job_token",
        sa.Column("job_id", sa.BigInteger, sa.ForeignKey("keydeck.job.id"), primary_key=True),
        sa.Column("token_column", sa.Text, primary_key=True),
        sa.Column("row_id", sa.Text, primary_key=True),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("last_at", _MOMENT, nullable=False),
        *_moments("resolved_at"),
        schema="keydeck",
    )
