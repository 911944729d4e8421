"""One record of evidence: a snapshot, its place in the chain, and the signature over both.

What is kept, hashed and signed is one text, the document; everything else is read from it. A record names the
digest of the one before and the journal's end at its time, so that each fixes the other.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime

from crypto_core.compliance.proof.records import FORM, signed_digest
from crypto_core.compliance.snapshot import Snapshot, read_snapshot
from crypto_core.guard.signature import Signature
from crypto_core.proof.forms import UNREADABLE, document_of
from crypto_core.values.clean_text import CleanText, clean, cleans


@dataclass(frozen=True, slots=True)
@cleans(500, raw=("document",))
class EvidenceRecord:
    """A record as it is kept. `number` counts from 1 without a gap; `document` is canonical JSON.

    `signature` is None where it isn't signed, for the reason in `unsigned_because`.
    """

    number: int
    document: str
    snapshot: Snapshot
    previous: bytes
    """The digest of the record before, `FIRST` for the first."""
    database_id: CleanText
    recorded_by: CleanText
    journal_seq: int
    """The number of the journal's last entry when the record was made."""
    signature: Signature | None
    unsigned_because: CleanText
    catalogues: Mapping[str, CleanText] = field(default_factory=dict)
    """The SHA-256 of the catalogues of controls as they were then, by their ids."""

    @property
    def digest(self) -> bytes:
        """SHA-256 of the document: what the next record and the journal name."""
        return hashlib.sha256(self.document.encode()).digest()

    @property
    def signed(self) -> bytes:
        return signed_digest(self.document)

    @property
    def taken_at(self) -> datetime:
        """When it was measured, in UTC, by the machine that did."""
        return self.snapshot.taken_at

    @property
    def day(self) -> date:
        return self.taken_at.date()


def read_record(document: str, signature: Signature | None, unsigned_because: str = "") -> EvidenceRecord:
    """Return the record of a document; nothing is verified. Raises ValueError for a text that is none."""
    try:
        told = document_of(document)
        if told["keydeck_evidence_record"] != FORM:
            raise ValueError("it is of another form")
        return EvidenceRecord(
            number=int(told["number"]),
            document=document,
            snapshot=read_snapshot(told["snapshot"]),
            previous=bytes.fromhex(told["previous"]),
            database_id=clean(told["database_id"], 100),
            recorded_by=clean(told["recorded_by"], 500),
            journal_seq=int(told["journal"]["seq"]),
            signature=signature,
            unsigned_because=clean(unsigned_because, 500),
            catalogues={clean(one["id"], 100): clean(one["sha256"], 64) for one in told["catalogues"]},
        )
    except UNREADABLE as error:
        raise ValueError("it is no record of evidence") from error
