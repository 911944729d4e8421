"""The sweep: shows, as far as the role can see, whether other places than the declared hold tokens."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import islice
from pathlib import Path
from threading import Event, Lock
from time import monotonic
from typing import Any

from sqlalchemy import Connection, Engine, bindparam
from sqlalchemy.dialects.postgresql import ARRAY, OID

from crypto_core.database.connection.engine import connected, schemas_on_own_path
from crypto_core.database.dialect import place_oid
from crypto_core.database.qualified_sql import text
from crypto_core.database.tokens.catalogue import LiveCatalogue
from crypto_core.database.tokens.placed_tables import placed_tables
from crypto_core.database.tokens.sweep.candidates import (
    NAMED,
    Candidate,
    Candidates,
    Relation,
    read_candidates,
)
from crypto_core.database.tokens.sweep.full_read import AtTheEnd, FullReader, ReadingProgress, look_rules
from crypto_core.database.tokens.sweep.kept_sweeps import PresentDatabase, ReadingBook, RememberedSweeps
from crypto_core.database.tokens.sweep.results import FoundColumn, FoundTable, Sweep
from crypto_core.database.tokens.sweep.samples import Counted, Extent, Read, SampleReader
from crypto_core.values.cancellation import stop_if
from crypto_core.values.counts import counted
from crypto_core.values.errors import DatabaseError, DatabaseUnreachableError

MOST_PASSES = 5
SHORT_SECONDS = 30.0
"""A shorter end needs no other, though rows have changed: they were read in it."""
GOOD_FOR = timedelta(days=1)
LONGEST_SECONDS = 10.0
_BESIDE = 6

_KINDS = {"r": "table", "p": "partitioned table", "f": "foreign table", "m": "materialised view"}

_Found = dict[int, list[tuple[Candidate, Counted]]]


class SweepService:
    """Thread-safe; blocks on SQL: call it from a worker."""

    def __init__(
        self,
        engine: Engine,
        catalogue: LiveCatalogue,
        *,
        read_only: bool = False,
        seconds: float = LONGEST_SECONDS,
        folder: Path | None = None,
        show: Callable[[ReadingProgress], None] = lambda _: None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """Samples are read for at most so many `seconds`. With `read_only` the database is not written to.

        In `folder` is kept how far a full reading is, and `show` is called with that; without a folder the
        next run begins anew.
        """
        self._engine = engine
        self._catalogue = catalogue
        self._remembered = RememberedSweeps(engine, read_only=read_only)
        self._seconds = seconds
        self._clock = clock
        self._book = ReadingBook(look_rules(), folder)
        self._reading = Lock()
        self._watching = [show]

    @contextmanager
    def watching(self, show: Callable[[ReadingProgress], None]) -> Iterator[None]:
        """`show` is called by the thread that reads."""
        self._watching.append(show)
        try:
            yield
        finally:
            self._watching.remove(show)

    def known(self, *, cancelled: Event | None = None) -> Sweep:
        """Return the remembered sweep, or take one where there is none that still holds.

        Raises DatabaseError, InterruptedRunError.
        """
        with connected(self._engine, cancelled=cancelled) as connection:
            present = PresentDatabase.of(connection, self._catalogue.declared)
            now = self._clock()
            last = self._remembered.last(connection, present, now - GOOD_FOR, now)
        return last.without(present.known) if last is not None else self.take_sweep(cancelled=cancelled)

    def take_sweep(self, *, full: bool = False, cancelled: Event | None = None) -> Sweep:
        """Sweep the database now: samples of every table, or with `full` every row, however long that takes.

        Raises DatabaseError where nothing can be read at all, InterruptedRunError once `cancelled` is set.
        """
        if full:
            with self.reading_in_full(cancelled) as reading:
                while not reading.settled:
                    reading.read_ranges()
                    with connected(self._engine, snapshot=True, cancelled=cancelled) as connection:
                        reading.read_end(connection)
            self._remembered.remember(reading.sweep)
            return reading.sweep
        taken_at, began = self._clock(), monotonic()
        with connected(self._engine, cancelled=cancelled) as connection:
            present, candidates = self._places(connection)
        relations = candidates.relations
        seed = secrets.randbelow(2**31)
        extent = Extent.of_samples(len(relations), seed, began + self._seconds)
        reader = SampleReader(self._engine, extent, cancelled)
        found: list[tuple[Relation, Candidate, Counted]] = []
        failed: list[Read] = []
        for read in reader.look(relations):
            stop_if(cancelled)
            if read.failure:
                failed.append(read)
            found += [(read.relation, c, _counted(reader, read.relation, c)) for c in read.hits]
        with connected(self._engine, cancelled=cancelled) as connection:
            sweep = self._summed_up(began, connection, taken_at, present, candidates, found, failed)
        self._remembered.remember(sweep)
        return sweep

    @contextmanager
    def reading_in_full(self, cancelled: Event | None) -> Iterator[FullReading]:
        """Give a reading of the whole database. Another thread's is waited for; what it read counts.

        Raises InterruptedRunError.
        """
        while not self._reading.acquire(timeout=0.05):
            stop_if(cancelled)
        try:
            reader = FullReader(self._engine, self._book, cancelled, self._progressed)
            yield FullReading(reader, self._places, partial(self._summed_up, monotonic()))
        finally:
            self._reading.release()

    def _progressed(self, progress: ReadingProgress) -> None:
        for show in tuple(self._watching):
            show(progress)

    def _places(self, connection: Connection) -> tuple[PresentDatabase, Candidates]:
        present = PresentDatabase.of(connection, self._catalogue.declared)
        return present, read_candidates(connection, present.known, present.shown)

    def _summed_up(
        self,
        began: float,
        connection: Connection,
        taken_at: datetime,
        present: PresentDatabase,
        candidates: Candidates,
        hits: Sequence[tuple[Relation, Candidate, Counted]],
        failed: Sequence[Read],
        unsettled: Sequence[str] = (),
        *,
        full: bool = False,
    ) -> Sweep:
        found: _Found = {}
        for relation, column, number in hits:
            found.setdefault(candidates.reported[relation.oid].oid, []).append((column, number))
        tables = _described(connection, found, {r.oid: r for r in candidates.reported.values()})
        declared = placed_tables(connection, self._catalogue.declared).tables
        asked = {"schemas": [t.place for t in declared], "names": [t.relation for t in declared]}
        return Sweep(
            taken_at=taken_at,
            role=present.role,
            full=full,
            seconds=monotonic() - began,
            tables=len(candidates.relations),
            columns=sum(len(relation.columns) for relation in candidates.relations),
            shape=present.shape,
            declared=present.known,
            found=tables,
            unseen=(*candidates.unseen, *_not_read(failed), *unsettled),
            notes=tuple(connection.scalars(_VIEWS, asked)),
            unread=tuple(dict.fromkeys((*candidates.unread, *(read.relation.place for read in failed)))),
        )


@dataclass(eq=False)
class FullReading:
    """In passes: the ranges that are left, then the end at one moment."""

    reader: FullReader
    places: Callable[[Connection], tuple[PresentDatabase, Candidates]]
    sum_up: Callable[..., Sweep]
    passes: int = 0
    settled: bool = False
    """True once another pass would read nothing, or after the last of them."""
    _sweep: Sweep | None = None

    @property
    def sweep(self) -> Sweep:
        """The last pass's. Raises LookupError before."""
        if self._sweep is None:
            raise LookupError("Nothing was read yet.")
        return self._sweep

    def read_ranges(self) -> None:
        with connected(self.reader.engine, cancelled=self.reader.cancelled) as connection:
            _, candidates = self.places(connection)
        self.reader.read_ranges(candidates.relations)

    def read_end(self, connection: Connection) -> None:
        """Read all else in the snapshot of this connection. Raises DatabaseError, InterruptedRunError."""
        taken_at, began = datetime.now(UTC), monotonic()
        places = self.places(connection)
        end = self.reader.read_end(connection, places[1].relations)
        self.passes += 1
        rests = not end.late and (not end.changed or monotonic() - began <= SHORT_SECONDS)
        self.settled = rests or self.passes >= MOST_PASSES
        unsettled = () if rests else (_unsettled(end),)
        self._sweep = self.sum_up(connection, taken_at, *places, end.found, end.failed, unsettled, full=True)


