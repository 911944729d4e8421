"""Takes a survey: counts the tokens of every value in every column, each table read once.

The ids of segments with few tokens are collected on the way, so that no further scan has to find them. Which
those are, a sample of the table tells beforehand; where it errs, ids are looked up later or are not kept.

A survey is remembered while one list is paged through: nobody else sees it, and not for long. What is counted
again at every beginning can't hide a row that was there when the operator began to look. A row that changes
meanwhile may be missed or met twice, as in any list that is read page by page.
"""

from __future__ import annotations

import itertools
from collections import OrderedDict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import groupby
from threading import Event, Lock
from time import monotonic
from typing import Any, ClassVar

import sqlalchemy as sa

from crypto_core.database.tokens.expressions import apart
from crypto_core.database.tokens.inventory_expressions import ColumnPlace
from crypto_core.database.tokens.inventory_filter_sql import Matcher
from crypto_core.database.tokens.key_expressions import KeyView
from crypto_core.database.tokens.orders import ColumnOrder, Value
from crypto_core.lists.paging import Query
from crypto_core.values.cancellation import stop_if

LASTS_SECONDS = 60.0
LISTS = 4

Segment = tuple[Value, int]
"""A value, and the number of a column."""


class Survey:
    """The counts of one list, and the ids of segments with few tokens: at most `IDS` of them."""

    SPARSE: ClassVar[int] = 10_000
    VALUES: ClassVar[int] = 200
    """Beyond so many values an order is not walked value by value."""
    IDS: ClassVar[int] = 40_000

    def __init__(self) -> None:
        self.counts: Mapping[Segment, int] = {}
        self.known = False
        self.too_many = False
        self.begun = monotonic()
        self._lock = Lock()
        self._found: dict[Segment, list[str | int]] = {}
        self._ids: OrderedDict[Segment, list[str | int]] = OrderedDict()

    @contextmanager
    def taking(self, cancelled: Event | None) -> Iterator[bool]:
        """Give, to one thread at a time, whether it has still to be taken. Raises InterruptedRunError."""
        while not self._lock.acquire(timeout=0.05):
            stop_if(cancelled)
        try:
            yield not self.known
        finally:
            self._lock.release()

    def learn(
        self, counts: Mapping[Segment, int], found: Mapping[Segment, list[str | int]], *, too_many: bool
    ) -> None:
        self.counts, self.too_many = counts, too_many
        room = self.IDS
        for segment, ids in sorted(found.items(), key=lambda item: len(item[1])):
            room -= len(ids)
            if room >= 0:
                self._found[segment] = ids
        self.known = True

    def is_sparse(self, segment: Segment) -> bool:
        return self.known and self.counts.get(segment, 0) <= self.SPARSE

    def found(self, segment: Segment) -> list[str | int] | None:
        """The ids that the survey came upon, in no order."""
        return self._found.get(segment)

    def ids(self, segment: Segment) -> list[str | int] | None:
        """The remembered ids, in the database's order."""
        return self._ids.get(segment)

    def remember(self, segment: Segment, ids: list[str | int]) -> None:
        """Ids in their order; others are forgotten where they would be too many."""
        self._found.pop(segment, None)
        self._ids[segment] = ids
        while len(self._ids) > 1 and sum(map(len, self._ids.values())) > self.IDS:
            self._ids.popitem(last=False)


class Surveys:
    def __init__(self) -> None:
        self._lock = Lock()
        self._numbers = itertools.count(1)
        self._surveys: OrderedDict[int, Survey] = OrderedDict()
        self._uncounted: tuple[Query, Survey] | None = None

    def begin(self, query: Query) -> tuple[int, Survey]:
        """Return a new list's number and its survey, still empty."""
        with self._lock:
            number, survey = next(self._numbers), Survey()
            self._surveys[number] = survey
            self._uncounted = (query, survey)
            while len(self._surveys) > LISTS:
                self._surveys.popitem(last=False)
            return number, survey

    def of(self, number: int) -> Survey:
        """A new one where it is too old or forgotten."""
        with self._lock:
            survey = self._surveys.get(number)
            if survey is None or monotonic() - survey.begun > LASTS_SECONDS:
                survey = self._surveys[number] = Survey()
            self._surveys.move_to_end(number)
            return survey

    def uncounted(self, query: Query) -> Survey | None:
        """Return, once, the survey of the list begun last, if it is of this query."""
        with self._lock:
            if self._uncounted is None or self._uncounted[0] != query:
                return None
            survey, self._uncounted = self._uncounted[1], None
            return survey if monotonic() - survey.begun <= LASTS_SECONDS else None


SAMPLED = 0.5
CHOOSY = 0.3
"""The largest share of rows that a filter lets through if it is to be asked first."""


def read_together(
    places: Iterable[ColumnPlace], matcher: Matcher, keys: KeyView
) -> Iterator[list[ColumnPlace]]:
    """Give the columns that a filter may let through, those of one scan together."""
    there = [p if matcher.names_rows(p) else p.whole() for p in places if not matcher.excludes(p)]
    for _, group in groupby(there, key=lambda p: p.source):
        columns = list(group)
        apart = keys.answers is not None or matcher.names_rows(columns[0])
        yield from [[place] for place in columns] if apart else [columns]


def source_of(places: Sequence[ColumnPlace], keys: KeyView) -> Any:
    return keys.joined(places[0].source, places[0].stored)


