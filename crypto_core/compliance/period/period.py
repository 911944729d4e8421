"""What a period came to: days, controls, lapses, and the full populations of what an auditor samples."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import StrEnum
from itertools import groupby

from crypto_core.compliance.answer import ControlStatus
from crypto_core.compliance.control import Exemption, FrameworkControl
from crypto_core.compliance.facts import ChangeFact, FactKind, IncidentFact, PartFacts, ReviewFact, UseFact
from crypto_core.compliance.records.record import EvidenceRecord
from crypto_core.compliance.snapshot import Lack, MissingPart, SnapshotPart
from crypto_core.values.clean_text import NO_TEXT, CleanText, clean, cleans
from crypto_core.values.json_records import JsonRecord, made, shape

_OF_CHANGE = ("kind", "source", "id", "at", "what", "subject", "who", "outcome")
"""What a document has of a change, and where to look it up."""


class LapseSource(StrEnum):
    RECORDS = "records"
    EVENTS = "CloudTrail"
    """By events alone: it began and ended between two records."""


@dataclass(frozen=True, slots=True)
class ControlDay:
    """What a control came to on a day: the worst of its records. `status` is None on a day without one.

    A lapse that events alone tell of counts, too: no record need have seen it.
    """

    day: date
    status: ControlStatus | None
    record: int = 0
    excepted: bool = False
    by_events: bool = False
    """Whether it is not met by events alone."""


@dataclass(frozen=True, slots=True)
class StatusSpan(JsonRecord):
    """Days in a row with one status; None is a gap. Both days belong to it."""

    status: ControlStatus | None
    first: date
    last: date


def spans_of(days: Iterable[ControlDay]) -> tuple[StatusSpan, ...]:
    rows = (
        (status, [one.day for one in found]) for status, found in groupby(days, key=lambda one: one.status)
    )
    return tuple(StatusSpan(status, row[0], row[-1]) for status, row in rows)


def runs_of(days: Iterable[date]) -> list[tuple[date, date]]:
    """Return days as runs of days that follow one another: the first and the last of each."""
    runs: list[tuple[date, date]] = []
    for day in sorted(set(days)):
        if runs and day - runs[-1][1] == timedelta(days=1):
            runs[-1] = runs[-1][0], day
        else:
            runs.append((day, day))
    return runs


@dataclass(frozen=True, slots=True)
class ControlPeriod(JsonRecord):
    """One control over the period, a day each, in order."""

    control: FrameworkControl
    days: tuple[ControlDay, ...]
    spans: tuple[StatusSpan, ...]
    exemptions: tuple[Exemption, ...] = ()

    json_shape = shape(
        "control=control.id framework=control.framework.id standard=control.framework.title "
        "edition=control.framework.edition number=control.number title=control.title "
        "question=control.question owner=control.owner? worst last spans by_events excepted "
        "exceptions=exemptions",
        last=made(ControlStatus | None, lambda one: one.days[-1].status if one.days else None),
        by_events=made(tuple[date, ...], lambda one: [day.day for day in one.days if day.by_events]),
        excepted=made(tuple[date, ...], lambda one: [day.day for day in one.days if day.excepted]),
    )

    def count(self, status: ControlStatus | None) -> int:
        """Return on how many days it had a status; None counts days without a record."""
        return sum(one.status is status for one in self.days)

    @property
    def worst(self) -> ControlStatus | None:
        """The worst status of any day with a record; None where no day has one."""
        return min((one.status for one in self.days if one.status), key=lambda s: s.rank, default=None)


@dataclass(frozen=True, slots=True)
@cleans(600)
class Lapse(JsonRecord):
    """Something was not met for a while: one cause, however many tests and controls tell of it.

    It is known to have been so from `first_at` to `last_at`; before `after` and from `before` on it was not.
    """

    cause: CleanText
    """The same for the same cause on every day, such as a rule and its subject."""
    what: CleanText
    """What was wrong, as a sentence, at its worst."""
    source: LapseSource
    first_at: datetime
    last_at: datetime
    after: datetime | None
    """The last moment at which it is known not to have been so; None where it was so from the beginning."""
    before: datetime | None
    """The first moment at which it is known to be over; None where it isn't over."""
    ended_by: CleanText
    """What ended it, such as a change and who made it; "" where nothing tells."""
    tests: tuple[CleanText, ...]
    controls: tuple[FrameworkControl, ...]
    """The controls that were not met for it, of the frameworks that were asked for."""
    changes: tuple[ChangeFact, ...] = ()
    """The changes that began and ended it, as far as they are known."""
    records: tuple[int, ...] = ()
    """The numbers of the records that show it."""
    began_by: CleanText = NO_TEXT
    """What began it; "" where nothing tells."""
    remarks: tuple[CleanText, ...] = ()
    """What else is to be known of it, such as days of which nothing is known."""
    exemptions: tuple[Exemption, ...] = ()
    excepted: bool = False
    """Whether all of its controls were excepted for all of its time."""

    json_shape = shape(
        "cause what source first_at last_at after before over began_by? ended_by? excepted tests controls "
        "changes records remarks exceptions=exemptions",
        controls=lambda lapse: [
            {"control": one.id, "framework": one.framework.id, "number": one.number, "title": one.title}
            for one in lapse.controls
        ],
        changes=lambda lapse: [{name: getattr(one, name) for name in _OF_CHANGE} for one in lapse.changes],
    )

    @property
    def over(self) -> bool:
        return self.before is not None


