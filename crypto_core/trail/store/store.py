"""The store: events in, pages, counts, histograms and pivots out; what an operator noted on an event."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime, timedelta
from operator import attrgetter
from pathlib import Path
from threading import Event, Lock
from typing import Any

from sqlalchemy import Column, Connection, LargeBinary, delete, func, not_, select

from crypto_core.aws.receipts.receipt import LostReceipts, Receipt
from crypto_core.lists.paging import Cursor, Page, Query, unknown_sort
from crypto_core.trail.columns import DAY, HOUR, EventProperty, moment, seconds, stored_id
from crypto_core.trail.event import TrailEvent
from crypto_core.trail.event_columns import Prepared, prepare
from crypto_core.trail.event_fields import DETAILS, PIVOTS, ROLLED
from crypto_core.trail.own_calls import without_own
from crypto_core.trail.query import Aliases, parse
from crypto_core.trail.seen_file import FileName, SeenFile
from crypto_core.trail.store import arrivals, counts, receipt_questions, statistics
from crypto_core.trail.store.arrivals import BEGINNING, ArrivalMark
from crypto_core.trail.store.conditions import Conditions, resolve
from crypto_core.trail.store.counts import Histogram, Pivot
from crypto_core.trail.store.database import StoreFile
from crypto_core.trail.store.dialect import upsert
from crypto_core.trail.store.event_places import (
    Row,
    blocks_of,
    event_of,
    forget_records,
    numbers_of,
    with_records,
)
from crypto_core.trail.store.event_writer import Added, EventWriter, forget_twins
from crypto_core.trail.store.hourly_counts import count_all
from crypto_core.trail.store.pages import read_page
from crypto_core.trail.store.pulls import forget_pulls_before
from crypto_core.trail.store.receipt_questions import OpenedSubjects, ReceiptExtent, ReceiptOfEvent
from crypto_core.trail.store.receipt_tables import receipt_reached
from crypto_core.trail.store.receipt_writer import AddedReceipts, forget_receipts_before
from crypto_core.trail.store.request_id_proof import confirmed
from crypto_core.trail.store.schema import (
    COLUMNS,
    chunks,
    daily,
    event,
    identity,
    keeping,
    note,
    numbers,
    presence,
    profile,
    rollup,
    table_by_key,
    term,
)
from crypto_core.trail.store.schema import insert as insert_many
from crypto_core.trail.store.statistics import GroupsQuestion
from crypto_core.trail.store.tallies import Day, Tallies, days_of
from crypto_core.trail.store.vocabulary import changed
from crypto_core.values.clean_text import NO_TEXT, CleanText, clean
from crypto_core.values.errors import EventVanishedError
from crypto_core.values.json_records import JsonRecord, shape

_COLUMNS = tuple(field.name for field in fields(SeenFile))

file_seen = table_by_key("file_seen", Column("path", LargeBinary, primary_key=True), *numbers(*_COLUMNS[1:]))


def remember(connection: Connection, files: Sequence[SeenFile]) -> None:
    changes = ", ".join(f"{name} = excluded.{name}" for name in _COLUMNS[1:])
    once = {file.path: file for file in files}
    rows = list(map(attrgetter(*_COLUMNS), once.values()))
    insert_many(connection, "file_seen", _COLUMNS, rows, f"ON CONFLICT DO UPDATE SET {changes}")


def recall(connection: Connection, paths: Sequence[FileName]) -> dict[FileName, SeenFile]:
    found: dict[FileName, SeenFile] = {}
    for some in chunks(paths):
        places = ", ".join("?" * len(some))
        asked = f"SELECT {', '.join(_COLUMNS)} FROM file_seen WHERE path IN ({places})"  # noqa: S608
        found |= {row[0]: SeenFile(*row) for row in connection.exec_driver_sql(asked, tuple(some))}
    return found


def any_file(connection: Connection) -> bool:
    return bool(connection.exec_driver_sql("SELECT EXISTS (SELECT 1 FROM file_seen)").scalar())


@dataclass(frozen=True, slots=True)
class Vacuumed:
    """How many events were forgotten, and the store's size before and after, in bytes."""

    forgotten: int
    bytes_before: int
    bytes_after: int


