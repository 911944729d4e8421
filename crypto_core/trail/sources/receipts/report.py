"""What the taking in of receipts brought."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from crypto_core.text.clean_text import cleans
from crypto_core.text.counts import counted
from crypto_core.text.json_records import JsonRecord, shape
from crypto_core.trail.store.receipt_writer import AddedReceipts


@dataclass(frozen=True, slots=True)
@cleans(gaps=500)
class ReceiptReport(JsonRecord):
    """What came of receipts, from files or from a table.

    `read` are receipts that were read, `passed_over` lines that are none, `malformed` lines or rows that are
    receipts with a field that can't be one. `gaps` name what could not be read, and why.
    """

    read: int = 0
    added: AddedReceipts = field(default_factory=AddedReceipts)
    passed_over: int = 0
    malformed: int = 0
    files: int = 0
    gaps: tuple[str, ...] = ()
    newest: datetime | None = None

    json_shape = shape(
        "files receipts=read new=added.new duplicates=added.duplicates explained=added.explained "
        "lost=added.lost passed_over malformed gaps"
    )

    def __add__(self, other: ReceiptReport) -> ReceiptReport:
        return ReceiptReport(
            self.read + other.read,
            self.added + other.added,
            self.passed_over + other.passed_over,
            self.malformed + other.malformed,
            self.files + other.files,
            (*self.gaps, *other.gaps),
            max(filter(None, (self.newest, other.newest)), default=None),
        )

    @property
    def summary(self) -> str:
        explained = (
            f", which explain {counted(self.added.explained, 'stored call')}" if self.added.new else ""
        )
        lost = f"; processes lost {counted(self.added.lost, 'receipt')}" if self.added.lost else ""
        return (
            f"{counted(self.read, 'receipt')}: {self.added.new:,} new{explained}, "
            f"{self.added.duplicates:,} known already{lost}"
        )
