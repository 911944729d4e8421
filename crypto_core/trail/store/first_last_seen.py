"""When events were first and last seen, to the second, though whole hours were counted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, func, select

from crypto_core.trail.columns import HOUR
from crypto_core.trail.store.clock import key_of
from crypto_core.trail.store.conditions import Conditions
from crypto_core.trail.store.schema import COLUMNS, event, profile, with_profiles


@dataclass(slots=True, kw_only=True)
class Ends:
    """The first and the last second of some events, or the beginnings of their hours."""

    first: int | None = None
    last: int | None = None
    hours: set[int] = field(default_factory=set)
    """The hours in which `first` and `last` are still to be found."""

    def widen(self, first: int, last: int, *, hourly: bool) -> None:
        """Take in what a part of the store holds; the parts don't overlap in time."""
        if self.first is None or first < self.first:
            self.first = first
        if self.last is None or last > self.last:
            self.last = last
        if hourly:
            self.hours |= {first, last}


def find_ends(
    connection: Connection,
    found: Conditions,
    fields: Sequence[str],
    groups: Mapping[tuple[int, ...], Ends],
) -> None:
    """Replace the beginnings of hours by the seconds of the first and last event in them.

    `groups` are by what they have in `fields`, the numbers of their texts; or by the clock, see clock.py.
    """
    columns: list[ColumnElement[Any]] = [key_of(COLUMNS, name) for name in fields]
    table = with_profiles(event) if any(name in profile.c for name in fields) else event
    hours = {hour for group in groups.values() for hour in group.hours & {group.first, group.last}}
    # What the first loop writes must not hide from it what is left to be found.
    ends = {key: (group.first, group.last) for key, group in groups.items()}
    for hour in sorted(hours):
        within = (event.c.at >= hour, event.c.at < hour + HOUR)
        statement: Select[Any] = select(*columns, func.min(event.c.at), func.max(event.c.at)).where(*within)
        statement = statement.select_from(table).where(found.on(event))
        statement = statement.with_hint(event, "INDEXED BY ix_event_at", "sqlite")
        for row in connection.execute(statement.group_by(*columns) if columns else statement):
            key = tuple(int(number) for number in row[: len(columns)])
            group = groups.get(key)
            if group is None or row[-1] is None:
                continue
            first, last = ends[key]
            if first == hour and hour in group.hours:
                group.first = int(row[-2])
            if last == hour and hour in group.hours:
                group.last = int(row[-1])
