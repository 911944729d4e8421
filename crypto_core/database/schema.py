"""Keydeck's own tables, in schema `keydeck`. Their versions are Alembic's, in database/migrations."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

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
    """`tokens`: for a login of tokens, which may back up and not purge."""
    return FUNCTIONS[table].partition(", ")[0] if tokens else FUNCTIONS[table]


metadata = sa.MetaData(schema=SCHEMA)

_MOMENT = sa.DateTime(timezone=True)
_WORD = sa.String(16)


def _table(name: str, *columns: Any, **options: Any) -> sa.Table:
    return sa.Table(name, metadata, *columns, **options)


def _required(kind: Any, *names: str) -> list[sa.Column[Any]]:
    return [sa.Column(name, kind, nullable=False) for name in names]


def _optional(kind: Any, *names: str) -> list[sa.Column[Any]]:
    return [sa.Column(name, kind) for name in names]


def _counts(*names: str, kind: Any = sa.BigInteger) -> list[sa.Column[Any]]:
    return [sa.Column(name, kind, nullable=False, server_default="0") for name in names]


def _empty(*names: str) -> list[sa.Column[Any]]:
    return [sa.Column(name, sa.Text, nullable=False, server_default="") for name in names]


def _number() -> sa.Column[Any]:
    return sa.Column("id", sa.BigInteger, sa.Identity(always=True), primary_key=True)


envelope_backup = _table(
    "envelope_backup",
    _number(),
    sa.Column("run_id", sa.Uuid, nullable=False, index=True),
    *_required(_WORD, "verb"),
    *_required(sa.Text, "token_column", "row_id"),
    *_optional(sa.Text, "envelope", "key_arn", "key_material_id"),
    *_required(_MOMENT, "replaced_at"),
    *_optional(sa.LargeBinary, "written_digest"),
    *_optional(sa.BigInteger, "transaction_id"),
)
"""Envelopes that Keydeck has replaced, kept until the operator purges them. Never plaintext or dev values.

Functions alone write it: `back_up_envelopes`, and `purge_envelopes`, which makes `envelope` NULL and a
journal entry. `written_digest` is that of the new envelope (see tokens.digest), `transaction_id` the
transaction's.
"""
sa.Index("ix_envelope_backup_transaction", envelope_backup.c.transaction_id)

key_answer = _table(
    "key_answer",
    sa.Column("envelope_digest", sa.LargeBinary, primary_key=True),
    sa.Column("edk_prefix", sa.LargeBinary, index=True),
    *_optional(sa.Text, "key_arn", "key_material_id"),
    *_empty("reason"),
    *_required(_MOMENT, "asked_at"),
)
"""KMS's answers about single envelopes, by a digest of the stored value: see tokens.digest."""

sweep = _table(
    "sweep",
    _number(),
    sa.Column("taken_at", _MOMENT, nullable=False, index=True),
    *_required(sa.Text, "taken_by", "shape"),
    *_required(sa.Boolean, "complete"),
    *_required(JSONB, "report"),
)
"""Looks through the whole database for undeclared tokens: names and counts, see tokens.sweep.

`shape` changes with the tables and columns. `complete`: nothing was hidden from `taken_by`.
"""

journal = _table(
    "journal",
    sa.Column("seq", sa.BigInteger, primary_key=True, autoincrement=False),
    *_required(_MOMENT, "at"),
    *_required(sa.Text, "actor", "host", "action", "subject", "outcome", "detail"),
    *_required(sa.LargeBinary, "previous", "digest"),
    *_optional(sa.Text, "database_role"),
    *_optional(sa.Uuid, "database_id"),
    *_optional(sa.Boolean, "checked"),
    *_optional(sa.BigInteger, "transaction_id"),
)
"""Append-only by a trigger; each row's digest covers the row before it.

Functions alone write it. `checked` is True where one of them checked what it records, False for text that
`append_to_journal` takes as it is. `database_role` had logged in then, `database_id` is the journal's
database, `transaction_id` the transaction there, which no digest covers; NULL where nobody noted it.
"""
sa.Index("ix_journal_checked", journal.c.action, journal.c.seq, postgresql_where=journal.c.checked)
sa.Index("ix_journal_transaction", journal.c.transaction_id)

INCIDENT_PEOPLE = ("incident role", "incident follow-up", "incident follow-up done")
"""The journal's words for roles and follow-ups of incidents, which are kept nowhere else."""

