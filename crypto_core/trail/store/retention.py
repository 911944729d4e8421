"""Forgets old events, and receipts as old. What has a note stays, as do its counts and its receipts."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, delete, not_, select

from crypto_core.trail.columns import DAY, HOUR
from crypto_core.trail.event_fields import DETAILS, ROLLED
from crypto_core.trail.store.blocks import blocks_of, forget_records
from crypto_core.trail.store.hourly_counts import count_all
from crypto_core.trail.store.pulls import forget_pulls_before
from crypto_core.trail.store.receipt_writer import forget_receipts_before
from crypto_core.trail.store.schema import (
    COLUMNS,
    daily,
    event,
    identity,
    note,
    presence,
    profile,
    rollup,
    term,
)
from crypto_core.trail.store.twins import forget_twins
from crypto_core.trail.store.vocabulary import changed


@dataclass(frozen=True, slots=True)
class Vacuumed:
    """How many events were forgotten, and the store's size before and after, in bytes."""

    forgotten: int
    bytes_before: int
    bytes_after: int


def forget_before(connection: Connection, at: int) -> int:
    """Forget the events before a second, but those with a note or a review; return how many."""
    old = (event.c.at < at, event.c.id.not_in(select(note.c.id)))
    blocks = blocks_of(connection, event.c.id, *old)
    gone = connection.execute(delete(event).where(*old)).rowcount
    forget_records(connection, blocks)
    forget_twins(connection)
    forget_receipts_before(connection, at)
    forget_pulls_before(connection, at)
    gone_ids = identity.c.event.not_in(select(event.c.id))
    connection.execute(delete(identity).where(identity.c.day <= at // DAY, gone_ids))
    connection.execute(delete(rollup).where(rollup.c.hour <= at // HOUR))
    connection.execute(delete(daily).where(daily.c.day <= at // DAY))
    connection.execute(delete(presence).where(presence.c.hour <= at // HOUR))
    # Both halves of the hour that is cut are counted anew, and so is its day.
    count_all(connection, until=at // HOUR)
    connection.execute(delete(profile).where(profile.c.id.not_in(select(rollup.c.profile))))
    for name, kind in (ROLLED | DETAILS).items():
        used = select(COLUMNS[name]).distinct()
        connection.execute(delete(term).where(term.c.kind == kind, not_(term.c.id.in_(used))))
    changed(connection, forgotten=True)
    return int(gone)
