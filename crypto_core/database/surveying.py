"""Takes a survey: counts the tokens of every value in every column, each table read once.

The ids of segments with few tokens are collected on the way, so that no further scan has to find them. Which
those are, a sample of the table tells beforehand; where it errs, ids are looked up later or are not kept.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from threading import Event
from typing import Any

from sqlalchemy import (
    ARRAY,
    Connection,
    and_,
    case,
    cast,
    false,
    func,
    literal_column,
    or_,
    select,
    tablesample,
)
from sqlalchemy import Text as SqlText

from crypto_core.cancelling import stop_if
from crypto_core.database.inventory_expressions import Place
from crypto_core.database.key_expressions import KeyView
from crypto_core.database.matching import Matcher
from crypto_core.database.orders import Order, Value
from crypto_core.database.surveys import Segment, Survey

SAMPLED = 0.5
"""Per cent of a table's pages in the sample."""


def read_together(places: Iterable[Place], matcher: Matcher, keys: KeyView) -> Iterator[list[Place]]:
    """Give the columns that a filter may let through, those of a table together where one scan tells all."""
    there = [p for p in places if not matcher.excludes(p)]
    for _, group in groupby(there, key=lambda p: p.table.name):
        columns = list(group)
        apart = keys.answers is not None or matcher.names_rows(columns[0])
        yield from [[place] for place in columns] if apart else [columns]


def source_of(places: Sequence[Place], keys: KeyView) -> Any:
    """Return what columns that are read together are read from."""
    return keys.joined(places[0].source, places[0].stored)


@dataclass(slots=True)
class Surveyor:
    """Counts within one transaction."""

    connection: Connection
    order: Order
    matcher: Matcher
    keys: KeyView
    cancelled: Event | None
    _counts: dict[Segment, int] = field(default_factory=dict)
    _found: dict[Segment, list[str | int]] = field(default_factory=dict)
    _too_many: bool = False

    def take(self, survey: Survey, places: Sequence[Place]) -> None:
        """Fill the survey, unless it's known. Raises DatabaseError, InterruptedRunError."""
        with survey.taking(self.cancelled) as needed:
            if not needed:
                return
            for together in read_together(places, self.matcher, self.keys):
                stop_if(self.cancelled)
                values = [self.order.known(p, self.keys, self.matcher.formats) for p in together]
                known = [v for v in values if v is not None]
                if len(known) == len(together):
                    self._count_known(together, known)
                else:
                    for place in together:
                        self._count_values(place)
            survey.learn(self._counts, self._found, too_many=self._too_many)

    def _count_values(self, place: Place) -> None:
        sorted_by = self.order.value(place).label("sorted_by")
        counted = select(sorted_by, func.count()).select_from(source_of([place], self.keys))
        counted = counted.where(self.matcher.passing(place))
        counted = counted.group_by(literal_column(sorted_by.name)).limit(Survey.VALUES + 1)
        rows = self.connection.execute(counted).all()
        self._too_many = self._too_many or len(rows) > Survey.VALUES
        self._counts |= {(row[0], place.number): row[1] for row in rows}

    def _count_known(self, places: Sequence[Place], known: Sequence[Sequence[Value]]) -> None:
        asked = [[v for v in values if v != self._otherwise(values)] for values in known]
        sparse = self._sparse(places, known, asked)
        for row in self.connection.execute(self._statement(places, asked, sparse)):
            *told, ids, number = row
            for segment in self._segments(places, known, asked, told):
                self._counts[segment] = self._counts.get(segment, 0) + number
                if segment in sparse and ids is not None:
                    self._found.setdefault(segment, []).extend(ids)
        for segment in sparse:
            # Not all came along where they were more than the sample said.
            if len(self._found.get(segment, ())) != self._counts.get(segment, 0):
                self._found.pop(segment, None)

    def _sparse(
        self, places: Sequence[Place], known: Sequence[Sequence[Value]], asked: Sequence[Sequence[Value]]
    ) -> frozenset[Segment]:
        """The segments that have few tokens, as far as a sample tells; none where the key finds the ids."""
        all_ = frozenset((v, p.number) for p, values in zip(places, known, strict=True) for v in values)
        if self.matcher.names_rows(places[0]) or Survey.SPARSE < 1:
            return frozenset()
        sample = tablesample(places[0].source, func.system(SAMPLED))
        counts: dict[Segment, int] = {}
        for row in self.connection.execute(self._statement([p.among(sample) for p in places], asked, ())):
            *told, _, number = row
            for segment in self._segments(places, known, asked, told):
                counts[segment] = counts.get(segment, 0) + number
        return frozenset(s for s in all_ if counts.get(s, 0) * 100 / SAMPLED <= Survey.SPARSE)

    def _statement(
        self, places: Sequence[Place], asked: Sequence[Sequence[Value]], sparse: Iterable[Segment]
    ) -> Any:
        """Count by what is yes and what is no, so that PostgreSQL expects few groups and counts in parallel.

        For each column: whether its token passes, and whether it has each of the values that are asked for.
        Then the ids of rows with a token in a sparse segment, and the number of rows.
        """
        passing = [self.matcher.passing(p) for p in places]
        told = []
        for place, passes, values in zip(places, passing, asked, strict=True):
            conditions = [passes, *(self.order.has([v], place, self.keys) for v in values)]
            told += [c.label(f"is_{place.number}_{n}") for n, c in enumerate(conditions)]
        wanted = or_(false(), *self._in_some(places, passing, list(sparse)))
        row_ids: Any = places[0].id if places[0].table.id_kind == "integer" else cast(places[0].id, SqlText)
        few = func.count().filter(wanted) <= 2 * Survey.SPARSE
        ids = case((few, func.array_agg(row_ids, type_=ARRAY(row_ids.type)).filter(wanted)))
        statement = select(*told, ids, func.count()).select_from(source_of(places, self.keys))
        return statement.where(or_(*passing)).group_by(*(literal_column(t.name) for t in told))

    def _in_some(
        self, places: Sequence[Place], passing: Sequence[Any], sparse: Sequence[Segment]
    ) -> Iterator[Any]:
        for place, passes in zip(places, passing, strict=True):
            values = [value for value, number in sparse if number == place.number]
            if values:
                yield and_(passes, self.order.has(values, place, self.keys))

    def _segments(
        self,
        places: Sequence[Place],
        known: Sequence[Sequence[Value]],
        asked: Sequence[Sequence[Value]],
        told: Sequence[Any],
    ) -> Iterator[Segment]:
        """The segments of rows of which a group's answers are true."""
        answers = iter(told)
        for place, values, those in zip(places, known, asked, strict=True):
            passes, holds = next(answers), [next(answers) for _ in those]
            value = next((v for v, yes in zip(those, holds, strict=True) if yes), self._otherwise(values))
            if passes and value is not None:
                yield value, place.number

    def _otherwise(self, values: Sequence[Value]) -> Value | None:
        """The value of tokens that have no other; the last one where the order names none."""
        if not values:
            return None
        return self.order.otherwise if self.order.otherwise in values else values[-1]