def forget_before(connection: Connection, at: int) -> int:
    """Forget the events before a second, and receipts as old; return how many events.

    What has a note or a review stays, as do its counts and its receipts.
    """
    old = (event.c.at < at, event.c.id.not_in(select(note.c.id)))
    blocks = blocks_of(connection, event.c.id, *old)
    gone = connection.execute(delete(event).where(*old)).rowcount
    forget_records(connection, blocks)
    forget_twins(connection)
    forget_receipts_before(connection, at)
    forget_pulls_before(connection, at)
    gone_ids = identity.c.event.not_in(select(event.c.id))
    connection.execute(delete(identity).where(identity.c.day <= at // DAY, gone_ids))
    connection.execute(delete(rollup).where(rollup.c.hour <= at // HOUR))
    connection.execute(delete(daily).where(daily.c.day <= at // DAY))
    connection.execute(delete(presence).where(presence.c.hour <= at // HOUR))
    # Both halves of the hour that is cut are counted anew, and so is its day.
    count_all(connection, until=at // HOUR)
    connection.execute(delete(profile).where(profile.c.id.not_in(select(rollup.c.profile))))
    for name, kind in (ROLLED | DETAILS).items():
        used = select(COLUMNS[name]).distinct()
        connection.execute(delete(term).where(term.c.kind == kind, not_(term.c.id.in_(used))))
    changed(connection, forgotten=True)
    return int(gone)


AT_ONCE = 10_000
_EVERY = 10_000_000
"""More days than there are."""


@dataclass(frozen=True, slots=True)
class StoredEvent(JsonRecord):
    """An event by its number in the store, in the order of coming, with what an operator noted on it."""

    event: TrailEvent
    number: int
    reviewed_at: datetime | None = None
    note: CleanText = NO_TEXT
    noted_by: CleanText = NO_TEXT
    noted_at: datetime | None = None
    receipts: tuple[ReceiptOfEvent, ...] = ()
    """Told of an event that is asked for by its id."""

    json_shape = shape("*event reviewed=reviewed_at note?")


@dataclass(frozen=True, slots=True)
class Summary:
    """What a filter lets through, and what it would without its `-service`, or without its `-own`."""

    events: int
    hidden_service_events: int
    first: datetime | None
    last: datetime | None
    hidden_own_events: int = 0


@dataclass(frozen=True, slots=True)
class Arrivals:
    """Events in the order in which they came, how far that goes, and whether there are more by now."""

    events: tuple[StoredEvent, ...]
    reached: ArrivalMark
    more: bool = False


class EventStore:
    """A PagedSource of StoredEvent, and all else that is asked of events. Thread-safe; every call may block.

    Raises EventStoreError where the file can't be used, InvalidFilterError for a filter that can't be read,
    and InterruptedRunError once `cancelled` is set.
    """

    def __init__(
        self,
        path: Path,
        *,
        aliases: Aliases = dict,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        read_only: bool = False,
        told: Callable[[str], None] | None = None,
    ) -> None:
        """`aliases` are those of KMS keys, as far as they are known by now. See StoreFile for the rest."""
        self.file = StoreFile(path, read_only=read_only, told=told)
        """Where also what is kept beside the events is."""
        self._aliases = aliases
        self._clock = clock
        self._writer = EventWriter()
        self._adding = Lock()

    def close(self) -> None:
        """Close the file; it is opened again when it is needed."""
        self.file.close()

    # In

    def add(self, events: Sequence[TrailEvent], files: Sequence[SeenFile] = ()) -> Added:
        """Store events that are not there yet and note `files` as read with the last; all or nothing."""
        total = Added()
        for start in range(0, max(len(events), min(len(files), 1)), AT_ONCE):
            some = prepare(events[start : start + AT_ONCE])
            total += self.add_prepared([some], files if start + AT_ONCE >= len(events) else ())
        return total

    def add_prepared(self, batches: Sequence[Prepared], files: Sequence[SeenFile] = ()) -> Added:
        """Store events that are prepared, as `add` does; all or nothing of these batches."""
        total = Added()
        with self._adding:
            try:
                with self.file.writing() as connection:
                    for prepared in batches:
                        total += self._writer.add(connection, prepared)
                    remember(connection, files)
            except BaseException:  # raised again: the numbers were undone with the transaction
                self._writer.forget()
                raise
        return total

    def add_receipts(self, receipts: Sequence[Receipt | LostReceipts], *, writer: str = "") -> AddedReceipts:
        """Store a writer's receipts, each once, AT_ONCE at a time, and mark the calls that they explain."""
        total = AddedReceipts()
        with self._adding:
            for some in chunks(receipts, AT_ONCE):
                try:
                    with self.file.writing() as connection:
                        total += self._writer.add_receipts(connection, some, writer)
                except BaseException:  # raised again: the numbers were undone with the transaction
                    self._writer.forget()
                    raise
        return total

    def imported(self) -> bool:
        """Return whether any file was imported: what such files hold, anybody may have made."""
        with self.file.reading() as connection:
            return any_file(connection)

    def seen(self, paths: Sequence[FileName]) -> dict[FileName, SeenFile]:
        with self.file.reading() as connection:
            return recall(connection, paths)

    # Out

    def page(
        self,
        query: Query,
        start: Cursor | None = None,
        *,
        backwards: bool = False,
        inclusive: bool = False,
        limit: int = 200,
        cancelled: Event | None = None,
    ) -> Page[StoredEvent]:
        """Return a page as PagedSource says, in the order of time; in a tie, of coming to the store."""
        if query.sort not in ("", "time"):
            raise unknown_sort(query.sort, ("time",))
        newest_first = query.descending is not backwards
        with self._asking(query.filter, cancelled) as (connection, found):
            rows = read_page(
                connection, found, start, newest_first=newest_first, inclusive=inclusive, limit=limit + 1
            )
            further = len(rows) > limit
            rows = rows[:limit]
            behind = start is not None and bool(
                # Where the page is empty, what the other side has begins with the start's own row.
                read_page(
                    connection,
                    found,
                    _cursor(rows[0]) if rows else start,
                    newest_first=not newest_first,
                    inclusive=not rows,
                    limit=1,
                )
            )
        if backwards:
            rows.reverse()
        return Page(
            tuple(_stored(row) for row in rows),
            _cursor(rows[0]) if rows else None,
            _cursor(rows[-1]) if rows else None,
            above=further if backwards else behind,
            below=behind if backwards else further,
        )

    def count(self, query: Query, *, cancelled: Event | None = None) -> int:
        with self._asking(query.filter, cancelled) as asked:
            return counts.count(*asked)

    def summary(self, expression: str, *, cancelled: Event | None = None) -> Summary:
        with self._asking(expression, cancelled) as (connection, found):
            ends = counts.extent(connection, found)
            shown = ends[0] if ends else 0
            terms = tuple(t for t in found.terms if not (t.mark is EventProperty.SERVICE and t.negated))
            hidden = 0
            if len(terms) != len(found.terms):
                hidden = counts.count(connection, replace(found, terms=terms)) - shown
            clauses = parse(expression, self._clock())
            rest = without_own(clauses)
            with_own = resolve(connection, rest, self._aliases)
            own = counts.count(connection, with_own) - shown if rest != clauses else 0
        first, last = map(moment, ends[1:]) if ends else (None, None)
        return Summary(shown, hidden, first, last, own)

    def histogram(
        self, expression: str = "", *, bars: int = 60, cancelled: Event | None = None
    ) -> Histogram | None:
        with self._asking(expression, cancelled) as asked:
            return counts.histogram(*asked, bars)

    def pivot(
        self, field: str, expression: str = "", *, limit: int = 100, cancelled: Event | None = None
    ) -> Pivot:
        """Return the most common values of one of PIVOTS, of session or access_key, with their events."""
        if field not in (*PIVOTS, "session", "access_key"):
            raise unknown_sort(field, PIVOTS)
        with self._asking(expression, cancelled) as asked:
            return counts.pivot(*asked, field, limit)

    def tally(
        self, fields: Sequence[str], expression: str = "", *, limit: int = 100, cancelled: Event | None = None
    ) -> Tallies:
        """Return a filter's events by some of statistics.FIELDS together."""
        return self.groups(GroupsQuestion(tuple(fields), limit=limit), expression, cancelled=cancelled)

    def groups(
        self, question: GroupsQuestion, expression: str = "", *, cancelled: Event | None = None
    ) -> Tallies:
        with self._asking(expression, cancelled) as asked:
            return statistics.tally(*asked, question)

    def receipts(self) -> ReceiptExtent | None:
        with self.file.reading() as connection:
            return receipt_questions.extent(connection)

    def request_ids_confirmed(self) -> dict[str, datetime]:
        """Return in which accounts KMS's request id was seen to be CloudTrail's requestID, and when."""
        return confirmed(self.file)

    def receipts_reached(self, source: str) -> str:
        """Return how far the receipts of a source were taken in, "" where none was."""
        with self.file.reading() as connection:
            asked = select(receipt_reached.c.position).where(receipt_reached.c.source == source)
            return connection.scalar(asked) or ""

    def note_receipts_reached(self, source: str, position: str, until: datetime) -> None:
        """Note it, and up to when all receipts of the source were taken in; never less than before."""
        at = seconds(until)
        with self.file.writing() as connection:
            noted = upsert(receipt_reached).values(source=source, position=position, until=at)
            latest = func.max(receipt_reached.c.until, at)
            connection.execute(
                noted.on_conflict_do_update(["source"], set_={"position": position, "until": latest})
            )

    def receipt_subjects(
        self, expression: str, *, limit: int = 100, values_only: bool = False, cancelled: Event | None = None
    ) -> OpenedSubjects:
        """Return what receipts say a filter's events are about; `values_only`, those that name no token."""
        with self._asking(expression, cancelled) as asked:
            return receipt_questions.subjects(*asked, limit, values_only=values_only)

    def by_day(self, expression: str = "", *, cancelled: Event | None = None) -> tuple[Day, ...]:
        return days_of(self.tally(("day",), expression, limit=_EVERY, cancelled=cancelled))

    def arrivals(
        self,
        expression: str = "",
        after: ArrivalMark = BEGINNING,
        *,
        limit: int = 500,
        cancelled: Event | None = None,
    ) -> Arrivals:
        """Return what came to the store after `after`, by order of coming, whatever its date."""
        with self._asking(expression, cancelled) as (connection, found):
            rows, reached, more = arrivals.arrived(connection, found, after, limit)
        return Arrivals(tuple(_stored(row) for row in rows), reached, more)

    def event(self, event_id: str) -> StoredEvent:
        """Return one event. Raises EventVanishedError."""
        with self.file.reading() as connection:
            numbers = numbers_of(connection, [stored_id(event_id)])[:1]
            named = select(event.c.id, event.c.at).where(event.c.id.in_(numbers))
            row = connection.execute(with_records(named.subquery())).one_or_none()
            if row is None:
                raise EventVanishedError(f"There is no event {clean(event_id, 80)!r} in the store.")
            told = receipt_questions.receipts_of(connection, numbers[0])
        return replace(_stored(tuple(row)), receipts=told)

    def state(self) -> tuple[int, int]:
        """Return two numbers of which one changes with whatever is added, noted or forgotten. Quick."""
        with self.file.reading() as connection:
            row = connection.execute(select(keeping.c.changes, keeping.c.forgotten)).one()
        return int(row[0]), int(row[1])

    # What an operator notes

    def review(self, event_ids: Sequence[str], by: str, *, reviewed: bool = True) -> int:
        """Mark events as reviewed, or no longer so; return how many there are of them."""
        at = seconds(self._clock()) if reviewed else 0
        return self._note(event_ids, {"reviewed_at": at, "by": clean(by, 200)})

    def annotate(self, event_id: str, text: str, by: str) -> None:
        """Write a note on an event; "" takes it away. Raises EventVanishedError."""
        values = {"text": clean(text, 2_000), "by": clean(by, 200), "at": seconds(self._clock())}
        if not self._note([event_id], values):
            raise EventVanishedError(f"There is no event {clean(event_id, 80)!r} in the store.")

    def _note(self, event_ids: Sequence[str], values: Mapping[str, Any]) -> int:
        done = 0
        with self.file.writing() as connection:
            for number in numbers_of(connection, list(map(stored_id, event_ids))):
                statement = upsert(note).values(id=number, **values)
                connection.execute(statement.on_conflict_do_update(index_elements=["id"], set_=values))
                done += 1
            connection.execute(delete(note).where(note.c.reviewed_at == 0, note.c.text == ""))
            changed(connection)
        return done

    # Keeping it small

    def forget_before(self, days: int) -> Vacuumed:
        """Forget events older than so many days (0: none), unless noted, and give the space back."""
        before = self.file.bytes
        forgotten = 0
        with self._adding:
            if days:
                limit = seconds(self._clock() - timedelta(days=days))
                with self.file.writing() as connection:
                    forgotten = forget_before(connection, limit)
            self.file.shrink()
        return Vacuumed(forgotten, before, self.file.bytes)

    @contextmanager
    def _asking(self, expression: str, cancelled: Event | None) -> Iterator[tuple[Connection, Conditions]]:
        with self.file.reading(cancelled) as connection:
            yield connection, resolve(connection, parse(expression, self._clock()), self._aliases)


def _cursor(row: Row) -> Cursor:
    return Cursor((row[1], row[0]))


def _stored(row: Row) -> StoredEvent:
    number, _, _, _, reviewed_at, text, by, noted_at = row
    return StoredEvent(
        event_of(row),
        number,
        reviewed_at=moment(reviewed_at) if reviewed_at else None,
        note=clean(text, 2_000),
        noted_by=clean(by, 200),
        noted_at=moment(noted_at) if noted_at else None,
    )