sa.Index(
    "ix_journal_incident_people",
    journal.c.subject,
    journal.c.seq,
    postgresql_where=journal.c.action.in_(INCIDENT_PEOPLE),
)

journal_end = _table(
    "journal_end",
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
    *_required(sa.BigInteger, "seq"),
    *_required(sa.LargeBinary, "digest"),
    *_required(_MOMENT, "at"),
    *_optional(sa.BigInteger, "beyond"),
    sa.Column("database_id", sa.Uuid, nullable=False, server_default=sa.text("gen_random_uuid()")),
)
"""One row: the entry that `append_to_journal` wrote last. It is locked until the writer's transaction ends.

`beyond` is the highest number for which the function has recorded a break, `database_id` tells this database
from others that are no copies of it.
"""

job = _table(
    "job",
    _number(),
    sa.Column("run_id", sa.Uuid, nullable=False, unique=True),
    *_required(_WORD, "verb", "state", "write_format", "verify"),
    *_empty("why"),
    *_required(sa.Text, "selection", "target_key_arn", "plan_digest", "created_by", "host", "consent"),
    *_required(JSONB, "scope", "plan"),
    *_optional(sa.Text, "source_key_arn"),
    *_required(sa.Boolean, "allow_downgrade"),
    *_required(sa.BigInteger, "planned"),
    *_required(sa.Double, "calls_per_second"),
    *_counts("wave", "zeroes", kind=sa.Integer),
    *_optional(JSONB, "census_before", "census_after"),
    sa.Column("remarks", JSONB, nullable=False, server_default="[]"),
    *_required(_MOMENT, "created_at"),
    *_optional(_MOMENT, "started_at", "zero_at", "ended_at"),
    *_optional(sa.BigInteger, "restores"),
)
"""`run_id` is the one that its backups have; `restores` the job that it undoes.

`wave` counts the censuses that cut chunks, `zeroes` those in a row that found nothing left.
"""

job_chunk = _table(
    "job_chunk",
    _number(),
    sa.Column("job_id", sa.BigInteger, sa.ForeignKey(job.c.id), nullable=False),
    *_required(sa.Integer, "wave"),
    *_required(sa.Text, "table_name", "column_name"),
    *_optional(sa.Text, "after_id", "upto_id", "position"),
    sa.Column("row_ids", ARRAY(sa.Text)),
    *_required(sa.BigInteger, "expected"),
    *_required(_WORD, "state"),
    *_optional(sa.Uuid, "runner_id"),
    *_counts("attempt", kind=sa.Integer),
    *_optional(_MOMENT, "lease_until"),
    *_counts("done", "conflicts", "changed", "poisoned", "kms_calls"),
)
"""A part of a job: ids behind `after_id` (NULL: from the first) up to and with `upto_id`, or `row_ids` alone.

Ids are in PostgreSQL's text, and compared by PostgreSQL alone. `position` is the last finished id.
"""
sa.Index("ix_job_chunk_left", job_chunk.c.job_id, job_chunk.c.id, postgresql_where=sa.text("state <> 'done'"))

job_runner = _table(
    "job_runner",
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("job_id", sa.BigInteger, sa.ForeignKey(job.c.id), nullable=False, index=True),
    *_required(sa.Text, "host", "actor"),
    *_required(sa.Integer, "pid"),
    *_required(_MOMENT, "started_at", "seen_at"),
    *_optional(_MOMENT, "ended_at"),
    sa.Column("samples", JSONB, nullable=False, server_default="[]"),
)
"""A process that works on a job; `samples` are its measurements of the last minute."""

job_token = _table(
    "job_token",
    sa.Column("job_id", sa.BigInteger, sa.ForeignKey(job.c.id), primary_key=True),
    sa.Column("token_column", sa.Text, primary_key=True),
    sa.Column("row_id", sa.Text, primary_key=True),
    *_required(sa.Text, "kind", "reason"),
    *_required(sa.Integer, "attempts"),
    *_required(_MOMENT, "last_at"),
    *_optional(_MOMENT, "resolved_at"),
)


