"""What a source says of its work: while it runs, what it covered in the end, and what receipts it brought."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from threading import Event, Lock

from crypto_core.lists.coverage import Coverage
from crypto_core.trail.sources.pull_query import PullQuery
from crypto_core.trail.store import Added
from crypto_core.trail.store.receipt_writer import AddedReceipts
from crypto_core.values.clean_text import cleans
from crypto_core.values.counts import counted
from crypto_core.values.json_records import JsonRecord, shape
from crypto_core.values.key_names import AccountRegion


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


@dataclass(frozen=True, slots=True)
class PullProgress:
    """Where a pull stands. `reached` is the time of the last event that came."""

    source: str
    where: str
    """The Region, or the bucket's folder, that is read now."""
    pages: int = 0
    records: int = 0
    new: int = 0
    throttled: int = 0
    reached: datetime | None = None
    seconds_left: float | None = None
    """The ETA at the present rate; None if unknown."""


Progress = Callable[[PullProgress], None]


@dataclass(frozen=True, slots=True)
@cleans(gaps=500, notes=500)
class PullReport(JsonRecord):
    """What a pull brought, and what of the window it covers.

    `source` is lookup, s3 or athena. `places` are the accounts' Regions that were read; of a table it
    is not known whose events it holds. `gaps` name what is missing and why; there is none where it covers the
    whole window in every Region.
    """

    source: str
    places: tuple[AccountRegion, ...]
    since: datetime
    until: datetime
    pages: int = 0
    records: int = 0
    new: int = 0
    duplicates: int = 0
    kms: int = 0
    throttled: int = 0
    gaps: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    """What the operator should know besides: what was left out as asked, what a query cost."""
    receipts: ReceiptReport | None = None
    """What came of receipts; None where nobody was asked for them."""

    json_shape = shape(
        "source regions accounts since until pages records new duplicates kms throttled notes receipts "
        "coverage",
        accounts=lambda report: {place.account for place in report.places} - {""},
    )

    @property
    def regions(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(place.region for place in self.places))

    @property
    def coverage(self) -> Coverage:
        return Coverage(self.gaps)


MOST_GAPS = 50
"""Gaps that are named one by one; of more, how many there are."""


class PullTally:
    """Counts one pull. Thread-safe; `progress` is never called by two threads at once."""

    def __init__(self, source: str, progress: Progress | None = None) -> None:
        self.source = source
        self._progress = progress
        self._lock = Lock()
        self._added = Added()
        self._now = PullProgress(source, "")
        self._gaps: dict[str, None] = {}
        self._more_gaps = 0
        self._notes: dict[str, None] = {}

    def count(
        self,
        where: str,
        *,
        pages: int = 0,
        records: int = 0,
        added: Added | None = None,
        reached: datetime | None = None,
        seconds_left: float | None = None,
    ) -> None:
        with self._lock:
            self._added += added or Added()
            self._tell(where, reached, seconds_left, pages=pages, records=records)

    def throttled(self, where: str) -> None:
        with self._lock:
            self._tell(where, throttled=1)

    def gap(self, text: str) -> None:
        with self._lock:
            if len(self._gaps) < MOST_GAPS:
                self._gaps[text] = None
            elif text not in self._gaps:
                self._more_gaps += 1

    def note(self, text: str) -> None:
        with self._lock:
            self._notes[text] = None

    def report(self, places: Iterable[AccountRegion], since: datetime, until: datetime) -> PullReport:
        with self._lock:
            more = (f"{self._more_gaps:,} further gaps.",) if self._more_gaps else ()
            return PullReport(
                self.source,
                tuple(places),
                since,
                until,
                pages=self._now.pages,
                records=self._now.records,
                new=self._added.new,
                duplicates=self._added.duplicates,
                kms=self._added.kms,
                throttled=self._now.throttled,
                gaps=(*self._gaps, *more),
                notes=tuple(self._notes),
            )

    def _tell(
        self,
        where: str,
        reached: datetime | None = None,
        seconds_left: float | None = None,
        *,
        pages: int = 0,
        records: int = 0,
        throttled: int = 0,
    ) -> None:
        pages, records = self._now.pages + pages, self._now.records + records
        throttled += self._now.throttled
        self._now = PullProgress(
            self.source, where, pages, records, self._added.new, throttled, reached, seconds_left
        )
        if self._progress is not None:
            self._progress(self._now)


@dataclass(frozen=True, slots=True)
class PullRun:
    asked: PullQuery
    tally: PullTally
    cancelled: Event | None = None
