"""The cryptography of a period, or of a database as it is now, as a bill of materials (CycloneDX 1.6).

It takes cyclonedx-python-lib, which the extra `cbom` brings and nothing else loads.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, time
from threading import Event

from crypto_core.compliance.facts import GuardingKeyFacts
from crypto_core.compliance.pack.context import PackContext
from crypto_core.compliance.pack.recorded_keys import seen_keys
from crypto_core.compliance.period.period import AuditPeriod
from crypto_core.compliance.snapshot import Snapshot
from crypto_core.compliance.snapshot_reader import SnapshotReader
from crypto_core.values.clean_text import NO_TEXT, CleanText, clean, cleans
from crypto_core.values.errors import DatabaseError


def cryptography_bom(period: AuditPeriod, context: PackContext) -> bytes:
    """Return the bill of a period: what its last record shows, and keys that only earlier ones have."""
    from crypto_core.compliance.pack.bom.document import bill_document

    if not period.records:
        return bill_document(Snapshot(datetime.combine(period.until, time(), UTC)), context)
    last = period.records[-1]
    earlier = seen_keys(period) if last.snapshot.known(GuardingKeyFacts) else ()
    former = tuple(one for one in earlier if one.record.number != last.number)
    return bill_document(last.snapshot, context, last.number, former)


@dataclass(frozen=True, slots=True)
@cleans(600, raw=("document",))
class MadeBill:
    document: str
    lacking: tuple[CleanText, ...]
    failed: bool


@dataclass(eq=False)
class BillService:
    """Makes bills. Blocks on SQL, KMS and handshakes: call it from a worker."""

    reader: SnapshotReader
    database_id: Callable[[], str]
    version: str

    def make(self, cancelled: Event | None = None) -> MadeBill:
        """Return the bill of what is measured now, with what is missing named. Raises InterruptedRunError."""
        from crypto_core.compliance.pack.bom.document import BILL_PARTS, bill_document

        snapshot = self.reader.take(BILL_PARTS, cancelled)
        context = PackContext(self._database(), clean(self.version), snapshot.taken_at, NO_TEXT)
        document = bill_document(snapshot, context).decode()
        lacking = (f"{part}: {one.reason}" for part, one in snapshot.missing.items())
        return MadeBill(document, tuple(map(clean, lacking)), snapshot.failed)

    def _database(self) -> CleanText:
        # Nothing but the name needs Keydeck's own schema.
        try:
            return clean(self.database_id())
        except DatabaseError:
            return NO_TEXT
