"""Records over the test's database, of a snapshot that needs no measuring."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from threading import Event

from sqlalchemy import Engine, text

from console.container import Container
from crypto_core.aws.kms_signer import KmsSigner
from crypto_core.compliance.library import ControlLibrary
from crypto_core.compliance.records.book import RecordBook
from crypto_core.compliance.records.daily_record import EvidenceRecorder
from crypto_core.compliance.records.record_table import EvidenceRecordTable
from crypto_core.compliance.snapshot import Snapshot, SnapshotPart
from crypto_core.database.state.journal_checkpoints import JournalCheckpoints
from crypto_core.guard.signature import Signer
from tests.crypto_core.compliance.snapshots import SNAPSHOT


@dataclass
class MeasuredBefore:
    """Stands for a reader of snapshots, at the time of the test."""

    snapshot: Snapshot = field(default_factory=lambda: SNAPSHOT)

    def take(
        self,
        parts: Iterable[SnapshotPart] = SnapshotPart,
        cancelled: Event | None = None,
        *,
        since_record: bool = False,
    ) -> Snapshot:
        return Snapshot(datetime.now(UTC), self.snapshot.parts)


@dataclass
class Records:
    recorder: EvidenceRecorder
    book: RecordBook
    table: EvidenceRecordTable
    checkpoints: JournalCheckpoints


def signer_of(services: Container) -> KmsSigner:
    key = services.kms.call("CreateKey", KeySpec="ECC_NIST_P256", KeyUsage="SIGN_VERIFY")
    return KmsSigner(services.kms.call, [str(key["KeyMetadata"]["Arn"])])


def records_of(
    services: Container, signer: Signer | None, *, keep_days: int = 0, snapshot: Snapshot = SNAPSHOT
) -> Records:
    table = EvidenceRecordTable(services.engine, services.journal)
    checkpoints = JournalCheckpoints(services.journal, signer, read_only=False)
    recorder = EvidenceRecorder(
        MeasuredBefore(snapshot),  # type: ignore[arg-type]
        ControlLibrary(),
        table,
        services.journal,
        checkpoints,
        signer,
        version="1",
        read_only=False,
        keep_days=keep_days,
    )
    return Records(recorder, RecordBook(table, signer, services.journal.database_id), table, checkpoints)


def tampered(superuser: Engine, *statements: str) -> None:
    with superuser.begin() as connection:
        connection.execute(text("SET LOCAL session_replication_role = replica"))
        for statement in statements:
            connection.exec_driver_sql(statement)


def move_clock(superuser: Engine, ahead: str) -> None:
    """Let Keydeck's functions in the database tell a time that is so far ahead."""
    moved = (
        "DO $$ DECLARE one text; BEGIN FOR one IN SELECT pg_get_functiondef(oid) FROM pg_proc"
        " WHERE pronamespace = 'keydeck'::regnamespace AND proname IN"
        " ('make_entry', 'write_evidence_record') LOOP"
        " EXECUTE regexp_replace(one, 'clock_timestamp\\(\\)( \\+ interval ''[^'']*'')?',"
        f" 'clock_timestamp() + interval ''{ahead}''', 'g'); END LOOP; END $$"
    )
    with superuser.begin() as connection:
        connection.exec_driver_sql(moved, execution_options={"no_parameters": True})