@dataclass(frozen=True, slots=True)
@cleans(600)
class AuditPeriod(JsonRecord):
    """All that is known of a period: both days belong to it. `framework` is "" for all of them."""

    since: date
    until: date
    framework: CleanText
    made_at: datetime
    records: tuple[EvidenceRecord, ...]
    gaps: tuple[date, ...]
    controls: tuple[ControlPeriod, ...]
    lapses: tuple[Lapse, ...]
    changes: tuple[ChangeFact, ...]
    """The full population, in the order of time, each change once."""
    sample: tuple[ChangeFact, ...]
    """Drawn from it with `seed`: the same for the same population and seed."""
    seed: CleanText
    uses: tuple[UseFact, ...]
    reviews: tuple[ReviewFact, ...]
    incidents: tuple[IncidentFact, ...]
    drills: tuple[datetime, ...]
    """When a restore was tried, in the order of time."""
    problems: tuple[CleanText, ...] = ()
    """What is wrong with the records themselves: a broken chain, a signature that does not fit."""
    unknown: tuple[CleanText, ...] = ()
    """What the period can't tell, and why."""
    exemptions: Sequence[Exemption] = ()
    unchecked: CleanText = NO_TEXT
    """Why signatures could not be checked, "" where they were."""
    unsigned: tuple[int, ...] = ()
    explained: tuple[Lapse, ...] = ()
    """What events tell of that an operation of Keydeck's, on record, explains: no lapses."""
    unreviewed: tuple[UseFact, ...] = ()
    """Uses of keys that no review has looked at since."""

    json_shape = shape(
        "since until framework? made_at records gaps lapses explained population problems unchecked? unknown",
        records=lambda period: [
            {
                "number": one.number,
                "taken_at": one.taken_at,
                "sha256": one.digest,
                "signed": bool(one.signature),
            }
            for one in period.records
        ],
    )

    @property
    def days(self) -> tuple[date, ...]:
        """Its days, in order; those after `made_at` are left out, and the last one until it has a record."""
        return tuple(one.day for one in self.controls[0].days) if self.controls else ()

    @property
    def population(self) -> dict[FactKind, int]:
        numbers = Counter(change.kind for change in self.changes)
        return {kind: numbers[kind] for kind in FactKind}

    @property
    def fails(self) -> bool:
        """True if there is a lapse that nobody excepted."""
        return any(not lapse.excepted for lapse in self.lapses)

    def newest(self, part: SnapshotPart) -> PartFacts | MissingPart:
        """Return a part by the last record, or why it is missing; an older one stands in for nothing."""
        if not self.records:
            return MissingPart(Lack.NOTHING, clean("there is no record in the period"))
        return self.records[-1].snapshot.part(part)
