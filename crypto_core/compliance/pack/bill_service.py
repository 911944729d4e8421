"""The cryptography of a database as it is now, as a bill of materials."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from threading import Event

from crypto_core.compliance.pack.cbom import snapshot_bom
from crypto_core.compliance.pack.context import PackContext
from crypto_core.compliance.snapshot import MissingPart, SnapshotPart
from crypto_core.compliance.snapshot_reader import SnapshotReader
from crypto_core.errors import DatabaseError
from crypto_core.text.cleaning import NO_TEXT, CleanText, clean, cleans

BILL_PARTS = (
    SnapshotPart.TOKENS,
    SnapshotPart.KEYS,
    SnapshotPart.SETTINGS,
    SnapshotPart.CRYPTOGRAPHY,
)
"""The parts of a snapshot that a bill is made from."""


@dataclass(frozen=True, slots=True)
@cleans(600, raw=("document",))
class MadeBill:
    """A bill, and why parts of what it is about are missing from it."""

    document: str
    lacking: tuple[CleanText, ...]
    failed: bool
    """Whether something could not be read."""


@dataclass(eq=False)
class BillService:
    """Makes bills. Blocks on SQL, KMS and handshakes: call it from a worker."""

    reader: SnapshotReader
    database_id: Callable[[], str]
    version: str

    def make(self, cancelled: Event | None = None) -> MadeBill:
        """Return the bill of what is measured now, with what is missing named. Raises InterruptedRunError."""
        snapshot = self.reader.take(BILL_PARTS, cancelled)
        context = PackContext(self._database(), clean(self.version), snapshot.taken_at, NO_TEXT)
        found = {part: snapshot.part(part) for part in BILL_PARTS}
        lacking = (
            clean(f"{p}: {one.reason}", 600) for p, one in found.items() if isinstance(one, MissingPart)
        )
        return MadeBill(snapshot_bom(snapshot, context).decode(), tuple(lacking), snapshot.failed)

    def _database(self) -> CleanText:
        # Nothing but the name needs Keydeck's own schema.
        try:
            return clean(self.database_id())
        except DatabaseError:
            return NO_TEXT
