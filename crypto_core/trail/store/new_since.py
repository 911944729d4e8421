"""What has come to the store since it was last looked at, in the order of coming, whatever its date.

CloudTrail delivers late and out of order, so that a look by date misses what is dated before the last look.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, func, select

from crypto_core.trail.store.blocks import Row, with_records
from crypto_core.trail.store.conditions import Conditions
from crypto_core.trail.store.event_ids import id_of
from crypto_core.trail.store.schema import event


@dataclass(frozen=True, slots=True)
class ArrivalMark:
    """How far a look got: the newest arrival then. `event_id` is as it is stored."""

    number: int = 0
    event_id: bytes = b""


BEGINNING = ArrivalMark()


def arrived(
    connection: Connection, found: Conditions, after: ArrivalMark, limit: int
) -> tuple[list[Row], ArrivalMark, bool]:
    """Return the events of a filter that came after `after`, how far that got, and whether there is more.

    Numbers are given again once the newest events are deleted: where the anchor is gone, all events count.
    """
    last = newest(connection)
    if last is None:
        return [], BEGINNING, False
    gone = after != BEGINNING and after.event_id != id_of(connection, after.number)
    conditions = [event.c.id > (0 if gone else after.number), event.c.id <= last.number, found.on(event)]
    if found.bounds.empty:
        return [], last, False
    page = (
        select(event.c.id, event.c.at)
        .where(*conditions, *found.bounds.on(event.c.at))
        .order_by(event.c.id)
        .limit(limit + 1)
        .subquery()
    )
    rows = connection.execute(with_records(page).order_by(page.c.id)).all()
    more = len(rows) > limit
    chosen = [tuple(row) for row in rows[:limit]]
    reached = ArrivalMark(chosen[-1][0], id_of(connection, chosen[-1][0]) or b"") if more else last
    return chosen, reached, more


def newest(connection: Connection) -> ArrivalMark | None:
    """Return the event that came last; None where there is none."""
    number = connection.scalar(select(func.max(event.c.id)))
    return None if number is None else ArrivalMark(number, id_of(connection, number) or b"")
