"""Puts events into the store: each once, whatever delivers it, and counted by the hour."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Connection, func, select
from sqlalchemy import insert as insert_into

from crypto_core.trail.columns import HOUR
from crypto_core.trail.event_fields import DETAILS, ROLLED
from crypto_core.trail.prepared import Prepared, Texts
from crypto_core.trail.store.blocks import write_blocks
from crypto_core.trail.store.bulk_insert import PARAMETERS, insert
from crypto_core.trail.store.conditions import whole
from crypto_core.trail.store.schema import event, rollup
from crypto_core.trail.store.twins import mark_twins
from crypto_core.trail.store.vocabulary import Vocabulary, changed

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


def add(connection: Connection, prepared: Prepared, vocabulary: Vocabulary) -> Added:
    """Store those of the events that are not stored yet; the first of a kind stays."""
    new = prepared.without(_stored(connection, prepared.ids))
    if new.ids:
        _write(connection, new, vocabulary)
    return Added(len(new.ids), prepared.given - len(new.ids), prepared.kms)


def _write(connection: Connection, events: Prepared, vocabulary: Vocabulary) -> None:
    vocabulary.begin(connection)
    top = int(connection.exec_driver_sql("SELECT coalesce(max(id), 0) FROM event").scalar_one())
    numbers = range(top + 1, top + 1 + len(events.ids))
    columns = {
        name: _numbered(connection, kind, events.columns[name], vocabulary)
        for name, kind in (ROLLED | DETAILS).items()
    }
    rolled = [columns[name] for name in ROLLED]
    details = [columns[name] for name in DETAILS]
    marks = mark_twins(connection, top + 1, events, columns["name"])
    rows = zip(numbers, events.ids, events.at, *rolled, marks, *details, strict=True)
    insert(connection, "event", _EVENT, list(rows))
    write_blocks(connection, top + 1, events.blocks)
    hours = Counter(zip((second // HOUR for second in events.at), *rolled, marks, strict=True))
    insert(
        connection,
        "rollup",
        _ROLLUP,
        [(*hour, number) for hour, number in hours.items()],
        "ON CONFLICT DO UPDATE SET events = events + excluded.events",
    )
    changed(connection)


def count_hours(connection: Connection, *events: ColumnElement[bool]) -> None:
    """Count some of the stored events by the hour; what there was of these hours has to be gone."""
    hour = whole(event.c.at, HOUR)
    columns = [event.c[name] for name in (*ROLLED, "marks")]
    counted = select(hour, *columns, func.count()).where(*events).group_by(hour, *columns)
    connection.execute(insert_into(rollup).from_select(_ROLLUP, counted))


def _numbered(connection: Connection, kind: int, column: Texts, vocabulary: Vocabulary) -> list[int]:
    numbers = vocabulary.numbers(connection, kind, column.texts)
    return list(map(numbers.__getitem__, column.places))


def _stored(connection: Connection, ids: Sequence[bytes]) -> Iterator[bytes]:
    for start in range(0, len(ids), PARAMETERS):
        some = tuple(ids[start : start + PARAMETERS])
        marks_ = ", ".join("?" * len(some))
        found = f"SELECT event_id FROM event WHERE event_id IN ({marks_})"  # noqa: S608
        yield from connection.exec_driver_sql(found, some).scalars()
