"""What has come to the store since a look, and what the rules said of what they examined: each finding once.

What came is known by the order of coming, whatever its date: CloudTrail delivers late and out of order, so
that a look by date misses what is dated before the last look. Kept beside the events.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sqlalchemy import Column, Connection, Integer, LargeBinary, Table, delete, func, insert, select

from crypto_core.findings.finding import Finding
from crypto_core.trail.columns import moment, seconds
from crypto_core.trail.event import UNDATED
from crypto_core.trail.store.conditions import Conditions
from crypto_core.trail.store.database import StoreFile
from crypto_core.trail.store.dialect import upsert
from crypto_core.trail.store.event_places import Row, id_of, with_records
from crypto_core.trail.store.schema import event, metadata, numbers, table_by_key
from crypto_core.trail.term_sql import whole


@dataclass(frozen=True, slots=True)
class ArrivalMark:
    """How far a look got: the newest arrival then. `event_id` is as it is stored."""

    number: int = 0
    event_id: bytes = b""


BEGINNING = ArrivalMark()


def arrived(
    connection: Connection, found: Conditions, after: ArrivalMark, limit: int
) -> tuple[list[Row], ArrivalMark, bool]:
    """Return the events of a filter that came after `after`, how far that got, and whether there is more.

    Numbers are given again once the newest events are deleted: where the anchor is gone, all events count.
    """
    last = newest(connection)
    if last is None:
        return [], BEGINNING, False
    gone = after != BEGINNING and after.event_id != id_of(connection, after.number)
    conditions = [event.c.id > (0 if gone else after.number), event.c.id <= last.number, found.on(event)]
    if found.bounds.empty:
        return [], last, False
    page = (
        select(event.c.id, event.c.at)
        .where(*conditions, *found.bounds.on(event.c.at))
        .order_by(event.c.id)
        .limit(limit + 1)
        .subquery()
    )
    rows = connection.execute(with_records(page).order_by(page.c.id)).all()
    more = len(rows) > limit
    chosen = [tuple(row) for row in rows[:limit]]
    reached = ArrivalMark(chosen[-1][0], id_of(connection, chosen[-1][0]) or b"") if more else last
    return chosen, reached, more


def newest(connection: Connection) -> ArrivalMark | None:
    """Return the event that came last; None where there is none."""
    number = connection.scalar(select(func.max(event.c.id)))
    return None if number is None else ArrivalMark(number, id_of(connection, number) or b"")


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

told_finding = table_by_key("told_finding", Column("digest", LargeBinary, primary_key=True), *numbers("at"))


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