incident = _table(
    "incident",
    _number(),
    *_required(
        sa.Text, "title", "runbook_id", "runbook_text", "runbook_source", "runbook_digest", "declared_by"
    ),
    *_required(_WORD, "state"),
    *_required(JSONB, "scope"),
    sa.Column("known", JSONB, nullable=False, server_default="{}"),
    *_required(_MOMENT, "declared_at"),
    *_optional(_MOMENT, "closed_at"),
    *_empty("closed_by", "outcome"),
)
"""It goes on by `runbook_text`, whatever becomes of the file; `known` is what it found out."""

incident_step = _table(
    "incident_step",
    sa.Column("incident_id", sa.BigInteger, sa.ForeignKey(incident.c.id), primary_key=True),
    sa.Column("step_id", sa.Text, primary_key=True),
    *_required(_WORD, "state"),
    *_optional(_MOMENT, "begun_at", "ended_at"),
    *_empty("actor", "reason", "answer", "trouble"),
    *_optional(JSONB, "check_result"),
)
"""A step that isn't here is still to do."""

incident_evidence = _table(
    "incident_evidence",
    _number(),
    sa.Column("incident_id", sa.BigInteger, sa.ForeignKey(incident.c.id), nullable=False, index=True),
    *_required(sa.Text, "step_id", "kind", "title"),
    *_required(_MOMENT, "captured_at"),
    *_required(sa.Text, "captured_by", "content", "sha256"),
    # Kept, since to count it each time would be to read all of it each time.
    sa.Column("characters", sa.Integer, sa.Computed("char_length(content)", persisted=True), nullable=False),
)
"""Evidence, append-only by a trigger. Its hash is journaled too, so a change shows."""

incident_entry = _table(
    "incident_entry",
    _number(),
    sa.Column("incident_id", sa.BigInteger, sa.ForeignKey(incident.c.id), nullable=False, index=True),
    *_required(_MOMENT, "at"),
    *_required(sa.Text, "actor", "step_id", "text"),
    *_required(_WORD, "kind"),
)
"""The timeline of incidents, append-only by a trigger."""

incident_presence = _table(
    "incident_presence",
    sa.Column("incident_id", sa.BigInteger, sa.ForeignKey(incident.c.id), primary_key=True),
    sa.Column("actor", sa.Text, primary_key=True),
    sa.Column("host", sa.Text, primary_key=True),
    *_required(_MOMENT, "seen_at"),
)

incident_lease = _table(
    "incident_lease",
    sa.Column("incident_id", sa.BigInteger, sa.ForeignKey(incident.c.id), primary_key=True),
    sa.Column("step_id", sa.Text, primary_key=True),
    *_required(sa.Uuid, "token"),
    *_required(sa.Text, "holder", "host"),
    *_required(_MOMENT, "until"),
    *_empty("login"),
)
"""The `login` that runs a step's action, or ran it last, and the `token` that proves it."""

approval = _table(
    "approval",
    sa.Column("id", sa.Uuid, primary_key=True),
    *_required(sa.Text, "action", "summary", "requested_by"),
    sa.Column("digest", sa.Text, nullable=False, index=True),
    *_required(JSONB, "plan"),
    *_required(_MOMENT, "requested_at", "expires_at"),
    *_required(_WORD, "decision"),
    *_empty("decided_by", "database", "database_id", "request_digest", "login"),
    *_optional(_MOMENT, "decided_at"),
    *_optional(JSONB, "parts", "decided_parts"),
)
"""`parts` are the digests of what was asked for, `decided_parts` those of what was decided; `login` is the
database role that asked, which alone may use it.
"""

journal_checkpoint = _table(
    "journal_checkpoint",
    _number(),
    *_required(sa.BigInteger, "seq"),
    *_required(sa.LargeBinary, "digest", "signature"),
    *_required(_MOMENT, "at"),
    *_required(sa.Text, "actor", "key_arn", "algorithm"),
    *_empty("database_id", "broken"),
)
"""The journal's digest at an entry, signed by KMS. Append-only by a trigger.

`broken` is the break that one acknowledges, as JSON; "" for none.
"""

fingerprint_key = _table(
    "fingerprint_key",
    _number(),
    *_required(sa.LargeBinary, "encrypted_key"),
    *_required(sa.Text, "key_arn"),
    *_required(_MOMENT, "made_at"),
)
"""The key of the index of tokens, as KMS wrapped it. The newest counts."""

