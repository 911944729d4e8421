"""What has come to the store since it was last looked at, in the order of coming, whatever its date.

CloudTrail delivers late and out of order, so that a look by date misses what is dated before the last look.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, select

from crypto_core.trail.store.blocks import Row, with_records
from crypto_core.trail.store.conditions import Conditions
from crypto_core.trail.store.schema import event


@dataclass(frozen=True, slots=True)
class Anchor:
    """How far a look got: the newest arrival then. `event_id` is as it is stored."""

    number: int = 0
    event_id: bytes = b""


BEGINNING = Anchor()


def arrived(
    connection: Connection, found: Conditions, after: Anchor, limit: int
) -> tuple[list[Row], Anchor, bool, bool]:
    """Return the events of a filter that came after `after`, how far that got, and two answers more.

    These are whether there is more, and whether it began anew: numbers are given again once the newest events
    are deleted, so where the anchor is no longer there, nothing can be said of what came after it.
    """
    newest = connection.execute(
        select(event.c.id, event.c.event_id).order_by(event.c.id.desc()).limit(1)
    ).one_or_none()
    if newest is None:
        return [], BEGINNING, False, after != BEGINNING
    anew = after != BEGINNING and after.event_id != connection.scalar(
        select(event.c.event_id).where(event.c.id == after.number)
    )
    conditions = [event.c.id > (0 if anew else after.number), event.c.id <= newest.id, found.on(event)]
    if found.bounds.empty:
        return [], Anchor(newest.id, newest.event_id), False, anew
    page = (
        select(event.c.id, event.c.at, event.c.event_id)
        .where(*conditions, *found.bounds.on(event.c.at))
        .order_by(event.c.id)
        .limit(limit + 1)
        .subquery()
    )
    rows = connection.execute(with_records(page, page.c.event_id).order_by(page.c.id)).all()
    more = len(rows) > limit
    chosen = [tuple(row) for row in rows[:limit]]
    reached = Anchor(chosen[-1][0], chosen[-1][-1]) if more else Anchor(newest.id, newest.event_id)
    return [row[:-1] for row in chosen], reached, more, anew