def _unsettled(end: AtTheEnd) -> str:
    if end.late:
        why = f"rewritten, dropped or altered while they were read: {', '.join(end.late[:NAMED])}"
    else:
        changing = (f"{place} ({counted(rows, 'row')})" for place, rows in end.changed.items())
        why = f"changing faster than they are read: {', '.join(islice(changing, NAMED))}"
    return (
        f"After {MOST_PASSES} passes the full reading has not settled. Tables {why}. Try again once nobody "
        "changes them."
    )


def _counted(reader: SampleReader, relation: Relation, column: Candidate) -> Counted:
    """Without numbers where they can't be counted: it holds tokens."""
    try:
        return reader.count(relation, column)
    except DatabaseUnreachableError:
        raise
    except DatabaseError:
        return Counted(0, {}, 0, 0)


def _not_read(failed: Sequence[Read]) -> list[str]:
    """One sentence for each reason why tables weren't read. Foreign ones are no part of the count anyway."""
    by_reason: dict[str, list[str]] = {}
    for read in failed:
        by_reason.setdefault(read.failure.rstrip("."), []).append(read.relation.place)
    return [
        f"Whether tokens are in {', '.join(names[:NAMED])}"
        f"{f' and {len(names) - NAMED:,} more tables' if len(names) > NAMED else ''} is not known: {reason}."
        for reason, names in by_reason.items()
    ]


