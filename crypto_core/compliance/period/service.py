"""What commands, screens and the pack call: a period, judged by its records and by what stores hold now."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from threading import Event
from typing import Protocol

from crypto_core.cancelling import stop_if
from crypto_core.compliance.change_reader import OVERLAP
from crypto_core.compliance.facts import DrillFacts, IncidentFacts, UseFacts
from crypto_core.compliance.library import ControlLibrary
from crypto_core.compliance.period.judging import AtHand, CheckedRecords, PeriodQuestion, audit_period
from crypto_core.compliance.period.period import AuditPeriod
from crypto_core.compliance.period.population import LEAST, MOST, moments_of
from crypto_core.compliance.records.book import RecordsCheck
from crypto_core.compliance.records.record import EvidenceRecord
from crypto_core.compliance.snapshot import Lack, MissingPart, Snapshot, SnapshotPart
from crypto_core.compliance.snapshot_reader import SnapshotReader
from crypto_core.errors import DatabaseError, SettingsError
from crypto_core.text.cleaning import clean


@dataclass(eq=False)
class ReaderStores:
    """Reads changes, incidents and drills. Blocks on SQL and AWS: call it from a worker."""

    reader: SnapshotReader

    def read(self, since: datetime, until: datetime, cancelled: Event | None) -> AtHand:
        """Return what stores hold of a time; what can't be read is missing. Raises InterruptedRunError."""
        taken = self.reader.take((SnapshotPart.INCIDENTS, SnapshotPart.DRILLS), cancelled)
        end = min(until, taken.taken_at)
        if end <= since:
            changes = MissingPart(Lack.NOTHING, clean("the period has not begun"))
            return AtHand(changes=changes)
        return AtHand(
            changes=self.reader.change_reader.changes(since + OVERLAP, end, cancelled),
            uses=self._reviews(since, end, taken.taken_at),
            incidents=_incidents(taken),
            drills=_drills(taken),
        )

    def _reviews(self, since: datetime, end: datetime, now: datetime) -> UseFacts | MissingPart:
        """The reviews up to now; uses themselves are summed from the records."""
        try:
            return UseFacts(since, end, reviews=self.reader.change_reader.reviews(now))
        except DatabaseError as error:
            return MissingPart(Lack.FAILED, clean(error, 600))


def _incidents(taken: Snapshot) -> IncidentFacts | MissingPart:
    found = taken.part(SnapshotPart.INCIDENTS)
    return found if isinstance(found, IncidentFacts | MissingPart) else _unfit(SnapshotPart.INCIDENTS)


def _drills(taken: Snapshot) -> DrillFacts | MissingPart:
    found = taken.part(SnapshotPart.DRILLS)
    return found if isinstance(found, DrillFacts | MissingPart) else _unfit(SnapshotPart.DRILLS)


def _unfit(part: SnapshotPart) -> MissingPart:
    return MissingPart(Lack.FAILED, clean(f"what was read of {part} is something else"))


MOST_DAYS = 3_660
"""Ten years: what a period may have at most."""


class RecordSource(Protocol):
    """Where records are kept: see RecordBook. Each raises DatabaseError."""

    def records(self, since: date, until: date) -> tuple[EvidenceRecord, ...]:
        """Return the records from one day to another."""

    def before(self, number: int) -> EvidenceRecord | None:
        """Return the last record before a number."""

    def last(self) -> EvidenceRecord | None:
        """Return the newest record."""

    def removed_days(self, since: date, until: date) -> tuple[date, ...]:
        """Return the days whose record was taken away."""

    def check(self, records: Sequence[EvidenceRecord]) -> RecordsCheck:
        """Verify records and their chain."""


class StoresAtHand(Protocol):
    """What is known now of a period, beside its records."""

    def read(self, since: datetime, until: datetime, cancelled: Event | None) -> AtHand:
        """Return what stores hold of a time; what can't be read is missing. Raises InterruptedRunError."""


@dataclass(eq=False)
class PeriodService:
    """Judges periods. Blocks on SQL and AWS: call it from a worker."""

    library: ControlLibrary
    book: RecordSource
    stores: StoresAtHand
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)

    def of(
        self,
        since: date,
        until: date,
        framework: str = "",
        *,
        seed: str = "",
        sample: int = 40,
        cancelled: Event | None = None,
    ) -> AuditPeriod:
        """Return what a period came to, of all frameworks or of one; both days belong to it (UTC).

        `seed` draws another sample than the last record's digest does, `sample` is how many changes it has.
        Raises SettingsError for days in the wrong order, a framework that no catalogue has and a size out of
        bounds; DatabaseError, InterruptedRunError.
        """
        asked = PeriodQuestion(since, until, framework, seed, sample)
        _check(asked)
        controls = self.library.read()
        controls.require(framework)
        stop_if(cancelled)
        records = self.book.records(since, until)
        stop_if(cancelled)
        first = records[0].number if records else 0
        checked = self.book.check(records)
        found = CheckedRecords(
            records,
            self.book.before(first) if first else None,
            checked.problems,
            checked.unchecked,
            self.book.removed_days(since, until),
        )
        at_hand = self.stores.read(*moments_of(since, until), cancelled)
        stop_if(cancelled)
        return audit_period(asked, found, controls, at_hand, self.clock())

    def last(self) -> int:
        """Return the number of the newest record, 0 for none. Raises MissingSchemaError, DatabaseError."""
        newest = self.book.last()
        return newest.number if newest else 0


def _check(asked: PeriodQuestion) -> None:
    if asked.since > asked.until:
        raise SettingsError(
            f"A period can't begin on {asked.since} and end on {asked.until}.",
            remedy="Name the earlier day first.",
        )
    if (asked.until - asked.since).days >= MOST_DAYS:
        raise SettingsError(f"A period has {MOST_DAYS:,} days at most.", remedy="Ask for fewer days.")
    if not LEAST <= asked.sample <= MOST:
        raise SettingsError(
            f"A sample of {asked.sample:,} changes is not possible.",
            remedy=f"Ask for {LEAST} to {MOST:,}; auditors take 25 to 40.",
        )
