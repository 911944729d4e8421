"""Finds events by their ids.

Ids are random: in one order, their index would be written all over, a page for each new event. It is kept by
day. What comes together is of few days, and to find one id, each day that has events is looked into.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from sqlalchemy import Connection

from crypto_core.trail.store.bulk_insert import PARAMETERS

_DAY = 86_400
_DAYS = """
WITH RECURSIVE days(day) AS (
    SELECT min(at / 86400) FROM event INDEXED BY ix_event_id
    UNION ALL
    SELECT (
        SELECT at / 86400 FROM event INDEXED BY ix_event_id
        WHERE at / 86400 > day ORDER BY at / 86400 LIMIT 1
    ) FROM days WHERE day IS NOT NULL
)
"""

Identity = tuple[int, bytes]
"""An event's second, and its id as it is stored: another record with its id hides it only at its own time."""


def stored(connection: Connection, events: Sequence[Identity]) -> set[Identity]:
    """Return those of the events that are stored, and others of their days that have their ids."""
    by_day: dict[int, list[bytes]] = {}
    for at, event_id in events:
        # As SQLite divides: rounded towards 1970.
        by_day.setdefault(at // _DAY if at >= 0 else -(-at // _DAY), []).append(event_id)
    found: set[Identity] = set()
    for day, ids in by_day.items():
        for some in _chunks(ids):
            asked = (
                "SELECT at, event_id FROM event INDEXED BY ix_event_id "  # noqa: S608
                f"WHERE at / 86400 = ? AND event_id IN ({_marks(some)})"
            )
            found.update(map(tuple, connection.exec_driver_sql(asked, (day, *some))))
    return found


def numbers_of(connection: Connection, ids: Sequence[bytes]) -> list[int]:
    """Return the numbers of the events with these ids, the first that came first."""
    found: list[int] = []
    for some in _chunks(ids):
        asked = (
            f"{_DAYS} SELECT id FROM event INDEXED BY ix_event_id "  # noqa: S608
            f"WHERE at / 86400 IN (SELECT day FROM days) AND event_id IN ({_marks(some)})"
        )
        found += connection.exec_driver_sql(asked, tuple(some)).scalars()
    return sorted(found)


def _chunks(ids: Sequence[bytes]) -> Iterator[Sequence[bytes]]:
    for start in range(0, len(ids), PARAMETERS):
        yield ids[start : start + PARAMETERS]


def _marks(values: Sequence[object]) -> str:
    """Places for values: every id is a parameter."""
    return ", ".join("?" * len(values))
