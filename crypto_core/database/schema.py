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
    UniqueConstraint,
    Uuid,
    text,
)
from sqlalchemy import Text as SqlText

from crypto_core.database.dialect import ARRAY, JSONB

SCHEMA = "keydeck"

FUNCTIONS = {
    name: f"{SCHEMA}.{function}"
    for name, function in {
        "approval": "record_approval",
        "duty": "hold_duty",
        "envelope_backup": f"back_up_envelopes, {SCHEMA}.purge_envelopes",
        "evidence_record": "write_evidence_record",
        "incident_evidence": "keep_evidence",
        "incident_lease": "hold_step",
        "job": "record_job",
        "journal": f"append_to_journal, {SCHEMA}.end_holder",
        "journal_checkpoint": "record_checkpoint",
        "receipt": "write_receipts",
        "tripwire": "write_tripwire_list",
    }.items()
}
"""The functions that write the journal about a table, by its name; most alone write the table, too."""


def function_of(table: str, *, tokens: bool = False) -> str:
    """Return the functions to grant about a table; of backups for a login of `tokens` the first alone."""
    return FUNCTIONS[table].partition(", ")[0] if tokens else FUNCTIONS[table]


metadata = MetaData(schema=SCHEMA)

_MOMENT = DateTime(timezone=True)
_WORD = String(16)


def _required(kind: Any, *names: str) -> list[Column[Any]]:
    return [Column(name, kind, nullable=False) for name in names]


def _optional(kind: Any, *names: str) -> list[Column[Any]]:
    return [Column(name, kind) for name in names]


def _counts(*names: str, kind: Any = BigInteger) -> list[Column[Any]]:
    return [Column(name, kind, nullable=False, server_default="0") for name in names]


def _empty(*names: str) -> list[Column[Any]]:
    return [Column(name, SqlText, nullable=False, server_default="") for name in names]


def _number() -> Column[Any]:
    return Column("id", BigInteger, Identity(always=True), primary_key=True)


envelope_backup = Table(
    "envelope_backup",
    metadata,
    _number(),
    Column("run_id", Uuid, nullable=False, index=True),
    *_required(_WORD, "verb"),
    *_required(SqlText, "token_column", "row_id"),
    *_optional(SqlText, "envelope", "key_arn", "key_material_id"),
    *_required(_MOMENT, "replaced_at"),
    *_optional(LargeBinary, "written_digest"),
    *_optional(BigInteger, "transaction_id"),
)
"""Envelopes that Keydeck has replaced, kept until the operator purges them. Never plaintext or dev values.

Functions alone write it: `back_up_envelopes`, and `purge_envelopes`, which makes `envelope` NULL and a
journal entry; that Keydeck wrote the token stays known. `written_digest` is that of the envelope that took
its place (see tokens.digest), `transaction_id` the number of the transaction.
"""
Index("ix_envelope_backup_transaction", envelope_backup.c.transaction_id)

key_answer = Table(
    "key_answer",
    metadata,
    Column("envelope_digest", LargeBinary, primary_key=True),
    Column("edk_prefix", LargeBinary, index=True),
    *_optional(SqlText, "key_arn", "key_material_id"),
    Column("reason", SqlText, nullable=False, server_default=""),
    *_required(_MOMENT, "asked_at"),
)
"""KMS's answers about single envelopes, by a digest of the stored value: see tokens.digest."""

sweep = Table(
    "sweep",
    metadata,
    _number(),
    Column("taken_at", _MOMENT, nullable=False, index=True),
    *_required(SqlText, "taken_by", "shape"),
    *_required(Boolean, "complete"),
    *_required(JSONB, "report"),
)
"""Looks through the whole database for tokens that no inventory knows: names and counts, see tokens.sweep.

`shape` changes with the tables and columns that there are. `complete` is True where nothing was hidden from
`taken_by`.
"""

journal = Table(
    "journal",
    metadata,
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    *_required(_MOMENT, "at"),
    *_required(SqlText, "actor", "host", "action", "subject", "outcome", "detail"),
    *_required(LargeBinary, "previous", "digest"),
    *_optional(SqlText, "database_role"),
    *_optional(Uuid, "database_id"),
    *_optional(Boolean, "checked"),
    *_optional(BigInteger, "transaction_id"),
)
"""What operators did. Append-only by a trigger; each row's digest covers the row before it.

Functions alone write it. `checked` is True where one of them checked what it records, False for text that
`append_to_journal` takes as it is. `database_role` is who had logged in then, `database_id` the id of the
journal's database, `transaction_id` the number of the transaction there, which no digest covers. All are NULL
where nobody noted it.
"""
Index("ix_journal_checked", journal.c.action, journal.c.seq, postgresql_where=journal.c.checked)
Index("ix_journal_transaction", journal.c.transaction_id)

