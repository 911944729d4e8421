"""Calls that are recorded twice count once: of their records, the one that tells less is marked as a twin.

Both stay in the store. Only records of the same operation within a minute are held to be of one call, so that
none hides another one by an id that it took over.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sqlalchemy import Column, Connection, LargeBinary, Table, delete, select
from sqlalchemy.dialects.sqlite import insert as upsert

from crypto_core.trail.columns import EventProperty
from crypto_core.trail.event_columns import Prepared
from crypto_core.trail.store.bulk_insert import chunks
from crypto_core.trail.store.receipt_marks import add_marks
from crypto_core.trail.store.schema import event, metadata, numbers, profile
from crypto_core.trail.store.vocabulary import Profiles

TWIN = int(EventProperty.TWIN)
APART = 60
"""Seconds that two records of one call are apart at most."""

twin = Table(
    "twin",
    metadata,
    Column("key", LargeBinary, primary_key=True),
    *numbers("id", "detail"),
    sqlite_with_rowid=False,
)


@dataclass(frozen=True, slots=True)
class _Counted:
    id: int
    detail: int
    at: int
    name: int

    def same_call(self, other: _Counted) -> bool:
        return self.name == other.name and abs(self.at - other.at) <= APART


def mark_twins(
    connection: Connection, first: int, events: Prepared, names: Sequence[int], profiles: Profiles
) -> list[int]:
    """Return the marks of events to be stored from `first` on, and mark stored ones that tell less."""
    marks = list(events.marks)
    if not events.twins:
        return marks
    known = _known(connection, {key for _, key, _ in events.twins})
    new: dict[bytes, _Counted] = {}
    fewer: set[int] = set()
    for place, key, detail in events.twins:
        mine = _Counted(first + place, detail, events.at[place], names[events.kinds[place]])
        other = known.get(key)
        if other is None or (mine.detail > other.detail and mine.same_call(other)):
            known[key] = new[key] = mine
            if other is not None and other.id >= first:
                marks[other.id - first] |= TWIN
            elif other is not None:
                fewer.add(other.id)
        elif other.id != mine.id and mine.same_call(other):
            marks[place] |= TWIN
    if new:
        rows = [{"key": key, "id": one.id, "detail": one.detail} for key, one in new.items()]
        added = upsert(twin)
        connection.execute(
            added.on_conflict_do_update(
                index_elements=["key"], set_={"id": added.excluded.id, "detail": added.excluded.detail}
            ),
            rows,
        )
    add_marks(connection, dict.fromkeys(fewer, TWIN), profiles)
    return marks


def forget_twins(connection: Connection) -> None:
    connection.execute(delete(twin).where(twin.c.id.not_in(select(event.c.id))))


def _known(connection: Connection, keys: Iterable[bytes]) -> dict[bytes, _Counted]:
    wanted = sorted(keys)
    found: dict[bytes, _Counted] = {}
    for some in chunks(wanted):
        rows = connection.execute(
            select(twin.c.key, twin.c.id, twin.c.detail, event.c.at, profile.c.name)
            .join(event, event.c.id == twin.c.id)
            .join(profile, profile.c.id == event.c.profile)
            .where(twin.c.key.in_(some))
        )
        found |= {row.key: _Counted(row.id, row.detail, row.at, row.name) for row in rows}
    return found
