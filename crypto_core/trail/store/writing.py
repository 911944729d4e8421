"""Puts events into the store: each once, whatever delivers it, and counted by the hour."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, select

from crypto_core.trail.event import TrailEvent
from crypto_core.trail.store.conditions import seconds
from crypto_core.trail.store.packing import pack
from crypto_core.trail.store.retention import changed
from crypto_core.trail.store.schema import DETAILS, HOUR, ROLLED, event, marks, stored_id, texts
from crypto_core.trail.store.vocabulary import Vocabulary

_AT_ONCE = 900
_COLUMNS = ("id", "event_id", "at", *ROLLED, "marks", *DETAILS)
_INSERT = f"INSERT INTO event ({', '.join(_COLUMNS)}) VALUES ({', '.join('?' * len(_COLUMNS))})"  # noqa: S608
_KEY = ("hour", *ROLLED, "marks")
_COUNT = (
    f"INSERT INTO rollup ({', '.join(_KEY)}, events) VALUES ({', '.join('?' * len(_KEY))}, ?) "  # noqa: S608
    "ON CONFLICT DO UPDATE SET events = events + excluded.events"
)
_KINDS = ROLLED | DETAILS


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
    rows = [(key, one, texts(one)) for key, one in by_id.items()]
    wanted = ((kind, values[name]) for _, _, values in rows for name, kind in _KINDS.items())
    numbers = vocabulary.number(connection, wanted)
    top = int(connection.exec_driver_sql("SELECT coalesce(max(id), 0) FROM event").scalar_one())
    found: list[tuple[object, ...]] = []
    bodies: list[tuple[int, bytes]] = []
    hours: Counter[tuple[int, ...]] = Counter()
    for number, (key, one, values) in enumerate(rows, start=top + 1):
        at, mark = seconds(one.time), int(marks(one))
        rolled = [numbers[kind, text] if (text := values[name]) else 0 for name, kind in ROLLED.items()]
        details = [numbers[kind, text] if (text := values[name]) else 0 for name, kind in DETAILS.items()]
        found.append((number, key, at, *rolled, mark, *details))
        bodies.append((number, pack(one.raw)))
        hours[at // HOUR, *rolled, mark] += 1
    if found:
        connection.exec_driver_sql(_INSERT, found)
        connection.exec_driver_sql("INSERT INTO raw (id, body) VALUES (?, ?)", bodies)
        connection.exec_driver_sql(_COUNT, [(*hour, number) for hour, number in hours.items()])
        changed(connection)
    return Added(len(found), len(events) - len(found), kms)


def _stored(connection: Connection, ids: Sequence[bytes]) -> Iterator[bytes]:
    for start in range(0, len(ids), _AT_ONCE):
        some = ids[start : start + _AT_ONCE]
        yield from connection.scalars(select(event.c.event_id).where(event.c.event_id.in_(some)))