INCIDENT_PEOPLE = ("incident role", "incident follow-up", "incident follow-up done")
"""The journal's words for who has which role in an incident, and for its follow-ups: kept nowhere else."""

Index(
    "ix_journal_incident_people",
    journal.c.subject,
    journal.c.seq,
    postgresql_where=journal.c.action.in_(INCIDENT_PEOPLE),
)

journal_end = Table(
    "journal_end",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    *_required(BigInteger, "seq"),
    *_required(LargeBinary, "digest"),
    *_required(_MOMENT, "at"),
    *_optional(BigInteger, "beyond"),
    Column("database_id", Uuid, nullable=False, server_default=text("gen_random_uuid()")),
)
"""One row: the entry that `append_to_journal` wrote last. It is locked until the writer's transaction ends.

`beyond` is the highest number in the journal for which the function has recorded a break last, `database_id`
what tells this database from others that are no copies of it.
"""

job = Table(
    "job",
    metadata,
    _number(),
    Column("run_id", Uuid, nullable=False, unique=True),
    *_required(_WORD, "verb", "state"),
    Column("why", SqlText, nullable=False, server_default=""),
    *_required(SqlText, "selection"),
    *_required(JSONB, "scope"),
    *_optional(SqlText, "source_key_arn"),
    *_required(SqlText, "target_key_arn"),
    *_required(_WORD, "write_format"),
    *_required(Boolean, "allow_downgrade"),
    *_required(_WORD, "verify"),
    *_required(JSONB, "plan"),
    *_required(SqlText, "plan_digest"),
    *_required(BigInteger, "planned"),
    *_required(Double, "calls_per_second"),
    *_counts("wave", "zeroes", kind=Integer),
    *_optional(JSONB, "census_before", "census_after"),
    Column("remarks", JSONB, nullable=False, server_default="[]"),
    *_required(SqlText, "created_by", "host", "consent"),
    *_required(_MOMENT, "created_at"),
    *_optional(_MOMENT, "started_at", "zero_at", "ended_at"),
    *_optional(BigInteger, "restores"),
)
"""Many tokens to write anew. `run_id` is the one that its backups have; `restores` the job that it undoes.

`wave` counts the censuses that cut chunks, `zeroes` those in a row that found nothing left.
"""

job_chunk = Table(
    "job_chunk",
    metadata,
    _number(),
    Column("job_id", BigInteger, ForeignKey(job.c.id), nullable=False),
    *_required(Integer, "wave"),
    *_required(SqlText, "table_name", "column_name"),
    *_optional(SqlText, "after_id", "upto_id"),
    Column("row_ids", ARRAY(SqlText)),
    *_required(BigInteger, "expected"),
    *_optional(SqlText, "position"),
    *_required(_WORD, "state"),
    *_optional(Uuid, "runner_id"),
    *_counts("attempt", kind=Integer),
    *_optional(_MOMENT, "lease_until"),
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
    *_required(SqlText, "host"),
    *_required(Integer, "pid"),
    *_required(SqlText, "actor"),
    *_required(_MOMENT, "started_at", "seen_at"),
    *_optional(_MOMENT, "ended_at"),
    Column("samples", JSONB, nullable=False, server_default="[]"),
)
"""A process that works on a job; `samples` are what it measured in its last minute."""

job_token = Table(
    "job_token",
    metadata,
    Column("job_id", BigInteger, ForeignKey(job.c.id), primary_key=True),
    Column("token_column", SqlText, primary_key=True),
    Column("row_id", SqlText, primary_key=True),
    *_required(SqlText, "kind", "reason"),
    *_required(Integer, "attempts"),
    *_required(_MOMENT, "last_at"),
    *_optional(_MOMENT, "resolved_at"),
)
"""A token that a job can't write, and why."""


incident = Table(
    "incident",
    metadata,
    _number(),
    *_required(SqlText, "title"),
    *_required(_WORD, "state"),
    *_required(SqlText, "runbook_id", "runbook_text", "runbook_source", "runbook_digest"),
    *_required(JSONB, "scope"),
    Column("known", JSONB, nullable=False, server_default="{}"),
    *_required(_MOMENT, "declared_at"),
    *_required(SqlText, "declared_by"),
    *_optional(_MOMENT, "closed_at"),
    *_empty("closed_by", "outcome"),
)
"""An incident. It goes on by `runbook_text`, whatever becomes of the file; `known` is what it found out."""

