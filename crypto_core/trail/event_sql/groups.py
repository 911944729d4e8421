"""Events counted by some fields and by the clock, in one statement: only groups shown leave the engine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from crypto_core.lists.filter_language import HOURS, WEEKDAYS
from crypto_core.text.cleaning import NO_TEXT, CleanText, clean
from crypto_core.trail.columns import EventProperty, moment
from crypto_core.trail.event_sql.conditions import CLOCK, DATED, DAY, flag
from crypto_core.trail.store.statistics import Threshold
from crypto_core.trail.store.tallies import EventTally, Tallies

LONGEST = 16_000
"""Characters of a value."""
_SIGNS = {">=": ">=", "<=": "<=", ">": ">", "<": "<", "=": "="}
_MEASURES = {"count": "events", "failed": "failed", "denied": "denied", "distinct": "differing"}


@dataclass(frozen=True, slots=True)
class GroupsQuestion:
    """What is counted; the caller has checked the names. `valued` leaves out groups without a value."""

    fields: tuple[str, ...]
    distinct: str = ""
    thresholds: tuple[Threshold, ...] = ()
    limit: int = 100
    valued: bool = False

    def statement(self, source: str, where: str, *, shown: str = "true", number: str = "*") -> str:
        """Return the statement; what isn't `shown` is only counted, by `number` of each event."""
        keys = [f"{_column(name)} AS k{n}" for n, name in enumerate(self.fields)]
        failed, denied = flag(EventProperty.FAILED), flag(EventProperty.DENIED)
        measures = [
            f"count({number}) FILTER (WHERE {shown}) AS events",
            f"count({number}) FILTER (WHERE {shown} AND {failed}) AS failed",
            f"count({number}) FILTER (WHERE {shown} AND {denied}) AS denied",
            f"min(epoch) FILTER (WHERE {shown}) AS earliest",
            f"max(epoch) FILTER (WHERE {shown}) AS latest",
            f"count({number}) FILTER (WHERE NOT ({shown})) AS hidden",
        ]
        places = [str(n + 1) for n in range(len(keys))]
        if self.distinct:
            grouped = self._by_value(keys, measures, f"{source} WHERE {where}")
        else:
            grouped = _grouped([*keys, *measures, "0 AS differing"], f"{source} WHERE {where}", places)
        order = ", ".join(["passes DESC", "events DESC", *places])
        return (
            f"SELECT *, sum(CASE WHEN passes THEN 1 ELSE 0 END) OVER () AS all_groups, "  # noqa: S608
            f"sum(CASE WHEN passes THEN events ELSE 0 END) OVER () AS all_events, "
            f"coalesce(sum(hidden) OVER (), 0) AS all_hidden "
            f"FROM (SELECT *, ({' AND '.join(self._passing())}) AS passes "
            f"FROM ({grouped}) AS counted) AS chosen "
            f"ORDER BY {order} LIMIT {int(self.limit)}"
        )

    def _by_value(self, keys: Sequence[str], measures: Sequence[str], source: str) -> str:
        """Groups by what is different, together again: some versions of DuckDB count DISTINCT wrong."""
        places = [str(n + 1) for n in range(len(keys) + 1)]
        value = f"{_value_of(self.distinct)} AS k{len(keys)}"
        parts = _grouped([*keys, value, *measures], source, places)
        together = [
            *(f"k{n}" for n in range(len(keys))),
            *(f"sum({name}) AS {name}" for name in ("events", "failed", "denied")),
            *("min(earliest) AS earliest", "max(latest) AS latest", "sum(hidden) AS hidden"),
            f"count(CASE WHEN events > 0 THEN k{len(keys)} END) AS differing",
        ]
        return _grouped(together, f"({parts}) AS parts", places[:-1])

    def _passing(self) -> list[str]:
        chosen = [f"{_MEASURES[t.measure]} {_SIGNS[t.sign]} {int(t.number)}" for t in self.thresholds]
        texts = [n for n, name in enumerate(self.fields) if name not in CLOCK]
        return ["events > 0", *chosen, *(f"k{n} <> ''" for n in texts if self.valued)]

    def read(self, rows: Sequence[Sequence[Any]]) -> tuple[Tallies, int]:
        width = len(self.fields)
        found = [self._group(row[:width], row[width:]) for row in rows if row[-4] in (True, "true")]
        if not rows:
            return Tallies(self.fields), 0
        groups, events, hidden = map(int, rows[0][-3:])
        left = groups - len(found), events - sum(one.events for one in found)
        return Tallies(self.fields, tuple(found), *left), hidden

    def _group(self, keys: Sequence[Any], measures: Sequence[Any]) -> EventTally:
        events, failed, denied, first, last, _, differing = map(int, measures[:7])
        return EventTally(
            tuple(map(_value, self.fields, keys)),
            events,
            failed,
            denied,
            moment(first),
            moment(last),
            differing if self.distinct else None,
        )


def _grouped(columns: Sequence[str], source: str, places: Sequence[str]) -> str:
    by = f" GROUP BY {', '.join(places)}" if places else ""
    return f"SELECT {', '.join(columns)} FROM {source}{by}"  # noqa: S608  # columns are ours


def _value_of(name: str) -> str:
    return _column(name) if name in CLOCK else f"nullif(\"{name}\", '')"


def _column(name: str) -> str:
    return f"CASE WHEN epoch >= {DATED} THEN {CLOCK[name]} END" if name in CLOCK else f'"{name}"'


def _value(name: str, key: Any) -> CleanText:
    if key is None:
        return NO_TEXT
    match name:
        case "hour":
            return clean(HOURS[int(key)])
        case "weekday":
            return clean(WEEKDAYS[int(key)])
        case "day":
            return clean(moment(int(key) * DAY).date().isoformat())
        case _:
            return clean(str(key), LONGEST)
