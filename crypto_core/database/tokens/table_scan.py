"""Finds where the rows of a page stand, by the shortest way that the database has without an index of ours.

An order is walked as segments: the tokens of one column that have one value, in the order of their ids, which
the primary key's index gives. A segment with many tokens fills a page from a few thousand rows. Whether a
segment has few or none can't be told from near by, so once rows run out a survey counts them all: one scan,
remembered while that list is paged through (see survey.py), as are the ids of segments with few tokens.
Orders with too many values for that, such as dates, are read by one scan a page.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import and_, or_, select

from crypto_core.database.tokens.inventory_expressions import ColumnPlace
from crypto_core.database.tokens.orders import Value
from crypto_core.database.tokens.survey import Survey, Surveyor
from crypto_core.values.cancellation import stop_if

NEAR = 20_000
"""Rows looked at one by one before a scan of all is worth it."""


@dataclass(frozen=True, slots=True)
class Position:
    """By value, then by the column's number, then by id. `kept` is the value as a cursor keeps it."""

    number: int
    value: Any
    kept: Value
    row_id: str | int


@dataclass(frozen=True, slots=True)
class Search:
    """The next rows behind `start` (or at it, if `inclusive`), in one direction."""

    start: Position | None
    descending: bool
    backwards: bool
    inclusive: bool
    limit: int

    @property
    def falling(self) -> bool:
        return self.descending is not self.backwards


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Walker:
    surveyor: Surveyor
    places: Sequence[ColumnPlace]
    survey: Survey

    def find_positions(self, search: Search) -> list[Position]:
        if not self.surveyor.order.few:
            return self._scan(search)
        if not self.survey.known and any(self._known(p) is None for p in self.places):
            self._take_survey()
        if self.survey.too_many:
            return self._scan(search)
        found: list[Position] = []
        for value, place in self._segments(search):
            stop_if(self.surveyor.cancelled)
            after = search.start if search.start is not None and _at(search.start, value, place) else None
            found += self._walk(value, place, after, search, search.limit - len(found))
            if len(found) >= search.limit:
                break
        return found

    def _segments(self, search: Search) -> list[tuple[Value, ColumnPlace]]:
        """From the start on; empty ones as far as not known."""
        if self.survey.known:
            by_number = {p.number: p for p in self.places}
            pairs = [(v, by_number[n]) for v, n in self.survey.counts if n in by_number]
        else:
            pairs = [(v, p) for p in self.places for v in self._known(p) or ()]
        pairs.sort(key=lambda s: s[1].number, reverse=search.backwards)
        pairs.sort(key=lambda s: s[0], reverse=search.falling)
        start = search.start
        return [s for s in pairs if start is None or _at(start, *s) or _behind(search, start, *s)]

    def _take_survey(self) -> None:
        self.surveyor.take_survey(self.survey, self.places)

    def _known(self, place: ColumnPlace) -> Sequence[Value] | None:
        return self.surveyor.order.known(place, self.surveyor.keys, self.surveyor.matcher.formats)

    def _walk(
        self, value: Value, place: ColumnPlace, after: Position | None, search: Search, limit: int
    ) -> list[Position]:
        survey, segment = self.survey, (value, place.number)
        if survey.known and not survey.counts.get(segment):
            return []
        if self.surveyor.matcher.names_rows(place):
            bounds = _from(place, after, search) if after is not None else None
            return self._select(value, place, bounds, search, limit)
        if survey.is_sparse(segment):
            return self._among(value, place, after, search, limit)
        near, end = self._near(value, place, after, search, limit)
        if len(near) >= limit or end is None:
            return near
        if not survey.known:
            self._take_survey()
            if not survey.counts.get(segment):
                return near
            if survey.is_sparse(segment):
                return self._among(value, place, after, search, limit)
        beyond = place.beyond(end, backwards=search.backwards)
        rest = self._select(value, place, beyond, search, limit - len(near))
        return near + rest

    def _near(
        self, value: Value, place: ColumnPlace, after: Position | None, search: Search, limit: int
    ) -> tuple[list[Position], str | int | None]:
        """The segment's tokens among the next rows, and the last of these if there may be more."""
        bounds = [_from(place, after, search)] if after is not None else []
        order = place.order(backwards=search.backwards)
        rows = select(*place.source.c).where(*bounds).order_by(*order).limit(NEAR).subquery("near")
        found = self._select(value, place.among(rows), None, search, limit)
        if len(found) >= limit:
            return found, None
        last = select(place.id).where(*bounds).order_by(*order).offset(NEAR - 1).limit(1)
        end = self.surveyor.connection.scalar(last)
        return found, end if end is None or isinstance(end, int) else str(end)

    def _among(
        self, value: Value, place: ColumnPlace, after: Position | None, search: Search, limit: int
    ) -> list[Position]:
        """The next tokens of a segment whose few ids are remembered."""
        ids = self.survey.ids((value, place.number))
        if ids is None:
            ids = self._ids(value, place)
            self.survey.remember((value, place.number), ids)
        if search.backwards:
            ids = ids[::-1]
        if after is not None and after.row_id in ids:
            ids = ids[ids.index(after.row_id) :]
        found: list[Position] = []
        # A token that has changed meanwhile has left the segment: then the next ones are looked up.
        for first in range(0, len(ids), 2 * limit):
            some = ids[first : first + 2 * limit]
            bounds = [
                place.is_one_of([str(row_id) for row_id in some]),
                *([_from(place, after, search)] if after is not None else []),
            ]
            found += self._select(value, place, and_(*bounds), search, limit - len(found))
            if len(found) >= limit:
                break
        return found

    def _ids(self, value: Value, place: ColumnPlace) -> list[str | int]:
        """The ids of a small segment: by the survey, else by a scan."""
        found = self.survey.found((value, place.number))
        if found is not None:
            statement = select(place.id).where(place.is_one_of([str(row_id) for row_id in found]))
        else:
            statement = self._segment(value, place).limit(self.survey.SPARSE + 1)
        rows = self.surveyor.connection.execute(statement.order_by(*place.order()))
        return [_plain(row[0]) for row in rows]

    def _select(
        self, value: Value, place: ColumnPlace, bounds: Any, search: Search, limit: int
    ) -> list[Position]:
        statement = self._segment(value, place)
        if bounds is not None:
            statement = statement.where(bounds)
        statement = statement.order_by(*place.order(backwards=search.backwards)).limit(limit)
        return [
            Position(place.number, value, value, _plain(row[0]))
            for row in self.surveyor.connection.execute(statement)
        ]

    def _segment(self, value: Value, place: ColumnPlace) -> Any:
        condition = self.surveyor.order.has([value], place, self.surveyor.keys)
        tokens = self.surveyor.keys.joined(place.source, place.stored)
        return select(place.id).select_from(tokens).where(self.surveyor.matcher.passing(place), condition)

    def _scan(self, search: Search) -> list[Position]:
        found: list[Position] = []
        for place in self.places:
            stop_if(self.surveyor.cancelled)
            value = self.surveyor.order.value(place)
            tokens = self.surveyor.keys.joined(place.source, place.stored)
            conditions = [self.surveyor.matcher.passing(place)]
            if search.start is not None:
                conditions.append(self._behind(value, place, search.start, search))
            statement = (
                select(
                    self.surveyor.order.compared(value).label("value"),
                    self.surveyor.order.kept(value).label("kept"),
                    place.id.label("row_id"),
                )
                .select_from(tokens)
                .where(*conditions)
                .order_by(value.desc() if search.falling else value, *place.order(backwards=search.backwards))
                .limit(search.limit)
            )
            found += [
                Position(place.number, row.value, row.kept, _plain(row.row_id))
                for row in self.surveyor.connection.execute(statement)
            ]
        # Both sorts are stable, and the tokens of one column are in order already.
        found.sort(key=lambda p: p.number, reverse=search.backwards)
        found.sort(key=lambda p: p.value, reverse=search.falling)
        return found[: search.limit]

    def _behind(self, value: Any, place: ColumnPlace, start: Position, search: Search) -> Any:
        """The condition for tokens behind the start, so that an index on value and id may serve."""
        at = self.surveyor.order.read(start.kept)
        beyond = value < at if search.falling else value > at
        or_at = value <= at if search.falling else value >= at
        if place.number != start.number:
            later = place.number < start.number if search.backwards else place.number > start.number
            return or_at if later else beyond
        return and_(or_at, or_(beyond, _from(place, start, search)))


def _plain(row_id: Any) -> str | int:
    return row_id if isinstance(row_id, int) else str(row_id)


def _at(start: Position, value: Value, place: ColumnPlace) -> bool:
    return (start.value, start.number) == (value, place.number)


def _behind(search: Search, start: Position, value: Value, place: ColumnPlace) -> bool:
    if start.value != value:
        return bool(value < start.value if search.falling else value > start.value)
    return place.number < start.number if search.backwards else place.number > start.number


def _from(place: ColumnPlace, start: Position, search: Search) -> Any:
    return place.beyond(start.row_id, backwards=search.backwards, inclusive=search.inclusive)
