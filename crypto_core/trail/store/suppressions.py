"""Findings that an operator has judged and doesn't want to be told of for a while.

Kept beside the events, which are the operator's own. One has a reason and an end; what it hides is counted
and can be listed. It is about a rule and, by pattern, about subjects.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Column, Integer, Row, Table, delete, insert, select

from crypto_core.findings.finding import Finding
from crypto_core.lists.filter_language import Alternative
from crypto_core.trail.columns import moment, seconds
from crypto_core.trail.store.database import StoreFile
from crypto_core.trail.store.schema import metadata, numbers, texts
from crypto_core.values.clean_text import CleanText, clean, cleans
from crypto_core.values.errors import RefusedError
from crypto_core.values.json_records import JsonRecord, shape

MOST_DAYS = 366
"""A suppression ends after a year at the latest: nobody remembers longer why it was there."""

suppression = Table(
    "suppression",
    metadata,
    Column("id", Integer, primary_key=True),
    *texts("rule", "subject", "reason", "by"),
    *numbers("at", "until"),
)
"""`at` and `until` are in seconds since 1970, UTC."""


@dataclass(frozen=True, slots=True)
@cleans(rule=100, subject=300, reason=500, by=200)
class Suppression(JsonRecord):
    """One of them. `subject` may hold `*` for any characters; "*" alone is every subject."""

    number: int
    rule: CleanText
    subject: CleanText
    reason: CleanText
    by: CleanText
    at: datetime
    until: datetime

    def covers(self, finding: Finding) -> bool:
        if finding.rule != self.rule:
            return False
        return self.subject == finding.subject or Alternative(text=self.subject).matches(finding.subject)


@dataclass(frozen=True, slots=True)
class Suppressed(JsonRecord):
    finding: Finding
    by: Suppression

    json_shape = shape("finding suppression=by")


def sift(
    findings: Iterable[Finding], suppressions: Sequence[Suppression]
) -> tuple[tuple[Finding, ...], tuple[Suppressed, ...]]:
    told: list[Finding] = []
    hidden: list[Suppressed] = []
    for finding in findings:
        by = next((s for s in suppressions if s.covers(finding)), None)
        if by is None:
            told.append(finding)
        else:
            hidden.append(Suppressed(finding, by))
    return tuple(told), tuple(hidden)


def _read(row: Row[Any]) -> Suppression:
    return Suppression(row.id, row.rule, row.subject, row.reason, row.by, moment(row.at), moment(row.until))


class Suppressions:
    """The suppressions in one store. Raises EventStoreError."""

    def __init__(self, file: StoreFile, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._file = file
        self._clock = clock
        self._made = False

    def add(
        self,
        rule: str,
        subject: str,
        reason: str,
        days: int,
        by: str,
        record: Callable[[Suppression], None] = lambda _: None,
    ) -> Suppression:
        """Suppress a rule's findings about a subject, or a pattern of subjects, for so many days.

        `record` journals it; where it raises, nothing is suppressed. Raises RefusedError without a reason,
        for too long a time, or for a rule that has no name.
        """
        rule, reason = CleanText(clean(rule, 100).strip()), CleanText(clean(reason, 500).strip())
        subject = CleanText(clean(subject, 300).strip() or "*")
        if not rule:
            raise RefusedError("Which rule's findings?", remedy="keydeck findings names the rule of each.")
        if not reason:
            raise RefusedError("A suppression needs a reason.", remedy="Give the reason with --reason.")
        if not 1 <= days <= MOST_DAYS:
            raise RefusedError(f"A suppression lasts from 1 to {MOST_DAYS} days.", remedy="Give --days.")
        at = self._clock().replace(microsecond=0)
        until, by = at + timedelta(days=days), clean(by, 200)
        ends = {"at": seconds(at), "until": seconds(until)}
        self._make()
        with self._file.writing() as connection:
            values = insert(suppression).values(rule=rule, subject=subject, reason=reason, by=by, **ends)
            number = connection.execute(values).inserted_primary_key
            made = Suppression(int(number[0]) if number else 0, rule, subject, reason, by, at, until)
            record(made)
        return made

    def list(self, *, expired: bool = False) -> tuple[Suppression, ...]:
        """Return those that hold now, or, `expired`, all; in the order in which they were made."""
        self._make()
        statement = select(suppression).order_by(suppression.c.id)
        if not expired:
            statement = statement.where(suppression.c.until > seconds(self._clock()))
        with self._file.reading() as connection:
            return tuple(map(_read, connection.execute(statement)))

    def remove(self, number: int, record: Callable[[Suppression], None] = lambda _: None) -> None:
        """Take one back; `record` as for `add`. Raises RefusedError if there is none of this number."""
        self._make()
        with self._file.writing() as connection:
            gone = delete(suppression).where(suppression.c.id == number).returning(*suppression.c)
            row = connection.execute(gone).one_or_none()
            if row is None:
                raise RefusedError(
                    f"There is no suppression {number}.", remedy="keydeck findings suppressions lists them."
                )
            record(_read(row))

    def _make(self) -> None:
        """The table is younger than some stores."""
        if not self._made:
            with self._file.writing() as connection:
                suppression.create(connection, checkfirst=True)
            self._made = True
