"""Events counted by several fields at once, with each group's first and last, and by day."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from crypto_core.trail.event import UNDATED
from crypto_core.values.clean_text import CleanText
from crypto_core.values.json_records import JsonRecord


@dataclass(frozen=True, slots=True)
class EventTally:
    """Events that are alike. `texts` are what they have in the fields asked for, "" for none.

    An event about two keys has both in one text, as CloudTrail names them, with a space between; so have its
    key materials. `denied` are among the `failed`, these among the `events`. `distinct` is how many
    different values they have in a further field, nothing left out; None where no such field was asked for.
    """

    texts: tuple[CleanText, ...]
    events: int
    failed: int
    denied: int
    first: datetime
    last: datetime
    distinct: int | None = None

    @property
    def done(self) -> int:
        return self.events - self.failed


@dataclass(frozen=True, slots=True)
class Tallies:
    """Events by `fields`, the most common first. `others` are further groups, with `rest` events."""

    fields: tuple[str, ...] = ()
    rows: tuple[EventTally, ...] = ()
    others: int = 0
    rest: int = 0

    @property
    def events(self) -> int:
        return sum(row.events for row in self.rows) + self.rest

    def as_json(self, names: Mapping[str, str] | None = None) -> dict[str, Any]:
        """The counts as a JSON document's part; `names` are other names for fields, and for `events`."""
        other = names or {}
        called = [other.get(name, name) for name in self.fields]
        return {
            "rows": [
                dict(zip(called, row.texts, strict=True))
                | {other.get("events", "events"): row.events, "failed": row.failed, "denied": row.denied}
                | ({} if row.distinct is None else {"distinct": row.distinct})
                | {"first": moment_json(row.first), "last": moment_json(row.last)}
                for row in self.rows
            ],
            "others": self.others,
            "rest": self.rest,
        }


def tallied(names: Mapping[str, str], *attributes: str) -> dict[str, Callable[[Any], dict[str, Any]]]:
    """Return how a document makes its counts of a model's attributes, by other names for fields."""

    def made(attribute: str) -> Callable[[Any], dict[str, Any]]:
        return lambda model: getattr(model, attribute).as_json(names)

    return {attribute: made(attribute) for attribute in attributes}


@dataclass(frozen=True, slots=True)
class Day(JsonRecord):
    """The events of one day, UTC."""

    day: date
    events: int
    failed: int


def days_of(found: Tallies) -> tuple[Day, ...]:
    """Return what was counted by day, in order; events that tell no time are of the first day there is."""
    rows = sorted(found.rows, key=lambda row: row.texts)
    return tuple(
        Day(date.fromisoformat(row.texts[0]) if row.texts[0] else UNDATED.date(), row.events, row.failed)
        for row in rows
    )


def moment_json(at: datetime | None) -> str | None:
    """Return a moment as JSON documents have it; None for the time of an event that tells none."""
    return None if at is None or at == UNDATED else at.isoformat()
