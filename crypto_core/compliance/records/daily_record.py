"""Makes the record of a day: everything is measured, signed, and appended to the chain of records.

Whatever can't be read is missing in the record, with the reason; where it can't be signed, it says why, and
the journal's checkpoint is tried all the same.
"""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass, replace
from threading import Event

from crypto_core.compliance.library import ControlLibrary
from crypto_core.compliance.proof.records import FORM
from crypto_core.compliance.records.record import EvidenceRecord, read_record
from crypto_core.compliance.records.record_table import EvidenceRecordTable, RecordChainEnd
from crypto_core.compliance.snapshot import Lack, MissingPart, Snapshot, SnapshotPart, snapshot_json
from crypto_core.compliance.snapshot_reader import SnapshotReader
from crypto_core.database.connection.transactions import repeated_if_rolled_back
from crypto_core.database.state.installation import require_schemas
from crypto_core.database.state.journal import Journal
from crypto_core.database.state.journal_checkpoints import JournalCheckpoints
from crypto_core.guard.guard import Guard
from crypto_core.guard.guarded_change import Outcome
from crypto_core.guard.signature import Signature, Signer
from crypto_core.proof.forms import FIRST, RECORD, Checkpoint, canonical
from crypto_core.values.clean_text import NO_TEXT, CleanText, clean, cleans
from crypto_core.values.errors import KeydeckError, KmsError, SettingsError
from crypto_core.values.json_records import JsonRecord, made, shape

NO_SIGNING_KEY = "no signing key is configured (KEYDECK_SIGNING_KEY)"


@dataclass(frozen=True, slots=True)
class SignatureParts(JsonRecord):
    """A signature as documents have it: in base64."""

    key_arn: str
    algorithm: str
    signature: str


@dataclass(frozen=True, slots=True)
class LackingPart(JsonRecord):
    part: SnapshotPart
    lack: Lack
    reason: str


@dataclass(frozen=True, slots=True)
@cleans(500)
class RecordedDay(JsonRecord):
    """A record and what came with it. `checkpoint` is None where `unanchored_because` says why.

    In a dry run the record is as it would be, unsigned, and `written` is False.
    """

    record: EvidenceRecord
    written: bool
    signs: bool = False
    checkpoint: Checkpoint | None = None
    unanchored_because: CleanText = NO_TEXT

    json_shape = shape(
        "written number=record.number taken_at=record.taken_at sha256=record.digest "
        "previous=record.previous bytes signature "
        "unsigned_because=record.unsigned_because? missing checkpoint=checkpoint.seq "
        "no_checkpoint_because=unanchored_because?",
        bytes=made(int, lambda record: len(record.record.document.encode())),
        signature=made(SignatureParts | None, lambda record: record.record.signature),
        missing=made(
            tuple[LackingPart, ...],
            lambda record: [LackingPart(part, one.lack, one.reason) for part, one in record.missing.items()],
        ),
    )

    @property
    def missing(self) -> dict[SnapshotPart, MissingPart]:
        return self.record.snapshot.missing

    @property
    def failed(self) -> bool:
        """Whether something could not be read, or not be signed though there is a key for that.

        A part of which there is nothing to read doesn't count.
        """
        unsigned = self.written and self.signs and (self.record.signature is None or self.checkpoint is None)
        return unsigned or any(one.lack is not Lack.NOTHING for one in self.missing.values())


@dataclass(eq=False)
class EvidenceRecorder:
    """Makes records. Blocks on SQL and AWS: call it from a worker."""

    reader: SnapshotReader
    library: ControlLibrary
    table: EvidenceRecordTable
    journal: Journal
    checkpoints: JournalCheckpoints
    signer: Signer | None
    """None where no signing key is configured."""
    _: KW_ONLY
    version: str
    read_only: bool
    keep_days: int = 0
    """Documents that are older are taken away with each new record; 0 keeps them for ever."""

    def __post_init__(self) -> None:
        self._guard = Guard(
            self.journal, read_only=self.read_only, ready=require_schemas(self.journal.engine)
        )

    def record_day(self, cancelled: Event | None = None) -> RecordedDay:
        """Measure everything, keep that as a record, and make a checkpoint of the journal where possible.

        Journaled, refusals and failures too. Raises ReadOnlyError, InterruptedRunError, MissingSchemaError,
        DatabaseError; never for what can't be measured or signed.
        """
        self._guard.may_change("record evidence")
        with self._guard.recording(RECORD, RECORD):
            made = self._append(
                self.reader.take(cancelled=cancelled, since_record=True), self.journal.actor()
            )
        return self._anchored(RecordedDay(made, written=True, signs=self.signer is not None))

    def draft(self, cancelled: Event | None = None) -> RecordedDay:
        """Return the record as it would be now; nothing is kept but that this was looked at.

        Raises InterruptedRunError, DatabaseError.
        """
        with self._guard.recording(RECORD, RECORD):
            snapshot, end = self.reader.take(cancelled=cancelled, since_record=True), self.table.end()
            document = self._document(snapshot, end, self.journal.actor())
        record = read_record(document, None, "this is a dry run")
        detail = {"number": record.number, "sha256": record.digest.hex()}
        self._guard.try_to_record(RECORD, f"{RECORD} {record.number}", Outcome.DRY_RUN, detail)
        return RecordedDay(record, written=False)

    @repeated_if_rolled_back
    def _append(self, snapshot: Snapshot, actor: str) -> EvidenceRecord:
        """Append a record behind the last one; again, behind that, where another was written meanwhile."""
        end = self.table.end()
        if end.journal is None:  # its row is lost, and made anew with the next entry
            self.journal.record(RECORD, RECORD, Outcome.STARTED, actor=actor)
            end = self.table.end()
        document = self._document(snapshot, end, actor)
        record = read_record(document, None)
        signature, why = self._signature(record.signed)
        self.table.write(document, signature, why, keep_days=self.keep_days)
        return replace(record, signature=signature, unsigned_because=clean(why, 500))

    def _document(self, snapshot: Snapshot, end: RecordChainEnd, actor: str) -> str:
        journal = end.journal
        return canonical(
            {
                "keydeck_evidence_record": FORM,
                "number": end.number + 1,
                "database_id": journal.database_id if journal else "",
                "taken_at": snapshot.taken_at.isoformat(),
                "recorded_by": self.table.as_stored(clean(actor, 500)),
                "version": self.version,
                "previous": (end.digest or FIRST).hex(),
                "journal": {
                    "seq": journal.seq if journal else 0,
                    "digest": (journal.digest if journal else FIRST).hex(),
                },
                "catalogues": [
                    {"id": one.id, "version": one.version, "sha256": one.digest}
                    for one in self.library.read().catalogues
                ],
                "snapshot": self.table.as_stored(snapshot_json(snapshot)),
            }
        )

    def _signature(self, digest: bytes) -> tuple[Signature | None, str]:
        if self.signer is None:
            return None, NO_SIGNING_KEY
        try:
            return self.signer.sign(digest), ""
        except (KmsError, SettingsError) as error:
            return None, error.message

    def _anchored(self, made: RecordedDay) -> RecordedDay:
        if not self.checkpoints.possible:
            return replace(made, unanchored_because=clean(NO_SIGNING_KEY))
        try:
            return replace(made, checkpoint=self.checkpoints.checkpoint())
        except KeydeckError as error:
            return replace(made, unanchored_because=clean(error.message, 500))