@dataclass(slots=True)
class Surveyor:
    connection: sa.Connection
    order: ColumnOrder
    matcher: Matcher
    keys: KeyView
    cancelled: Event | None
    _counts: dict[Segment, int] = field(default_factory=dict)
    _found: dict[Segment, list[str | int]] = field(default_factory=dict)
    _too_many: bool = False

    def take_survey(self, survey: Survey, places: Sequence[ColumnPlace]) -> None:
        with survey.taking(self.cancelled) as needed:
            if not needed:
                return
            for together in read_together(places, self.matcher, self.keys):
                stop_if(self.cancelled)
                values = [self.order.known(p, self.keys, self.matcher.formats) for p in together]
                known = [v for v in values if v is not None]
                if len(known) == len(together):
                    # Where the filter leaves no value, no token passes: by format v1 and v2 at once.
                    if all(known):
                        self._count_known(together, known)
                else:
                    for place in together:
                        self._count_values(place)
            survey.learn(self._counts, self._found, too_many=self._too_many)

    def _count_values(self, place: ColumnPlace) -> None:
        sorted_by = self.order.value(place).label("sorted_by")
        counted = sa.select(sorted_by, sa.func.count()).select_from(source_of([place], self.keys))
        counted = counted.where(self.matcher.passing(place))
        counted = counted.group_by(sa.literal_column(sorted_by.name)).limit(Survey.VALUES + 1)
        rows = self.connection.execute(counted).all()
        self._too_many = self._too_many or len(rows) > Survey.VALUES
        self._counts |= {(row[0], place.number): row[1] for row in rows}

    def _count_known(self, places: Sequence[ColumnPlace], known: Sequence[Sequence[Value]]) -> None:
        sampled, choosy = self._sample(places, known)
        few = {segment for segment, number in sampled.items() if number * 100 / SAMPLED <= Survey.SPARSE}
        # What many tokens have is asked for first: then nothing else is asked about them.
        falling = [
            sorted(values, key=lambda v, p=p: -sampled[v, p.number])  # type: ignore[misc]
            for p, values in zip(places, known, strict=True)
        ]
        for segments, number, ids in self._groups(places, falling, few, choosy=choosy):
            for segment in segments:
                self._counts[segment] = self._counts.get(segment, 0) + number
                if segment in few and ids is not None:
                    self._found.setdefault(segment, []).extend(ids)
        for segment in few:
            # Not all came along where they were more than the sample said.
            if len(self._found.get(segment, ())) != self._counts.get(segment, 0):
                self._found.pop(segment, None)

    def _sample(
        self, places: Sequence[ColumnPlace], known: Sequence[Sequence[Value]]
    ) -> tuple[dict[Segment, int], bool]:
        """How many tokens of each segment a sample has, and whether the filter lets few of its rows through.

        Many, where nothing is to be gained from a sample.
        """
        segments = [(value, p.number) for p, values in zip(places, known, strict=True) for value in values]
        if Survey.SPARSE < 1 or self.matcher.names_rows(places[0]):
            return dict.fromkeys(segments, Survey.SPARSE), False
        counts = dict.fromkeys(segments, 0)
        passing = rows = 0
        sample = places[0].sampled(SAMPLED).source
        for found, number, _ in self._groups([p.among(sample) for p in places], known, ()):
            rows += number
            passing += number if found else 0
            for segment in found:
                counts[segment] += number
        return counts, passing < rows * CHOOSY

    def _groups(
        self,
        places: Sequence[ColumnPlace],
        values: Sequence[Sequence[Value]],
        few: Collection[Segment],
        *,
        choosy: bool = False,
    ) -> Iterator[tuple[list[Segment], int, list[str | int] | None]]:
        """Rows whose tokens are in the same segments: these, how many rows, and their ids if one has few."""
        statement = self._statement(places, values, few, choosy=choosy)
        for *numbers, count, ids in self.connection.execute(statement):
            segments = [
                (those[number], place.number)
                for place, those, number in zip(places, values, numbers, strict=True)
                if number is not None
            ]
            yield segments, count, ids

    def _statement(
        self,
        places: Sequence[ColumnPlace],
        values: Sequence[Sequence[Value]],
        few: Collection[Segment],
        *,
        choosy: bool,
    ) -> Any:
        of_row, passing = self.matcher.parted(places)
        if choosy:
            # Rather twice of a few rows than further work on all that don't pass.
            of_row = sa.and_(of_row, sa.or_(*passing))
        told = [
            sa.case((passes, self._numbered(place, those))).label(f"value_{place.number}")
            for place, passes, those in zip(places, passing, values, strict=True)
        ]
        row_id: Any = places[0].id if places[0].has_number_id else places[0].id_text
        rows = apart(
            sa.select(row_id.label("row_id"), *told).select_from(source_of(places, self.keys)).where(of_row)
        )
        numbers = [rows.c[column.name] for column in told]
        wanted = sa.or_(
            sa.false(),
            *(
                number.in_([n for n, value in enumerate(those) if (value, place.number) in few])
                for place, those, number in zip(places, values, numbers, strict=True)
            ),
        )
        collected = sa.func.array_agg(rows.c.row_id, type_=sa.ARRAY(row_id.type)).filter(wanted)
        ids = sa.case((sa.func.count().filter(wanted) <= 2 * Survey.SPARSE, collected))
        return sa.select(*numbers, sa.func.count(), ids).group_by(*numbers)

    def _numbered(self, place: ColumnPlace, values: Sequence[Value]) -> Any:
        """The place of the token's value: all but one are asked for, one by one."""
        otherwise = self.order.otherwise if self.order.otherwise in values else values[-1]
        asked = [(n, value) for n, value in enumerate(values) if value != otherwise]
        if not asked:
            return sa.literal_column("0")
        conditions: list[Any] = [
            (self.order.has([value], place, self.keys), sa.literal_column(str(n))) for n, value in asked
        ]
        return sa.case(*conditions, else_=sa.literal_column(str(values.index(otherwise))))
