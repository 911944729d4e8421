"""Reads every candidate column in full, once, then what has changed since.

A large table is read by ranges of its pages, each in a transaction of its own, with pauses, so that nobody
is held up. At the end, in one snapshot, only rows are read whose `xmin` is not older than the beginning:
whatever was written, moved or updated meanwhile, wherever it went. So the end says what was stored at the
snapshot's moment. Small tables, and what has no pages that can be asked for, are read at the end alone.

A row's version never leaves its place unless its table gets another file (TRUNCATE, CLUSTER, an ALTER
TABLE that rewrites it): then the table is read anew. PostgreSQL documentation, "System Columns" and "MVCC
Caveats".
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from threading import Event
from time import monotonic

from sqlalchemy import Connection, Engine, bindparam
from sqlalchemy.dialects.postgresql import ARRAY, OID

from crypto_core.database.connection.engine import connected, patient, told_apart
from crypto_core.database.qualified_sql import run_as_it_is, text
from crypto_core.database.tokens.sweep import samples
from crypto_core.database.tokens.sweep.candidates import Candidate, Relation, Spelling
from crypto_core.database.tokens.sweep.kept_sweeps import ReadingBook, TableReading
from crypto_core.values.cancellation import stop_if
from crypto_core.values.errors import DatabaseError, DatabaseTimeoutError, DatabaseUnreachableError

SMALL = 1_000_000
"""Bytes, with long values, up to which a table is read at the end alone."""
FIRST_PAGES = 128
MOST_PAGES = 8_192
CHUNK = 1_000
"""Rows looked at as one text: an expression costs more to begin than to go on with."""
SLICE_SECONDS = 1.0
"""For one range; the next is sized by it."""
REST = 0.5
"""Pause after a range, as a part of its time."""
END_SECONDS = 900
CONFIRMED = 8
"""Ranges in which a table's tokens are counted."""
_ALL_XIDS = 2**32


@dataclass(frozen=True, slots=True)
class ReadingProgress:
    """Bytes of all tables that are read by ranges; `table` is under way."""

    table: str
    done: int
    bytes: int

    @property
    def words(self) -> str:
        share = self.done / self.bytes if self.bytes else 1.0
        return f"Reading every place in full: {share:.0%} of {self.bytes / 1e6:,.0f} MB, now {self.table}"


@dataclass(slots=True)
class AtTheEnd:
    """The end of a reading, in one snapshot: what was found, and what of the database was not read.

    `late` are tables that changed their files or columns meanwhile, so that they have to be read anew;
    `changed` is how many rows of which table have changed and were read now.
    """

    found: list[tuple[Relation, Candidate, samples.Counted]] = field(default_factory=list)
    failed: list[samples.Read] = field(default_factory=list)
    late: list[str] = field(default_factory=list)
    changed: dict[str, int] = field(default_factory=dict)

    def fail(self, relation: Relation, why: str) -> None:
        """Note an unread table; without a reason it is another than it was, or gone."""
        if why:
            self.failed.append(samples.Read(relation, failure=why))
        else:
            self.late.append(relation.place)


@dataclass(frozen=True, slots=True)
class _RowsPart:
    """Rows of a table: all, or those of a condition; `only` leaves tables out that inherit from it."""

    relation: Relation
    condition: str = ""
    only: str = ""

    def rows(self, columns: Sequence[Candidate]) -> str:
        values = ", ".join(f"{samples.text_of(c, None)} AS value_{n}" for n, c in enumerate(columns))
        where = f" WHERE {self.condition}" if self.condition else ""
        return f"(SELECT {values} FROM {self.only}{self.relation.quoted}{where}) AS looked_at"  # noqa: S608

    def looked_at(self, number: int) -> str:
        columns = self.relation.columns
        values = [f"value_{n}" for n in range(len(columns))]
        hits = ", ".join(f"{samples.looks_together(value)} AS {value}" for value in values)
        numbered = (
            f"(SELECT *, row_number() OVER () / {CHUNK} AS chunk FROM {self.rows(columns)}) AS numbered"  # noqa: S608
        )
        chunks = f"(SELECT count(*) AS rows, {hits} FROM {numbered} GROUP BY chunk) AS chunks"  # noqa: S608
        found = ", ".join(f"coalesce(bool_or({value}), false)" for value in values)
        return (
            f"SELECT {number}, coalesce(sum(rows), 0)::bigint, ARRAY[{found}], "  # noqa: S608
            f"(SELECT pg_relation_filenode({self.relation.oid})) FROM {chunks}"
        )


