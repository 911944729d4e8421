"""How far the rules have examined what came to the store, and what they said of it: each finding once.

Kept beside the events. What came is known by the order of coming, so that an event that is delivered late is
examined when it comes, whatever its date.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sqlalchemy import Column, Integer, LargeBinary, Table, delete, func, insert, select
from sqlalchemy.dialects.sqlite import insert as upsert

from crypto_core.findings.finding import Finding
from crypto_core.trail.columns import moment, seconds
from crypto_core.trail.event import UNDATED
from crypto_core.trail.store.database import StoreFile
from crypto_core.trail.store.event_ids import id_of
from crypto_core.trail.store.new_since import BEGINNING, ArrivalMark, newest
from crypto_core.trail.store.schema import event, metadata
from crypto_core.trail.term_sql import whole

_DAY = 86_400
_KEPT = timedelta(days=400)
"""So long a finding is known to have been told: longer than any trail is delivered late."""

examined = Table(
    "examined",
    metadata,
    Column("number", Integer, primary_key=True),
    Column("event_id", LargeBinary, nullable=False),
)
"""One row at most: the newest event that was examined."""

told_finding = Table(
    "told_finding",
    metadata,
    Column("digest", LargeBinary, primary_key=True),
    Column("at", Integer, nullable=False),
    sqlite_with_rowid=False,
)


receipts_judged = Table("receipts_judged", metadata, Column("until", Integer, primary_key=True))
"""One row at most: up to which second calls without a receipt were judged."""


@dataclass(frozen=True, slots=True)
class Arrived:
    """The days, in UTC, of events that came since a moment, in order; `undated` ones are of no day."""

    days: tuple[datetime, ...]
    reached: ArrivalMark
    undated: int = 0


class ExaminedArrivals:
    """The record of it in one store. Raises EventStoreError."""

    def __init__(self, file: StoreFile) -> None:
        self._file = file
        self._made = False

    def reached(self) -> ArrivalMark:
        """Return the newest event that was examined; BEGINNING before the first examination."""
        self._make()
        with self._file.reading() as connection:
            row = connection.execute(select(examined)).one_or_none()
        return BEGINNING if row is None else ArrivalMark(row.number, row.event_id)

    def arrived(self, after: ArrivalMark) -> Arrived:
        """Return the days of the events that came after one; of all where that one is gone."""
        with self._file.reading() as connection:
            last = newest(connection)
            if last is None:
                return Arrived((), BEGINNING)
            begin = after.number if id_of(connection, after.number) == after.event_id else 0
            day = whole(event.c.at, _DAY)
            counted = select(day, func.count()).where(event.c.id > begin).group_by(day).order_by(day)
            found = {int(number): int(events) for number, events in connection.execute(counted)}
        undated = found.pop(seconds(UNDATED) // _DAY, 0)
        days = tuple(moment(number * _DAY) for number in found)
        return Arrived(days, last, undated)

    def judged(self) -> datetime | None:
        """Return up to when calls without a receipt were judged; None before the first time."""
        self._make()
        with self._file.reading() as connection:
            until = connection.scalar(select(receipts_judged.c.until))
        return None if until is None else moment(until)

    def untold(self, findings: Sequence[Finding]) -> tuple[Finding, ...]:
        self._make()
        with self._file.reading() as connection:
            told = set(connection.scalars(select(told_finding.c.digest)))
        return tuple(one for one in findings if _digest(one) not in told)

    def note(
        self,
        reached: ArrivalMark,
        findings: Iterable[Finding],
        now: datetime | None = None,
        *,
        judged: datetime | None = None,
    ) -> None:
        self._make()
        at = seconds(now or datetime.now(UTC))
        rows = [{"digest": _digest(one), "at": at} for one in findings]
        with self._file.writing() as connection:
            connection.execute(delete(examined))
            if reached != BEGINNING:
                values = {"number": reached.number, "event_id": reached.event_id}
                connection.execute(insert(examined).values(**values))
            if judged is not None:
                connection.execute(delete(receipts_judged))
                connection.execute(insert(receipts_judged).values(until=seconds(judged)))
            connection.execute(delete(told_finding).where(told_finding.c.at < at - _KEPT.total_seconds()))
            if rows:
                connection.execute(upsert(told_finding).on_conflict_do_nothing(), rows)

    def _make(self) -> None:
        """The tables are younger than some stores."""
        if not self._made:
            with self._file.writing() as connection:
                for table in (examined, told_finding, receipts_judged):
                    table.create(connection, checkfirst=True)
            self._made = True


def _digest(finding: Finding) -> bytes:
    said = (finding.rule, finding.severity.value, finding.subject, finding.title, finding.evidence)
    parts = (part.encode() for part in said)
    return hashlib.sha256(b"".join(len(part).to_bytes(4, "big") + part for part in parts)).digest()
