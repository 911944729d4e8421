"""Doctor's check of the records of evidence: is there a signed one of each of the last days?"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from sqlalchemy import Engine, func, select

from crypto_core.database.connection.engine import connected
from crypto_core.database.schema import evidence_record as table
from crypto_core.diagnosis.check import Check, Topic
from crypto_core.diagnosis.own_schema import TableCheck
from crypto_core.values.counts import counted, listed

_LOOKED_AT = 30
"""Days before today that are looked at."""
_FRESH = timedelta(hours=36)
_SCHEDULE = "Print what makes one every day: keydeck evidence schedule."


def own_records(engine: Engine, topic: Topic) -> Check:
    """Say whether there is a signed record of each of the last days. Raises DatabaseError."""
    c = table.c
    now = datetime.now(UTC)
    recent = select(c.taken_at, c.signature).where(c.taken_at >= now - timedelta(days=_LOOKED_AT))
    with connected(engine) as connection:
        rows = connection.execute(recent).all()
        first, last = connection.execute(select(func.min(c.taken_at), func.max(c.taken_at))).one()
    if last is None:
        return topic.ok("None was made yet: see keydeck evidence schedule.")
    begun = max(first.astimezone(UTC).date(), (now - timedelta(days=_LOOKED_AT)).date())
    there = {row.taken_at.astimezone(UTC).date() for row in rows}
    days = [begun + timedelta(days=n) for n in range((now.date() - begun).days)]
    gaps = [day.isoformat() for day in days if day not in there]
    said = f"The last one is of {last.astimezone(UTC):%Y-%m-%d %H:%M} UTC."
    if now - last > _FRESH:
        return topic.warning(f"{said} None since.", _SCHEDULE)
    if gaps:
        return topic.warning(f"{said} None of {listed(gaps, 5)}: {counted(len(gaps), 'day')}.", _SCHEDULE)
    if unsigned := sum(not bytes(row.signature) for row in rows):
        return topic.warning(
            f"{said} {counted(unsigned, 'record')} of the last {_LOOKED_AT} days unsigned.",
            "Set KEYDECK_SIGNING_KEY, and let whoever records sign: keydeck grants operator.",
        )
    return topic.ok(f"{said} Each of the last days has one, signed.")


RECORDS_CHECK = TableCheck("records of evidence", table.name, own_records)
