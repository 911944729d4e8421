"""Puts events into the store: each once, whatever delivers it, and counted by the hour."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection

from crypto_core.trail.event import TrailEvent
from crypto_core.trail.store.blocks import write_blocks
from crypto_core.trail.store.conditions import seconds
from crypto_core.trail.store.inserting import PARAMETERS, insert
from crypto_core.trail.store.retention import changed
from crypto_core.trail.store.schema import DETAILS, HOUR, ROLLED, TEXTS, marks, stored_id
from crypto_core.trail.store.vocabulary import Vocabulary

_EVENT = ("id", "event_id", "at", *ROLLED, "marks", *DETAILS)
_ROLLUP = ("hour", *ROLLED, "marks", "events")


@dataclass(frozen=True, slots=True)
class Added:
    """What became of events that were given to the store."""

    new: int = 0
    duplicates: int = 0
    kms: int = 0
    """KMS's events among all that were given, each event once."""

    def __add__(self, other: Added) -> Added:
        return Added(self.new + other.new, self.duplicates + other.duplicates, self.kms + other.kms)


def add(connection: Connection, events: Sequence[TrailEvent], vocabulary: Vocabulary) -> Added:
    """Store those of the events that are not stored yet; the first of a kind stays."""
    by_id: dict[bytes, TrailEvent] = {}
    for one in events:
        by_id.setdefault(stored_id(one.event_id), one)
    kms = sum(one.is_kms for one in by_id.values())
    for stored in _stored(connection, list(by_id)):
        del by_id[stored]
    new = list(by_id.values())
    if new:
        _write(connection, by_id, vocabulary)
    return Added(len(new), len(events) - len(new), kms)


def _write(connection: Connection, events: dict[bytes, TrailEvent], vocabulary: Vocabulary) -> None:
    vocabulary.begin(connection)
    new = list(events.values())
    top = int(connection.exec_driver_sql("SELECT coalesce(max(id), 0) FROM event").scalar_one())
    numbers = range(top + 1, top + 1 + len(new))
    at = [seconds(one.time) for one in new]
    columns = {
        name: vocabulary.numbers(connection, kind, list(map(TEXTS[name], new)))
        for name, kind in (ROLLED | DETAILS).items()
    }
    rolled = [columns[name] for name in ROLLED]
    details = [columns[name] for name in DETAILS]
    mark = list(map(marks, new))
    insert(connection, "event", _EVENT, list(zip(numbers, events, at, *rolled, mark, *details, strict=True)))
    write_blocks(connection, top + 1, [one.raw for one in new])
    hours = Counter(zip((second // HOUR for second in at), *rolled, mark, strict=True))
    insert(
        connection,
        "rollup",
        _ROLLUP,
        [(*hour, number) for hour, number in hours.items()],
        "ON CONFLICT DO UPDATE SET events = events + excluded.events",
    )
    changed(connection)


def _stored(connection: Connection, ids: Sequence[bytes]) -> Iterator[bytes]:
    for start in range(0, len(ids), PARAMETERS):
        some = tuple(ids[start : start + PARAMETERS])
        marks_ = ", ".join("?" * len(some))
        found = f"SELECT event_id FROM event WHERE event_id IN ({marks_})"  # noqa: S608
        yield from connection.exec_driver_sql(found, some).scalars()