fingerprint = _table(
    "fingerprint",
    *(sa.Column(name, sa.Text, primary_key=True) for name in ("token_column", "row_id")),
    sa.Column("digest", sa.LargeBinary, primary_key=True),
    *_required(sa.BigInteger, "key_id"),
    *_required(sa.LargeBinary, "fingerprint", "bond"),
    *_required(_MOMENT, "noted_at"),
)
"""The index of tokens: an HMAC of each, and that of the entry itself, both under a `fingerprint_key`.

An entry counts only while its row holds the envelope with this `digest`. Plaintext and dev values have none:
their digest would tell them.
"""
sa.Index("ix_fingerprint_fingerprint", fingerprint.c.fingerprint)

duty = _table(
    "duty",
    sa.Column("name", sa.Text, primary_key=True),
    *_required(sa.Uuid, "token"),
    *_required(sa.Text, "holder"),
    *_required(_MOMENT, "until"),
    sa.Column("position", JSONB, nullable=False, server_default="{}"),
    *_optional(_MOMENT, "done_at", "since", "asked_at"),
    *_empty("login", "asked_by", "next_login"),
)
"""Duties of `keydeck watch`, each held by whoever has the row's `token`; `position` is how far it got."""

notice = _table(
    "notice",
    _number(),
    *_required(sa.Text, "digest", "receiver"),
    *_required(_WORD, "kind", "severity", "state"),
    *_required(JSONB, "told"),
    *_required(_MOMENT, "made_at", "next_at"),
    *_counts("attempts", kind=sa.Integer),
    *_optional(_MOMENT, "ended_at"),
    *_empty("trouble"),
    sa.UniqueConstraint("digest", "receiver"),
)
"""A row for each receiver; `digest` is the notice's id, `told` its texts."""
sa.Index("ix_notice_waiting", notice.c.receiver, notice.c.id, postgresql_where=sa.text("state = 'waiting'"))

receipt = _table(
    "receipt",
    *_required(sa.Text, "request_id", "operation", "host", "service", "written_by"),
    *_required(_MOMENT, "at", "written_at"),
    *_optional(sa.Text, "token", "stored_sha256"),
    *_required(sa.Integer, "pid", "unanswered", "lost"),
    *_optional(_MOMENT, "since"),
    postgresql_partition_by="RANGE (at)",
)
"""Receipts of KMS calls: see receipts/receipt. `write_receipts` alone writes it.

A row of `lost` receipts has only the process, and the time from `since` to `at`. `written_at` and
`written_by`, the role that had logged in, are the database's own word.
"""
sa.Index("ix_receipt_written", receipt.c.written_at)

registered_copy = _table(
    "registered_copy",
    _number(),
    *_required(sa.Text, "name", "added_by"),
    *_empty("location"),
    *_required(JSONB, "holds"),
    *_required(_MOMENT, "scanned_at", "added_at"),
    *_optional(_MOMENT, "taken_at", "kept_until", "removed_at"),
    *_optional(sa.Text, "removed_by"),
)
"""Scanned copies; `holds` is the scan's result, without values."""
sa.Index(
    "ix_registered_copy_name",
    registered_copy.c.name,
    unique=True,
    postgresql_where=sa.text("removed_at IS NULL"),
)

tripwire = _table(
    "tripwire",
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
    *_required(sa.BigInteger, "version", "entry"),
    *_required(sa.Text, "document"),
)
"""One row: the sealed list of all tripwires. `entry` is the journal's that has the document's digest."""

evidence_record = _table(
    "evidence_record",
    sa.Column("number", sa.BigInteger, primary_key=True, autoincrement=False),
    *_required(_MOMENT, "taken_at"),
    *_optional(sa.Text, "document"),
    *_required(sa.LargeBinary, "digest", "signed", "previous", "signature"),
    *_required(sa.Text, "key_arn", "algorithm", "unsigned_because"),
    *_required(sa.BigInteger, "entry"),
    *_optional(sa.BigInteger, "removal"),
)
"""Records of evidence: see compliance/records/record. Append-only; `write_evidence_record` alone writes it.

`signed` is what a signature is over, `entry` the journal's that names the record. `document` is NULL once it
was taken away, by the journal's entry `removal`.
"""
sa.Index("ix_evidence_record_taken", evidence_record.c.taken_at)

OWN_TABLES = sorted({table.name for table in metadata.tables.values()} | {"version"})
