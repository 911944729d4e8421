"""What commands, screens and the pack call: a period, judged by its records and by what stores hold now."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from threading import Event

from crypto_core.compliance.change_reader import OVERLAP
from crypto_core.compliance.facts import DrillFacts, IncidentFacts, ReviewFact
from crypto_core.compliance.library import ControlLibrary
from crypto_core.compliance.period import judgment
from crypto_core.compliance.period.period import AuditPeriod
from crypto_core.compliance.records.book import RecordBook
from crypto_core.compliance.snapshot import Lack, MissingPart, SnapshotPart
from crypto_core.compliance.snapshot_reader import SnapshotReader
from crypto_core.values.cancellation import stop_if
from crypto_core.values.clean_text import clean
from crypto_core.values.errors import DatabaseError, SettingsError

MOST_DAYS = 3_660
"""Ten years: what a period may have at most."""


@dataclass(eq=False)
class PeriodService:
    """Judges periods. Blocks on SQL and AWS: call it from a worker."""

    library: ControlLibrary
    book: RecordBook
    reader: SnapshotReader
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
        asked = judgment.PeriodQuestion(since, until, framework, seed, sample)
        _check(asked)
        controls = self.library.read()
        controls.require(framework)
        stop_if(cancelled)
        records = self.book.records(since, until)
        stop_if(cancelled)
        checked = self.book.check(records)
        found = judgment.CheckedRecords(
            records,
            self.book.before(records[0].number) if records else None,
            checked.problems,
            checked.unchecked,
            self.book.removed_days(since, until),
        )
        at_hand = self._at_hand(*judgment.moments_of(since, until), cancelled)
        stop_if(cancelled)
        return judgment.audit_period(asked, found, controls, at_hand, self.clock())

    def last(self) -> int:
        """Return the number of the newest record, 0 for none. Raises MissingSchemaError, DatabaseError."""
        newest = self.book.last()
        return newest.number if newest else 0

    def _at_hand(self, since: datetime, until: datetime, cancelled: Event | None) -> judgment.AtHand:
        """What stores hold now of a time, by the same readers that records are made with."""
        taken = self.reader.take((SnapshotPart.INCIDENTS, SnapshotPart.DRILLS), cancelled)
        end = min(until, taken.taken_at)
        if end <= since:
            return judgment.AtHand(MissingPart(Lack.NOTHING, clean("the period has not begun")))
        incidents, drills = taken.known(IncidentFacts), taken.known(DrillFacts)
        gaps = [
            f"{part.capitalize()} by the stores at hand: {one.lack}: {one.reason}"
            for part, one in taken.missing.items()
        ]
        reviews: tuple[ReviewFact, ...] = ()
        try:
            reviews = self.reader.change_reader.reviews(taken.taken_at)
        except DatabaseError as error:
            gaps.append(f"Reviews of access by the stores at hand: {Lack.FAILED}: {error}")
        return judgment.AtHand(
            self.reader.change_reader.changes(since + OVERLAP, end, cancelled),
            reviews,
            incidents.incidents if incidents else (),
            drills.last_at if drills else None,
            tuple(gaps),
        )


def _check(asked: judgment.PeriodQuestion) -> None:
    if asked.since > asked.until:
        raise SettingsError(
            f"A period can't begin on {asked.since} and end on {asked.until}.",
            remedy="Name the earlier day first.",
        )
    if (asked.until - asked.since).days >= MOST_DAYS:
        raise SettingsError(f"A period has {MOST_DAYS:,} days at most.", remedy="Ask for fewer days.")
    if not judgment.LEAST <= asked.sample <= judgment.MOST:
        raise SettingsError(
            f"A sample of {asked.sample:,} changes is not possible.",
            remedy=f"Ask for {judgment.LEAST} to {judgment.MOST:,}; auditors take 25 to 40.",
        )