def _described(
    connection: Connection, found: _Found, relations: Mapping[int, Relation]
) -> tuple[FoundTable, ...]:
    """The tables in which something was found, with what an entry of the settings needs to know."""
    if not found:
        return ()
    columns: dict[int, list[Any]] = {}
    for row in connection.execute(_DETAILS, {"oids": list(found), "path": schemas_on_own_path(connection)}):
        columns.setdefault(row.oid, []).append(row)
    tables = []
    for oid, hits in found.items():
        relation, every = relations[oid], columns.get(oid, [])
        merged = _merged(hits)
        # Of several, the one that comes first in the table is the one that people know.
        ids = [row for row in every if row.identifies]
        key = tuple(row.attname for row in sorted(every, key=lambda r: r.key_place or 0) if row.key_place)
        tables.append(
            FoundTable(
                schema=relation.schema,
                name=relation.name,
                kind=_KINDS[relation.kind],
                visible=bool(every and every[0].visible),
                id_column=ids[0].attname if ids else key or None,
                id_kind="integer" if ids and ids[0].whole_number else "text",
                beside=tuple(
                    row.attname
                    for row in every
                    if row.may_read and row.recognisable and row.attname not in {c.name for c in merged}
                )[:_BESIDE],
                columns=merged,
            )
        )
    return tuple(sorted(tables, key=lambda table: (table.schema, table.name)))


def _merged(hits: Sequence[tuple[Candidate, Counted]]) -> tuple[FoundColumn, ...]:
    merged: dict[str, FoundColumn] = {}
    for column, number in hits:
        before = merged.get(column.name, FoundColumn(column.name, column.type, {}, 0, 0, 0))
        kinds = {k: before.kinds.get(k, 0) + number.kinds.get(k, 0) for k in {**before.kinds, **number.kinds}}
        merged[column.name] = FoundColumn(
            column.name,
            column.type,
            kinds,
            before.begins + number.begins,
            before.documents + number.documents,
            before.rows + number.rows,
        )
    return tuple(merged.values())


_DETAILS = text(
    """
    SELECT c.oid, c.oid = (
               SELECT before.oid FROM unnest(CAST(:path AS text[])) WITH ORDINALITY AS path(place, number)
               JOIN pg_namespace n ON n.nspname = path.place
               JOIN pg_class before ON before.relnamespace = n.oid AND before.relname = c.relname
               ORDER BY path.number LIMIT 1) AS visible, a.attname,
           has_column_privilege(c.oid, a.attnum, 'SELECT') AS may_read,
           a.atttypid IN ('int2'::regtype, 'int4'::regtype, 'int8'::regtype) AS whole_number,
           a.attname ~
               '(^|_)(name|provider|kind|type|url|org|org_id|user_id|team_id|tenant_id|email|created_at)$'
               AS recognisable,
           a.attnotnull AND EXISTS (
               SELECT FROM pg_index i
               WHERE i.indrelid = a.attrelid AND i.indisunique AND i.indisvalid AND i.indpred IS NULL
                     AND i.indnkeyatts = 1 AND i.indkey[0] = a.attnum) AS identifies,
           (SELECT array_position(k.conkey, a.attnum) FROM pg_constraint k
            WHERE k.conrelid = c.oid AND k.contype = 'p') AS key_place
    FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
    WHERE c.oid = ANY (:oids) AND a.attnum > 0 AND NOT a.attisdropped
    ORDER BY c.oid, a.attnum
    """
).bindparams(bindparam("oids", type_=ARRAY(OID)))

_VIEWS = text(
    f"""
    SELECT DISTINCT format('%s is a view over %s: it shows its tokens, which are counted there.',
                           v.oid::regclass, d.refobjid::regclass)
    FROM unnest(CAST(:schemas AS text[]), CAST(:names AS text[])) AS one(schema_name, name)
    JOIN pg_depend d ON d.refobjid = {place_oid("one.schema_name", "one.name")}
         AND d.refclassid = 'pg_class'::regclass AND d.classid = 'pg_rewrite'::regclass
    JOIN pg_rewrite w ON w.oid = d.objid
    JOIN pg_class v ON v.oid = w.ev_class
    WHERE v.relkind = 'v' AND v.oid <> d.refobjid
    ORDER BY 1
    """  # noqa: S608  # nothing in it is foreign
)
"""Views are no places of their own: what they show is in tables."""
