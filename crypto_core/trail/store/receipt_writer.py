"""Puts receipts into the store: each once, whatever delivers it, and forgets them with their calls."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, delete, exists, select

from crypto_core.receipts.receipt import LostReceipts, Receipt, ReceiptProcess
from crypto_core.trail.columns import DAY, seconds, stored_id
from crypto_core.trail.receipt_match import OPERATIONS, OTHER, subject_of
from crypto_core.trail.store.bulk_insert import chunks, insert
from crypto_core.trail.store.receipt_marks import Row, mark_stored
from crypto_core.trail.store.receipt_tables import (
    UNKNOWN,
    UNKNOWN_BYTES,
    call,
    receipt,
    receipt_process,
    receipts_lost,
    same_call,
)
from crypto_core.trail.store.schema import event
from crypto_core.trail.store.vocabulary import Profiles

_RECEIPT = ("day", "request", "subject", "at", "operation", "process", "unanswered")
Identity = tuple[int, bytes, bytes, int, int]
_LOST = ("process", "since", "at", "lost")


@dataclass(frozen=True, slots=True)
class AddedReceipts:
    """What became of receipts: stored calls `explained` by new ones, and receipts `lost` by processes."""

    new: int = 0
    duplicates: int = 0
    explained: int = 0
    lost: int = 0

    def __add__(self, other: AddedReceipts) -> AddedReceipts:
        return AddedReceipts(
            self.new + other.new,
            self.duplicates + other.duplicates,
            self.explained + other.explained,
            self.lost + other.lost,
        )


def write_receipts(
    connection: Connection, receipts: Sequence[Receipt], writer: str, profiles: Profiles
) -> AddedReceipts:
    """Store receipts, each once; `writer` is the role that inserted them, "" for those of a file."""
    numbers = _processes(connection, [one.process for one in receipts], writer)
    once: dict[Identity, Row] = {}
    for one in receipts:
        row = _row(one, numbers[one.process])
        once.setdefault(row[:5], row)
    there = _stored(connection, list(once))
    new = [row for identity, row in sorted(once.items()) if identity not in there]
    insert(connection, "receipt", _RECEIPT, new)
    explained = mark_stored(connection, new, profiles)
    return AddedReceipts(len(new), len(receipts) - len(new), explained)


def write_lost(connection: Connection, lost: Sequence[LostReceipts], writer: str) -> AddedReceipts:
    numbers = _processes(connection, [one.process for one in lost], writer)
    rows = {(numbers[one.process], seconds(one.since), seconds(one.at), one.lost) for one in lost}
    known = {tuple(row) for row in connection.execute(select(receipts_lost))} if rows else set()
    new = sorted(rows - known)
    insert(connection, "receipts_lost", _LOST, new, "ON CONFLICT DO NOTHING")
    return AddedReceipts(lost=sum(row[-1] for row in new))


def forget_receipts_before(connection: Connection, at: int) -> None:
    """Forget the calls of events that are gone, and the receipts before a second that explain none."""
    connection.execute(delete(call).where(call.c.day <= at // DAY, call.c.event.not_in(select(event.c.id))))
    old = (receipt.c.at < at, ~exists().where(same_call).correlate(receipt))
    connection.execute(delete(receipt).where(*old))
    connection.execute(delete(receipts_lost).where(receipts_lost.c.at < at))
    used = select(receipt.c.process).union(select(receipts_lost.c.process))
    connection.execute(delete(receipt_process).where(receipt_process.c.id.not_in(used)))


def _row(one: Receipt, process: int) -> Row:
    at = seconds(one.at)
    request = stored_id(one.request_id) if one.request_id else _unknown(one)
    subject = subject_of(one.token or one.stored_sha256 or "")
    operation = OPERATIONS.get(one.operation, OTHER)
    return at // DAY, request, subject, at, operation, process, one.unanswered


def _unknown(one: Receipt) -> bytes:
    told = f"{one.at.isoformat()} {one.process.host} {one.process.pid} {one.process.service}"
    return UNKNOWN + hashlib.sha256(told.encode()).digest()[: UNKNOWN_BYTES - 1]


def _stored(connection: Connection, identities: Sequence[Identity]) -> set[Identity]:
    by_day: dict[int, list[bytes]] = {}
    for day, request, *_ in identities:
        by_day.setdefault(day, []).append(request)
    found: set[Identity] = set()
    for day, requests in by_day.items():
        for some in chunks(requests):
            asked = select(*(receipt.c[name] for name in _RECEIPT[:5]))
            asked = asked.where(receipt.c.day == day, receipt.c.request.in_(some))
            found.update(map(tuple, connection.execute(asked)))
    return found


def _processes(
    connection: Connection, processes: Sequence[ReceiptProcess], writer: str
) -> dict[ReceiptProcess, int]:
    found: dict[ReceiptProcess, int] = {}
    p = receipt_process.c
    columns = ("host", "pid", "service", "writer")
    for one in dict.fromkeys(processes):
        told = (str(one.host), one.pid, str(one.service), writer)
        insert(connection, "receipt_process", columns, [told], "ON CONFLICT DO NOTHING")
        same = [p[name] == value for name, value in zip(columns, told, strict=True)]
        found[one] = int(connection.execute(select(p.id).where(*same)).scalar_one())
    return found
