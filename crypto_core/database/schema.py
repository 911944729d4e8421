"""Keydeck's own tables, in schema `keydeck`. Their versions are Alembic's, in database/migrations."""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Computed,
    DateTime,
    Double,
    ForeignKey,
    Identity,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Uuid,
    text,
)
from sqlalchemy import Text as SqlText
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

SCHEMA = "keydeck"

metadata = MetaData(schema=SCHEMA)

envelope_backup = Table(
    "envelope_backup",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("run_id", Uuid, nullable=False, index=True),
    Column("verb", String(16), nullable=False),
    Column("token_column", SqlText, nullable=False),
    Column("row_id", SqlText, nullable=False),
    Column("envelope", SqlText),
    Column("key_arn", SqlText),
    Column("key_material_id", SqlText),
    Column("replaced_at", DateTime(timezone=True), nullable=False),
    Column("written_digest", LargeBinary),
)
"""Envelopes that Keydeck has replaced, kept until the operator purges them. Never plaintext or dev values.

`envelope` is NULL once it is purged; that Keydeck wrote the token stays known. `written_digest` is that of
the envelope that took its place (see tokens.digest).
"""

key_answer = Table(
    "key_answer",
    metadata,
    Column("envelope_digest", LargeBinary, primary_key=True),
    Column("edk_prefix", LargeBinary, index=True),
    Column("key_arn", SqlText),
    Column("key_material_id", SqlText),
    Column("reason", SqlText, nullable=False, server_default=""),
    Column("asked_at", DateTime(timezone=True), nullable=False),
)
"""What KMS said of single envelopes, by a digest of the stored value: see tokens.digest."""

journal = Table(
    "journal",
    metadata,
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    Column("at", DateTime(timezone=True), nullable=False),
    Column("actor", SqlText, nullable=False),
    Column("host", SqlText, nullable=False),
    Column("action", SqlText, nullable=False),
    Column("subject", SqlText, nullable=False),
    Column("outcome", SqlText, nullable=False),
    Column("detail", SqlText, nullable=False),
    Column("previous", LargeBinary, nullable=False),
    Column("digest", LargeBinary, nullable=False),
)
"""What operators did. Append-only by a trigger; each row's digest covers the row before it."""


def _counts(*names: str, kind: Any = BigInteger) -> list[Column[Any]]:
    return [Column(name, kind, nullable=False, server_default="0") for name in names]


def _moments(*names: str) -> list[Column[Any]]:
    return [Column(name, DateTime(timezone=True)) for name in names]


job = Table(
    "job",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("run_id", Uuid, nullable=False, unique=True),
    Column("verb", String(16), nullable=False),
    Column("state", String(16), nullable=False),
    Column("why", SqlText, nullable=False, server_default=""),
    Column("selection", SqlText, nullable=False),
    Column("scope", JSONB, nullable=False),
    Column("source_key_arn", SqlText),
    Column("target_key_arn", SqlText, nullable=False),
    Column("write_format", String(16), nullable=False),
    Column("allow_downgrade", Boolean, nullable=False),
    Column("verify", String(16), nullable=False),
    Column("plan", JSONB, nullable=False),
    Column("plan_digest", SqlText, nullable=False),
    Column("planned", BigInteger, nullable=False),
    Column("calls_per_second", Double, nullable=False),
    *_counts("wave", "zeroes", kind=Integer),
    Column("census_before", JSONB),
    Column("census_after", JSONB),
    Column("remarks", JSONB, nullable=False, server_default="[]"),
    Column("created_by", SqlText, nullable=False),
    Column("host", SqlText, nullable=False),
    Column("consent", SqlText, nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False),
    *_moments("started_at", "zero_at", "ended_at"),
    Column("restores", BigInteger),
)
"""Many tokens to write anew. `run_id` is the one that its backups have; `restores` the job that it undoes.

`wave` counts the censuses that cut chunks, `zeroes` those in a row that found nothing left.
"""

job_chunk = Table(
    "job_chunk",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("job_id", BigInteger, ForeignKey(job.c.id), nullable=False),
    Column("wave", Integer, nullable=False),
    Column("table_name", SqlText, nullable=False),
    Column("column_name", SqlText, nullable=False),
    Column("after_id", SqlText),
    Column("upto_id", SqlText),
    Column("row_ids", ARRAY(SqlText)),
    Column("expected", BigInteger, nullable=False),
    Column("position", SqlText),
    Column("state", String(16), nullable=False),
    Column("runner_id", Uuid),
    *_counts("attempt", kind=Integer),
    *_moments("lease_until"),
    *_counts("done", "conflicts", "changed", "poisoned", "kms_calls"),
)
"""A part of a job: ids behind `after_id` (NULL: from the first) up to and with `upto_id`, or `row_ids` alone.

Ids are in the text that PostgreSQL makes of them, and compared by PostgreSQL alone. `position` is the last id
that is finished.
"""
Index("ix_job_chunk_left", job_chunk.c.job_id, job_chunk.c.id, postgresql_where=text("state <> 'done'"))