incident_step = Table(
    "incident_step",
    metadata,
    Column("incident_id", BigInteger, ForeignKey(incident.c.id), primary_key=True),
    Column("step_id", SqlText, primary_key=True),
    *_required(_WORD, "state"),
    *_optional(_MOMENT, "begun_at", "ended_at"),
    *_empty("actor", "reason", "answer", "trouble"),
    *_optional(JSONB, "check_result"),
)
"""Where a step stands; one that isn't here is still to do."""

incident_evidence = Table(
    "incident_evidence",
    metadata,
    _number(),
    Column("incident_id", BigInteger, ForeignKey(incident.c.id), nullable=False, index=True),
    *_required(SqlText, "step_id", "kind", "title"),
    *_required(_MOMENT, "captured_at"),
    *_required(SqlText, "captured_by", "content", "sha256"),
    # Kept, since to count it each time would be to read all of it each time.
    Column("characters", Integer, Computed("char_length(content)", persisted=True), nullable=False),
)
"""Evidence, append-only by a trigger. Its hash is journaled too, so a change shows."""

incident_entry = Table(
    "incident_entry",
    metadata,
    _number(),
    Column("incident_id", BigInteger, ForeignKey(incident.c.id), nullable=False, index=True),
    *_required(_MOMENT, "at"),
    *_required(SqlText, "actor"),
    *_required(_WORD, "kind"),
    *_required(SqlText, "step_id", "text"),
)
"""The timeline of incidents, append-only by a trigger."""

incident_presence = Table(
    "incident_presence",
    metadata,
    Column("incident_id", BigInteger, ForeignKey(incident.c.id), primary_key=True),
    Column("actor", SqlText, primary_key=True),
    Column("host", SqlText, primary_key=True),
    *_required(_MOMENT, "seen_at"),
)
"""Operators at work on an incident, and when each was last active."""

incident_lease = Table(
    "incident_lease",
    metadata,
    Column("incident_id", BigInteger, ForeignKey(incident.c.id), primary_key=True),
    Column("step_id", SqlText, primary_key=True),
    *_required(Uuid, "token"),
    *_required(SqlText, "holder", "host"),
    *_required(_MOMENT, "until"),
    *_empty("login"),
)
"""Who runs a step's action, or ran it last: the `login` that took it, and whoever knows its `token`."""

approval = Table(
    "approval",
    metadata,
    Column("id", Uuid, primary_key=True),
    *_required(SqlText, "action", "summary"),
    Column("digest", SqlText, nullable=False, index=True),
    *_required(JSONB, "plan"),
    *_required(SqlText, "requested_by"),
    *_required(_MOMENT, "requested_at", "expires_at"),
    *_required(_WORD, "decision"),
    *_empty("decided_by"),
    *_optional(_MOMENT, "decided_at"),
    *_empty("database", "database_id", "request_digest"),
    *_optional(JSONB, "parts", "decided_parts"),
    *_empty("login"),
)
"""What waits for a second identity, or was decided by one. `parts` are the digests of what was asked for,
`decided_parts` those of what was decided; `login` is the database role that asked, which alone may use it.
"""

journal_checkpoint = Table(
    "journal_checkpoint",
    metadata,
    _number(),
    *_required(BigInteger, "seq"),
    *_required(LargeBinary, "digest"),
    *_required(_MOMENT, "at"),
    *_required(SqlText, "actor", "key_arn", "algorithm"),
    *_required(LargeBinary, "signature"),
    *_empty("database_id", "broken"),
)
"""The journal's digest at an entry, signed by KMS. Append-only by a trigger.

`broken` is the break that one acknowledges, as JSON; "" for none.
"""

fingerprint_key = Table(
    "fingerprint_key",
    metadata,
    _number(),
    *_required(LargeBinary, "encrypted_key"),
    *_required(SqlText, "key_arn"),
    *_required(_MOMENT, "made_at"),
)
"""The key of the index of tokens, as KMS wrapped it. The newest counts."""

