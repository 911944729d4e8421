"""Keydeck's own tables, in schema `keydeck`. Their versions are Alembic's, in database/migrations."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Column,
    DateTime,
    Identity,
    LargeBinary,
    MetaData,
    String,
    Table,
    Uuid,
)
from sqlalchemy import Text as SqlText

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
    Column("envelope", SqlText, nullable=False),
    Column("key_arn", SqlText),
    Column("key_material_id", SqlText),
    Column("replaced_at", DateTime(timezone=True), nullable=False),
)
"""Envelopes that Keydeck has replaced, kept until the operator purges them. Never plaintext or dev values."""

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