job_runner = Table(
    "job_runner",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("job_id", BigInteger, ForeignKey(job.c.id), nullable=False, index=True),
    Column("host", SqlText, nullable=False),
    Column("pid", Integer, nullable=False),
    Column("actor", SqlText, nullable=False),
    Column("started_at", DateTime(timezone=True), nullable=False),
    Column("seen_at", DateTime(timezone=True), nullable=False),
    *_moments("ended_at"),
    Column("samples", JSONB, nullable=False, server_default="[]"),
)
"""A process that works on a job; `samples` are what it measured in its last minute."""

job_token = Table(
    "job_token",
    metadata,
    Column("job_id", BigInteger, ForeignKey(job.c.id), primary_key=True),
    Column("token_column", SqlText, primary_key=True),
    Column("row_id", SqlText, primary_key=True),
    Column("kind", SqlText, nullable=False),
    Column("reason", SqlText, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("last_at", DateTime(timezone=True), nullable=False),
    *_moments("resolved_at"),
)
"""A token that a job can't write, and why."""


def _texts(*names: str) -> list[Column[Any]]:
    return [Column(name, SqlText, nullable=False) for name in names]


def _empty(*names: str) -> list[Column[Any]]:
    return [Column(name, SqlText, nullable=False, server_default="") for name in names]


incident = Table(
    "incident",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    *_texts("title"),
    Column("state", String(16), nullable=False),
    *_texts("runbook_id", "runbook_text", "runbook_source", "runbook_digest"),
    Column("scope", JSONB, nullable=False),
    Column("known", JSONB, nullable=False, server_default="{}"),
    Column("declared_at", DateTime(timezone=True), nullable=False),
    *_texts("declared_by"),
    *_moments("closed_at"),
    *_empty("closed_by", "outcome"),
)
"""An incident. It goes on by `runbook_text`, whatever becomes of the file; `known` is what it found out."""

incident_step = Table(
    "incident_step",
    metadata,
    Column("incident_id", BigInteger, ForeignKey(incident.c.id), primary_key=True),
    Column("step_id", SqlText, primary_key=True),
    Column("state", String(16), nullable=False),
    *_moments("begun_at", "ended_at"),
    *_empty("actor", "reason", "answer", "trouble"),
    Column("check_result", JSONB),
)
"""Where a step stands; one that isn't here is still to do."""

incident_evidence = Table(
    "incident_evidence",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("incident_id", BigInteger, ForeignKey(incident.c.id), nullable=False, index=True),
    *_texts("step_id", "kind", "title"),
    Column("captured_at", DateTime(timezone=True), nullable=False),
    *_texts("captured_by", "content", "sha256"),
    # Kept, since to count it each time would be to read all of it each time.
    Column("characters", Integer, Computed("char_length(content)", persisted=True), nullable=False),
)
"""Evidence, append-only by a trigger. Its hash is journaled too, so a change shows."""

incident_entry = Table(
    "incident_entry",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("incident_id", BigInteger, ForeignKey(incident.c.id), nullable=False, index=True),
    Column("at", DateTime(timezone=True), nullable=False),
    *_texts("actor"),
    Column("kind", String(16), nullable=False),
    *_texts("step_id", "text"),
)
"""The timeline of incidents, append-only by a trigger."""

incident_presence = Table(
    "incident_presence",
    metadata,
    Column("incident_id", BigInteger, ForeignKey(incident.c.id), primary_key=True),
    Column("actor", SqlText, primary_key=True),
    Column("host", SqlText, primary_key=True),
    Column("seen_at", DateTime(timezone=True), nullable=False),
)
"""Who works on an incident, and when they were last seen."""

approval = Table(
    "approval",
    metadata,
    Column("id", Uuid, primary_key=True),
    *_texts("action", "summary"),
    Column("digest", SqlText, nullable=False, index=True),
    Column("plan", JSONB, nullable=False),
    *_texts("requested_by"),
    Column("requested_at", DateTime(timezone=True), nullable=False),
    Column("expires_at", DateTime(timezone=True), nullable=False),
    Column("decision", String(16), nullable=False),
    *_empty("decided_by"),
    *_moments("decided_at"),
)
"""What waits for a second identity, or was decided by one."""

journal_checkpoint = Table(
    "journal_checkpoint",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("seq", BigInteger, nullable=False),
    Column("digest", LargeBinary, nullable=False),
    Column("at", DateTime(timezone=True), nullable=False),
    *_texts("actor", "key_arn", "algorithm"),
    Column("signature", LargeBinary, nullable=False),
)
"""The journal's digest at an entry, signed by KMS. Append-only by a trigger."""
