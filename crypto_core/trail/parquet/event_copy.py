"""A copy of events in Parquet, asked by DuckDB: the store's own questions, for far more events."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from crypto_core.errors import TrailError
from crypto_core.lists.filter_language import Clause, Term
from crypto_core.lists.paging import Query, unknown_sort
from crypto_core.text.cleaning import CleanText, clean
from crypto_core.trail.columns import EventProperty, moment
from crypto_core.trail.event import TrailEvent
from crypto_core.trail.event_fields import EVENT_FIELDS
from crypto_core.trail.parquet.conditions import CopyConditions
from crypto_core.trail.parquet.duck import connected
from crypto_core.trail.parquet.layout import FILES, NOTHING, PARTITIONS, CopyMark, NoCopyError, read_mark
from crypto_core.trail.query import Aliases, parse
from crypto_core.trail.record_reader import load, read_record
from crypto_core.trail.store import StoredEvent, Summary
from crypto_core.trail.store.tallies import EventTally, Tallies

_PAGE = 500
_LONGEST = 16_000
_EMPTY = ", ".join(f"coalesce(nullif({name}, '{NOTHING}'), '') AS {name}" for name in PARTITIONS[:2])
_TYPES = ", ".join(f"'{name}': VARCHAR" for name in PARTITIONS)
_EVENTS = (
    f"(SELECT * REPLACE ({_EMPTY}) FROM read_parquet($files, hive_partitioning = true, "  # noqa: S608
    f"hive_types = {{{_TYPES}}})) AS event"
)
"""The events; of a partition whose name is none, older versions of DuckDB read Hive's word for it."""