def _range(relation: Relation, first: int, end: int) -> _RowsPart:
    return _RowsPart(relation, _pages(first, end), "ONLY ")


def _pages(first: int, end: int) -> str:
    return f"ctid >= '({first},0)'::tid AND ctid < '({end},0)'::tid"


@dataclass(eq=False)
class FullReader:
    """For one thread; blocks on SQL, raises InterruptedRunError if cancelled."""

    engine: Engine
    book: ReadingBook
    cancelled: Event | None = None
    progress: Callable[[ReadingProgress], None] = lambda _: None
    _failed: dict[int, str] = field(default_factory=dict)

    def read_ranges(self, relations: Sequence[Relation]) -> None:
        with connected(self.engine, cancelled=self.cancelled) as connection:
            self.book.open(connection)
            states = _states(connection, relations)
        large = [r for r in relations if r.oid in states and states[r.oid].by_ranges]
        for relation in large:
            self._begin(relation, states[relation.oid])
        pages = {r.oid: max(1, self.book.tables[r.oid].end) for r in large}
        whole = sum(states[r.oid].bytes for r in large)
        before = 0
        for relation in large:
            reading, size = self.book.tables[relation.oid], states[relation.oid].bytes
            for page in self._read_rest(relation, reading):
                done = before + size * min(page, reading.end) // pages[relation.oid]
                self.progress(ReadingProgress(relation.place, done, whole))
            before += size

    def _begin(self, relation: Relation, state: _State) -> None:
        known = self.book.tables.get(relation.oid)
        if known is None or not state.continues(relation, known):
            self.book.tables[relation.oid] = state.begun(relation)

    def _read_rest(self, relation: Relation, reading: TableReading) -> Iterator[int]:
        """Read range after range, and give the page reached; a table that changes its file is left."""
        pages = FIRST_PAGES
        while not reading.done:
            stop_if(self.cancelled)
            end, began = min(reading.page + pages, reading.end), monotonic()
            try:
                with connected(self.engine, cancelled=self.cancelled) as connection:
                    statement = _range(relation, reading.page, end).looked_at(0)
                    ((_, rows, hits, file),) = run_as_it_is(connection, samples.with_patterns(statement))
            except DatabaseUnreachableError:
                raise
            except DatabaseTimeoutError as error:
                if pages == 1:
                    self._failed[relation.oid] = samples.why_unread(error)
                    return
                pages = max(1, pages // 4)
                continue
            except DatabaseError as error:
                self._failed[relation.oid] = samples.why_unread(error)
                return
            if file != reading.file:
                return
            reading.rows += rows
            if any(hits):
                reading.holding.append((reading.page, end))
            reading.page = end
            took = monotonic() - began
            self.book.keep()
            yield end
            pages = max(1, min(MOST_PAGES, 4 * pages, int(pages * SLICE_SECONDS / max(took, 0.001))))
            if not reading.done:
                (self.cancelled or Event()).wait(took * REST)

    def read_end(self, connection: Connection, relations: Sequence[Relation]) -> AtTheEnd:
        """Read in the one snapshot of `connection` all that is not known to be read. Raises DatabaseError."""
        end = AtTheEnd()
        states = _states(connection, relations)
        now = _Snapshot(*connection.execute(_SNAPSHOT).one())
        whole: list[_RowsPart] = []
        since: list[_RowsPart] = []
        with patient(connection, END_SECONDS):
            for relation in relations:
                state, reading = states.get(relation.oid), self.book.tables.get(relation.oid)
                if state is None:
                    end.late.append(relation.place)
                elif not state.by_ranges:
                    whole.append(_RowsPart(relation, only="" if relation.kind in "fp" else "ONLY "))
                elif reading is None or not state.continues(relation, reading):
                    end.late.append(relation.place)
                elif not reading.done:
                    end.fail(relation, self._failed.pop(relation.oid, ""))
                else:
                    self._confirm(connection, relation, reading, end)
                    # What stands there has been counted.
                    besides = reading.holding if len(reading.holding) <= CONFIRMED else []
                    written = (now.written_since(reading.since), *(f"NOT ({_pages(*r)})" for r in besides))
                    since.append(_RowsPart(relation, " AND ".join(written), "ONLY "))
            for part, _, hits in self._looks(connection, whole, end):
                self._count(connection, part, hits, end)
            for part, rows, hits in self._looks(connection, since, end):
                if rows:
                    end.changed[part.relation.place] = rows
                if hits:
                    self._count(connection, part, hits, end)
                else:
                    # What was read now need not be read again; with tokens in it, it is.
                    self.book.tables[part.relation.oid].since = now.xmin
            end.late += connection.scalars(_MOVED)
        self.book.keep()
        return end

    def _confirm(
        self, connection: Connection, relation: Relation, reading: TableReading, end: AtTheEnd
    ) -> None:
        """Read ranges that held tokens again: they may be gone by now."""
        confirmed: dict[Candidate, int] = {}
        before = len(end.found)
        for number, held in enumerate(tuple(reading.holding)):
            if number == CONFIRMED:
                # There are more of them: it is said of how many rows this is the number.
                return
            part = _range(relation, *held)
            for _, _, hits in self._looks(connection, [part], end):
                if hits:
                    self._count(connection, part, hits, end)
                else:
                    reading.holding.remove(held)
        for _, column, counted in end.found[before:]:
            confirmed[column] = confirmed.get(column, 0) + counted.rows
        for column, rows in confirmed.items():
            end.found.append((relation, column, samples.Counted(max(0, reading.rows - rows), {}, 0, 0)))

    def _looks(
        self, connection: Connection, parts: Sequence[_RowsPart], end: AtTheEnd
    ) -> Iterator[tuple[_RowsPart, int, list[Candidate]]]:
        for first in range(0, len(parts), samples.TOGETHER):
            yield from self._look(connection, parts[first : first + samples.TOGETHER], end)

    def _look(
        self, connection: Connection, parts: Sequence[_RowsPart], end: AtTheEnd
    ) -> Iterator[tuple[_RowsPart, int, list[Candidate]]]:
        stop_if(self.cancelled)
        statement = " UNION ALL ".join(part.looked_at(number) for number, part in enumerate(parts))
        try:
            with told_apart(), connection.begin_nested():
                rows = run_as_it_is(connection, samples.with_patterns(statement))
        except DatabaseUnreachableError:
            raise
        except DatabaseError as error:
            if len(parts) == 1:
                end.fail(parts[0].relation, samples.why_unread(error))
                return
            for part in (parts[: len(parts) // 2], parts[len(parts) // 2 :]):
                yield from self._look(connection, part, end)
            return
        for number, count, hits, _ in rows:
            columns = parts[number].relation.columns
            yield parts[number], count, [c for c, hit in zip(columns, hits, strict=True) if hit]

    def _count(
        self, connection: Connection, part: _RowsPart, columns: Sequence[Candidate], end: AtTheEnd
    ) -> None:
        for column in columns:
            statement = f"SELECT count(*), {samples.kind_counts(column)} FROM {part.rows((column,))}"  # noqa: S608
            try:
                with told_apart(), connection.begin_nested():
                    (row,) = run_as_it_is(connection, samples.with_patterns(statement))
                counted = samples.Counted.of(row)
            except DatabaseUnreachableError:
                raise
            except DatabaseError:
                # Without numbers: it holds tokens.
                counted = samples.Counted(0, {}, 0, 0)
            end.found.append((part.relation, column, counted))


@dataclass(frozen=True, slots=True)
class _Snapshot:
    """As ids of 64 bits: everything before `xmin` has ended, nothing from `xmax` on."""

    xmin: int
    xmax: int

    def written_since(self, xid: int) -> str:
        """Return a condition that is true of rows written by transactions from this one on, at least of them.

        A row's own id has 32 bits. How far it is behind the snapshot's end says as much, whether the row is
        frozen or not; one of an age of whole rounds more is read once too often.
        """
        behind, most = f"(({self.xmax % _ALL_XIDS} - xmin::text::bigint) & {_ALL_XIDS - 1})", self.xmax - xid
        return f"{behind} <= {most}" if most < _ALL_XIDS else "true"


@dataclass(frozen=True, slots=True)
class _State:
    file: int
    shape: str
    pages: int
    bytes: int
    by_ranges: bool
    xmin: int

    def begun(self, relation: Relation) -> TableReading:
        names = [column.name for column in relation.columns]
        return TableReading(self.file, self.shape, names, self.xmin, self.pages)

    def continues(self, relation: Relation, reading: TableReading) -> bool:
        """True if what was read of the table by then still stands where it stood."""
        names = {column.name for column in relation.columns}
        return (self.file, self.shape) == (reading.file, reading.shape) and names <= set(reading.columns)


def _states(connection: Connection, relations: Sequence[Relation]) -> dict[int, _State]:
    rows = connection.execute(_STATES, {"oids": [r.oid for r in relations], "small": SMALL})
    return {
        row.oid: _State(row.file or 0, row.shape, row.pages, row.bytes, row.by_ranges, row.xmin)
        for row in rows
    }


def look_rules() -> str:
    """Return the SQL by which values are looked at: other rules begin a new reading."""
    columns = (Candidate("", "c", "", spelling, readable=True) for spelling in Spelling)
    return " ".join(
        (samples.looks_together("value_0"), *(samples.text_of(column, None) for column in columns))
    )


_STATES = text(
    """
    SELECT CAST(c.oid AS bigint) AS oid, CAST(pg_relation_filenode(c.oid) AS bigint) AS file,
           (SELECT md5(string_agg(concat_ws('.', a.attnum, CAST(a.xmin AS text), d.oid, CAST(d.xmin AS text)),
                                  ' ' ORDER BY a.attnum))
            FROM pg_attribute a LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
            WHERE a.attrelid = c.oid AND a.attnum > 0) AS shape,
           coalesce(pg_relation_size(c.oid), 0) / CAST(current_setting('block_size') AS bigint) AS pages,
           coalesce(pg_table_size(c.oid), 0) AS bytes,
           c.relkind IN ('r', 'm') AND coalesce(pg_table_size(c.oid), 0) > :small
               AND has_table_privilege(c.oid, 'SELECT')
               AND (SELECT m.amname = 'heap' FROM pg_am m WHERE m.oid = c.relam)
               AND CAST(current_setting('server_version_num') AS integer) >= 140000 AS by_ranges,
           CAST(CAST(pg_snapshot_xmin(pg_current_snapshot()) AS text) AS bigint) AS xmin
    FROM pg_class c WHERE c.oid = ANY (:oids)
    """
).bindparams(bindparam("oids", type_=ARRAY(OID)))
"""By ranges of pages: what is large, has them, and shows them to the role. The shape is of the columns' rows
in the catalogue: a column that is added with a default has values in rows that nobody wrote."""

_SNAPSHOT = text(
    """
    SELECT CAST(CAST(pg_snapshot_xmin(s) AS text) AS bigint),
           CAST(CAST(pg_snapshot_xmax(s) AS text) AS bigint)
    FROM pg_current_snapshot() AS s
    """
)

_MOVED = text(
    """
    SELECT format('%s.%s', n.nspname, c.relname)
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'm') AND c.relpersistence <> 't' AND c.oid >= 16384
          AND c.relfilenode <> 0 AND c.relfilenode IS DISTINCT FROM CAST(pg_relation_filenode(c.oid) AS oid)
          AND n.nspname !~ '^pg_'
    ORDER BY 1
    """
)
"""Tables that have got another file, or are gone, since the snapshot was taken: to it they may look empty.

The catalogue's rows are the snapshot's, the function's answer is of now."""
