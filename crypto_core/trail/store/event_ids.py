"""Finds events by their ids, and the id of an event.

Ids are random: in one order, they would be written all over, a page for each new event. They are kept by day.
What comes together is of few days, and to find one id, each day that has events is looked into.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, select

from crypto_core.trail.columns import DAY
from crypto_core.trail.store.schema import chunks, event, identity, insert

_DAYS = """
WITH RECURSIVE days(day) AS (
    SELECT min(day) FROM identity
    UNION ALL
    SELECT (SELECT min(day) FROM identity WHERE identity.day > days.day) FROM days WHERE days.day IS NOT NULL
)
"""
_COLUMNS = ("day", "event_id", "at", "event")

Identity = tuple[int, bytes]
"""An event's second, and its id as it is stored: another record with its id hides it only at its own time."""


def write_ids(connection: Connection, first: int, events: Sequence[Identity]) -> None:
    rows = [(at // DAY, event_id, at, number) for number, (at, event_id) in enumerate(events, first)]
    insert(connection, "identity", _COLUMNS, sorted(rows))


def stored(connection: Connection, events: Sequence[Identity]) -> set[Identity]:
    """Return those of the events that are stored, and others of their days that have their ids."""
    by_day: dict[int, list[bytes]] = {}
    for at, event_id in events:
        by_day.setdefault(at // DAY, []).append(event_id)
    found: set[Identity] = set()
    for day, ids in by_day.items():
        for some in chunks(ids):
            asked = (
                "SELECT at, event_id FROM identity "  # noqa: S608
                f"WHERE day = ? AND event_id IN ({_marks(some)})"
            )
            found.update(map(tuple, connection.exec_driver_sql(asked, (day, *some))))
    return found


def numbers_of(connection: Connection, ids: Sequence[bytes]) -> list[int]:
    """Return the numbers of the events with these ids, the first that came first."""
    found: list[int] = []
    for some in chunks(ids):
        asked = (
            f"{_DAYS} SELECT event FROM identity "  # noqa: S608
            f"WHERE day IN (SELECT day FROM days) AND event_id IN ({_marks(some)})"
        )
        found += connection.exec_driver_sql(asked, tuple(some)).scalars()
    return sorted(found)


def id_of(connection: Connection, number: int) -> bytes | None:
    """Return the id of an event by its number; None where there is no such event. Its day is read for it."""
    at = connection.scalar(select(event.c.at).where(event.c.id == number))
    if at is None:
        return None
    same = select(identity.c.event_id).where(identity.c.day == at // DAY, identity.c.event == number)
    return connection.scalar(same.limit(1))


def _marks(values: Sequence[object]) -> str:
    """Places for values: every id is a parameter."""
    return ", ".join("?" * len(values))