class EventCopy:
    """One copy. Used as a context. Raises TrailError where it can't be read, and InvalidFilterError."""

    def __init__(
        self,
        folder: Path,
        *,
        aliases: Aliases = dict,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """Raises NoCopyError."""
        self.mark: CopyMark = read_mark(folder)
        self._files = str(folder.resolve() / FILES)
        if any(sign in str(folder.resolve()) for sign in "*?[{"):
            raise NoCopyError(f"{clean(str(folder), 300)} has a wildcard in its name.", remedy="Rename it.")
        self._aliases = aliases
        self._clock = clock
        self._duck = connected()
        self._texts: dict[str, list[str]] = {}
        self._empty = next(folder.glob(FILES), None) is None

    def close(self) -> None:
        """Forget what was read."""
        self._duck.close()

    def summary(self, expression: str) -> Summary:
        """Return how many events a filter lets through, and how many more its `-service` hides."""
        clauses = self._parsed(expression)
        kept = tuple(one for one in clauses if not _hides_services(one))
        [(events, first, last)] = self._ask("SELECT count(*), min(epoch), max(epoch)", clauses)
        hidden = 0
        if len(kept) != len(clauses):
            [(every,)] = self._ask("SELECT count(*)", kept)
            hidden = every - events
        ends = (None, None) if first is None else (moment(first), moment(last))
        return Summary(events, hidden, *ends)

    def tally(self, fields: Sequence[str], expression: str = "", *, limit: int = 100) -> Tallies:
        """Return a filter's events by what they have in several columns together."""
        for name in fields:
            if name not in EVENT_FIELDS:
                raise unknown_sort(name, EVENT_FIELDS)
        columns = [f'"{name}"' for name in fields]
        counted = ", ".join(
            [
                *columns,
                "count(*) AS events",
                *(f"count(*) FILTER (WHERE marks & {int(mark)} <> 0)" for mark in _FAILURES),
                "min(epoch)",
                "max(epoch)",
            ]
        )
        order = ", ".join(["events DESC", *columns])
        grouped = f" GROUP BY {', '.join(columns)}" if columns else " HAVING count(*) > 0"
        found = self._ask(
            f"SELECT {counted}, count(*) OVER (), sum(count(*)) OVER ()",
            self._parsed(expression),
            f"{grouped} ORDER BY {order} LIMIT {int(limit)}",
        )
        width = len(fields)
        rows = tuple(_tallied(row[:width], row[width : width + 5]) for row in found)
        if not found:
            return Tallies(tuple(fields))
        groups, events = found[0][-2:]
        return Tallies(tuple(fields), rows, groups - len(rows), int(events) - sum(r.events for r in rows))

    def pages(self, query: Query, *, limit: int = 0) -> Iterator[Sequence[StoredEvent]]:
        """Yield what a query lets through, in the order of time, at most `limit`; 0 for all of them."""
        if query.sort not in ("", "time"):
            raise unknown_sort(query.sort, ("time",))
        clauses = self._parsed(query.filter)
        way = "DESC" if query.descending else "ASC"
        order = f" ORDER BY epoch {way}, event_id {way}"
        more, bound = "", {}
        if limit:
            # Only so many days are put in order, and records read for those alone that are wanted.
            day = self._day_of(clauses, limit, way)
            days = f" AND day {'>=' if query.descending else '<='} $day"
            ends = self._ask("SELECT epoch, event_id", clauses, f"{days}{order} LIMIT {int(limit)}", day=day)
            more = " AND epoch BETWEEN $first AND $last AND event_id IN (SELECT unnest($ids::VARCHAR[]))"
            at = [epoch for epoch, _ in ends] or [0]
            ids = [event_id for _, event_id in ends]
            more, bound = f"{days}{more}", {"day": day, "first": min(at), "last": max(at), "ids": ids}
        with self._asking("SELECT raw", clauses, f"{more}{order}", bound) as found:
            while some := found.fetchmany(_PAGE):
                yield [StoredEvent(_event(raw), 0) for (raw,) in some]

    def _day_of(self, clauses: Sequence[Clause], limit: int, way: str) -> str:
        """The day up to which there are so many events, counted from the first or the last one."""
        days = self._ask("SELECT day, count(*)", clauses, f" GROUP BY day ORDER BY day {way}")
        left = limit
        for day, events in days:
            left -= events
            if left <= 0:
                return str(day)
        return str(days[-1][0]) if days else ""

    def _parsed(self, expression: str) -> tuple[Clause, ...]:
        return parse(expression, self._clock())

    def _ask(
        self, wanted: str, clauses: Sequence[Clause], after: str = "", **bound: Any
    ) -> list[tuple[Any, ...]]:
        with self._asking(wanted, clauses, after, bound) as found:
            return [tuple(row) for row in found.fetchall()]

    @contextmanager
    def _asking(
        self, wanted: str, clauses: Sequence[Clause], after: str, bound: Mapping[str, Any]
    ) -> Iterator[Any]:
        """Run a query of columns that are ours; all that comes from elsewhere is bound."""
        import duckdb

        conditions = CopyConditions(self._column, self._aliases)
        where = conditions.every(clauses)
        if self._empty:
            raise NoCopyError("The copy has no events.", remedy="Export some to it.")
        try:
            yield self._duck.execute(
                f"{wanted} FROM {_EVENTS} WHERE {where}{after}",
                {"files": self._files, **conditions.bound, **bound},
            )
        except duckdb.Error as error:
            raise TrailError(f"DuckDB can't read the copy: {clean(str(error), 300)}") from error

    def _column(self, name: str, parts: Sequence[str]) -> list[str]:
        """The texts of a column that have one of some parts in them, or may have; without parts all."""
        import duckdb

        if name in self._texts or self._empty:
            return self._texts.get(name, [])
        column = f'"{name}"'
        bound = {"files": self._files, **{f"part{n}": part for n, part in enumerate(parts)}}
        # Small letters are another matter outside of ASCII, so that such texts are looked at here.
        may = [f"contains(lower({column}), $part{n})" for n in range(len(parts))]
        may += [f"strlen({column}) <> length({column})"] if parts else []
        where = f" WHERE {' OR '.join(may)}" if may else ""
        wanted = f"SELECT DISTINCT {column} FROM {_EVENTS}{where}"  # noqa: S608  # names that are ours
        try:
            found = [row[0] for row in self._duck.execute(wanted, bound).fetchall()]
        except duckdb.Error as error:
            raise TrailError(f"DuckDB can't read the copy: {clean(str(error), 300)}") from error
        if not parts:
            self._texts[name] = found
        return found


_FAILURES = (EventProperty.FAILED, EventProperty.DENIED)


def _hides_services(one: Clause) -> bool:
    return isinstance(one, Term) and one.field == "service" and one.negated


def _tallied(texts: Sequence[Any], numbers: Sequence[int]) -> EventTally:
    events, failed, denied, first, last = numbers
    return EventTally(tuple(map(_clean, texts)), events, failed, denied, moment(first), moment(last))


def _clean(text: object) -> CleanText:
    return clean(str(text or ""), _LONGEST)


def _event(raw: str) -> TrailEvent:
    found = None
    try:
        written = raw.encode()
        found = read_record(load(written), written)
    except ValueError:
        pass
    if found is None:
        raise TrailError("A record in the copy is no event.", remedy="Export the events anew.")
    return found
