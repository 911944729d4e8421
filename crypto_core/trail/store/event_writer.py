"""Puts events into the store: each once, whatever delivers it, and counted by the hour."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection

from crypto_core.receipts.receipt import LostReceipts, Receipt
from crypto_core.trail.columns import HELD, HOUR
from crypto_core.trail.event_columns import Prepared, Texts
from crypto_core.trail.event_fields import DETAILS, ROLLED
from crypto_core.trail.store.blocks import write_blocks
from crypto_core.trail.store.bulk_insert import insert
from crypto_core.trail.store.event_ids import stored, write_ids
from crypto_core.trail.store.hourly_counts import count_new
from crypto_core.trail.store.receipt_marks import mark_explained, write_calls
from crypto_core.trail.store.receipt_writer import AddedReceipts, write_lost, write_receipts
from crypto_core.trail.store.schema import PRESENT
from crypto_core.trail.store.twins import mark_twins
from crypto_core.trail.store.vocabulary import Profiles, Vocabulary, changed

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
