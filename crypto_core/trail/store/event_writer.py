"""Puts events into the store: each once, whatever delivers it, and counted by the hour.

Calls that are recorded twice count once: of their records, the one that tells less is marked as a twin. Both
stay in the store. Only records of the same operation within a minute are held to be of one call, so that
none hides another one by an id that it took over.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Column, Connection, LargeBinary, delete, select

from crypto_core.aws.receipts.receipt import LostReceipts, Receipt
from crypto_core.trail.columns import HELD, HOUR, EventProperty
from crypto_core.trail.event_columns import Prepared, Texts
from crypto_core.trail.event_fields import DETAILS, ROLLED
from crypto_core.trail.store.dialect import upsert
from crypto_core.trail.store.event_places import stored, write_blocks, write_ids
from crypto_core.trail.store.hourly_counts import count_new
from crypto_core.trail.store.receipt_writer import (
    AddedReceipts,
    add_marks,
    mark_explained,
    write_calls,
    write_lost,
    write_receipts,
)
from crypto_core.trail.store.schema import PRESENT, chunks, event, insert, numbers, profile, table_by_key
from crypto_core.trail.store.vocabulary import Profiles, Vocabulary, changed

TWIN = int(EventProperty.TWIN)
APART = 60
"""Seconds that two records of one call are apart at most."""

twin = table_by_key("twin", Column("key", LargeBinary, primary_key=True), *numbers("id", "detail"))


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


_EVENT = ("id", "at", "profile", *DETAILS)


@dataclass(frozen=True, slots=True)
class Added:
    new: int = 0
    duplicates: int = 0
    kms: int = 0
    """KMS's events among all that were given, each event once."""

    def __add__(self, other: Added) -> Added:
        return Added(self.new + other.new, self.duplicates + other.duplicates, self.kms + other.kms)


class EventWriter:
    """Puts prepared events into a store. Used by one writer at a time, within its transaction."""

    def __init__(self) -> None:
        self._vocabulary = Vocabulary()
        self._profiles = Profiles()

    def forget(self) -> None:
        """Forget what was numbered: the transaction came to nothing."""
        self._vocabulary.forget()
        self._profiles.forget()

    def add(self, connection: Connection, prepared: Prepared) -> Added:
        """Store those of the events that are not stored yet; the first of a kind stays."""
        ids = list(zip(prepared.at, prepared.ids, strict=True))
        there = stored(connection, ids)
        new = prepared.of([one not in there for one in ids])
        if new.ids:
            self._write(connection, new)
        return Added(len(new.ids), prepared.given - len(new.ids), prepared.kms)

    def _write(self, connection: Connection, events: Prepared) -> None:
        if self._vocabulary.begin(connection):
            self._profiles.forget()
        top = int(connection.exec_driver_sql("SELECT coalesce(max(id), 0) FROM event").scalar_one())
        numbers = range(top + 1, top + 1 + len(events.ids))
        common = self._numbered(connection, ROLLED, events.common)
        columns = self._numbered(connection, DETAILS, events.columns)
        marks = mark_twins(connection, top + 1, events, common["name"], self._profiles)
        marks = _with_held(mark_explained(connection, events, marks), columns)
        rolled = list(zip(*common.values(), strict=True))
        kinds = list(zip(events.kinds, marks, strict=True))
        once = list(dict.fromkeys(kinds))
        found = self._profiles.numbers(connection, [(*rolled[kind], mark) for kind, mark in once])
        numbered = dict(zip(once, found, strict=True))
        profiles = list(map(numbered.__getitem__, kinds))
        rows = zip(numbers, events.at, profiles, *columns.values(), strict=True)
        insert(connection, "event", _EVENT, list(rows))
        write_ids(connection, top + 1, list(zip(events.at, events.ids, strict=True)))
        write_blocks(connection, top + 1, events.blocks)
        write_calls(connection, top + 1, events)
        count_new(connection, zip(events.at, profiles, strict=True))
        hours = [second // HOUR for second in events.at]
        present = {pair for name in PRESENT for pair in zip(columns[name], hours, strict=True) if pair[0]}
        insert(connection, "presence", ("text", "hour"), sorted(present), "ON CONFLICT DO NOTHING")
        changed(connection)

    def add_receipts(
        self, connection: Connection, receipts: Sequence[Receipt | LostReceipts], writer: str
    ) -> AddedReceipts:
        if self._vocabulary.begin(connection):
            self._profiles.forget()
        written = [one for one in receipts if isinstance(one, Receipt)]
        added = write_receipts(connection, written, writer, self._profiles)
        lost = [one for one in receipts if isinstance(one, LostReceipts)]
        added += write_lost(connection, lost, writer)
        if added.new or added.lost:
            changed(connection)
        return added

    def _numbered(
        self, connection: Connection, kinds: Mapping[str, int], columns: Mapping[str, Texts]
    ) -> dict[str, list[int]]:
        found = {}
        for name, kind in kinds.items():
            numbers = self._vocabulary.numbers(connection, kind, columns[name].texts)
            found[name] = list(map(numbers.__getitem__, columns[name].places))
        return found


def _with_held(marks: list[int], columns: Mapping[str, Sequence[int]]) -> list[int]:
    for name, held in HELD.items():
        bit = int(held)
        marks = [mark | bit if text else mark for mark, text in zip(marks, columns[name], strict=True)]
    return marks