fingerprint = Table(
    "fingerprint",
    metadata,
    *(Column(name, SqlText, primary_key=True) for name in ("token_column", "row_id")),
    Column("digest", LargeBinary, primary_key=True),
    *_required(BigInteger, "key_id"),
    *_required(LargeBinary, "fingerprint", "bond"),
    *_required(_MOMENT, "noted_at"),
)
"""The index of tokens: an HMAC of each, and that of the entry itself, both under a `fingerprint_key`.

An entry counts only while its row holds the envelope with this `digest` (see tokens.digest). Plaintext and
dev values have none: their digest would tell them.
"""
Index("ix_fingerprint_fingerprint", fingerprint.c.fingerprint)

duty = Table(
    "duty",
    metadata,
    Column("name", SqlText, primary_key=True),
    *_required(Uuid, "token"),
    *_required(SqlText, "holder"),
    *_required(_MOMENT, "until"),
    Column("position", JSONB, nullable=False, server_default="{}"),
    *_optional(_MOMENT, "done_at", "since", "asked_at"),
    *_empty("login", "asked_by", "next_login"),
)
"""What `keydeck watch` does, and who does it now: whoever holds the row's `token`, on one host at a time.

`position` is how far it got, such as the journal's entry up to which notices are made.
"""

notice = Table(
    "notice",
    metadata,
    _number(),
    *_required(SqlText, "digest", "receiver"),
    *_required(_WORD, "kind", "severity"),
    *_required(JSONB, "told"),
    *_required(_MOMENT, "made_at"),
    *_required(_WORD, "state"),
    *_counts("attempts", kind=Integer),
    *_required(_MOMENT, "next_at"),
    *_optional(_MOMENT, "ended_at"),
    *_empty("trouble"),
    UniqueConstraint("digest", "receiver"),
)
"""What receivers are notified of, a row for each; `digest` is the notice's id, `told` its texts."""
Index("ix_notice_waiting", notice.c.receiver, notice.c.id, postgresql_where=text("state = 'waiting'"))

receipt = Table(
    "receipt",
    metadata,
    *_required(SqlText, "request_id", "operation"),
    *_required(_MOMENT, "at"),
    *_optional(SqlText, "token", "stored_sha256"),
    *_required(SqlText, "host"),
    *_required(Integer, "pid"),
    *_required(SqlText, "service"),
    *_required(Integer, "unanswered", "lost"),
    *_optional(_MOMENT, "since"),
    *_required(_MOMENT, "written_at"),
    *_required(SqlText, "written_by"),
    postgresql_partition_by="RANGE (at)",
)
"""What processes wrote down of their KMS calls: see receipts/receipt. `write_receipts` alone writes it.

In a row of `lost` receipts, which were never written, the rest is empty but for the process, and for the time
from `since` to `at`. `written_at` and `written_by`, the role that had logged in, are the database's own word.
"""
Index("ix_receipt_written", receipt.c.written_at)

registered_copy = Table(
    "registered_copy",
    metadata,
    _number(),
    *_required(SqlText, "name"),
    *_empty("location"),
    *_required(JSONB, "holds"),
    *_required(_MOMENT, "scanned_at", "added_at"),
    *_required(SqlText, "added_by"),
    *_optional(_MOMENT, "taken_at", "kept_until", "removed_at"),
    *_optional(SqlText, "removed_by"),
)
"""Copies that operators have scanned and registered; `holds` is what the scan said of one, without values."""
Index(
    "ix_registered_copy_name",
    registered_copy.c.name,
    unique=True,
    postgresql_where=text("removed_at IS NULL"),
)

tripwire = Table(
    "tripwire",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    *_required(BigInteger, "version"),
    *_required(SqlText, "document"),
    *_required(BigInteger, "entry"),
)
"""One row: the sealed list of all tripwires. `entry` is the journal's that has the document's digest."""

evidence_record = Table(
    "evidence_record",
    metadata,
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    *_required(_MOMENT, "taken_at"),
    *_optional(SqlText, "document"),
    *_required(LargeBinary, "digest", "signed", "previous"),
    *_required(SqlText, "key_arn", "algorithm"),
    *_required(LargeBinary, "signature"),
    *_required(SqlText, "unsigned_because"),
    *_required(BigInteger, "entry"),
    *_optional(BigInteger, "removal"),
)
"""Records of evidence: see compliance/records/record. Append-only; `write_evidence_record` alone writes it.

`signed` is what a signature is over, `entry` the journal's that names the record. `document` is NULL once it
was taken away, which the journal's entry `removal` tells.
"""
Index("ix_evidence_record_taken", evidence_record.c.taken_at)

OWN_TABLES = sorted({table.name for table in metadata.tables.values()} | {"version"})
"""The names of all of them."""
