"""The request ids of events that were stored before receipts were: read once, when a store is upgraded."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from itertools import islice

from sqlalchemy import Connection, select

from crypto_core.trail.columns import DAY, seconds
from crypto_core.trail.packing import unpack
from crypto_core.trail.receipt_match import request_of
from crypto_core.trail.record_reader import load, read_record
from crypto_core.trail.store.bulk_insert import insert
from crypto_core.trail.store.schema import raw

_BLOCKS, _AT_ONCE = 1_000, 10_000
"""Blocks that are read, and rows that are noted, together."""
_OF_KMS = b"kms.amazonaws.com"
_HAS_ID = b'"requestID"'
_CALL = ("day", "request", "event", "at", "operation")


def note_older_calls(connection: Connection) -> None:
    """Note the request ids of all stored events that a receipt can explain."""
    rows = _rows(connection)
    while some := list(islice(rows, _AT_ONCE)):
        insert(connection, "call", _CALL, some)


def _rows(connection: Connection) -> Iterator[tuple[int, bytes, int, int, int]]:
    """The rows of `call`; a damaged record is told when it is read."""
    for first, block in connection.execute(select(raw.c.id, raw.c.body)).yield_per(_BLOCKS):
        with suppress(ValueError):
            for number, record in enumerate(unpack(block), first):
                if _OF_KMS in record and _HAS_ID in record:
                    found = read_record(load(record), record)
                    asked = request_of(found) if found is not None else None
                    if found is not None and asked is not None:
                        at = seconds(found.time)
                        yield at // DAY, asked[0], number, at, asked[1]
