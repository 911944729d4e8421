"""Takes new rows of keydeck.receipt into the store, by the order in which they were written.

The database notes when it wrote each row, whatever time the receipt tells, so that late ones are new ones. A
transaction may commit after another that wrote later: each look begins a little before the end of the last
one, and what comes twice counts once.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import groupby
from threading import Event
from typing import Any

from sqlalchemy import Engine

from crypto_core.database.connection.engine import connected
from crypto_core.database.qualified_sql import text
from crypto_core.errors import DatabaseError, MissingGrantError, MissingSchemaError, ReceiptError
from crypto_core.receipts.receipt import LostReceipts, Receipt, ReceiptProcess, receipt_of
from crypto_core.text.clean_text import clean
from crypto_core.trail.sources.receipts.report import ReceiptReport
from crypto_core.trail.store import EventStore

OVERLAP = timedelta(minutes=15)
"""So long a transaction that wrote receipts may have been under way: it takes seconds."""
PAGE = 10_000
_BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)

_WHICH = text(
    "SELECT current_database() || ' ' || system_identifier || ' ' || 'keydeck.receipt'::regclass::oid, now()"
    " FROM pg_control_system()"
)
"""Names the table among all, and tells the time: another database, or the same made anew, is another one."""
_ROWS = text(
    "SELECT request_id, operation, at, token, stored_sha256, host, pid, service, unanswered, lost, since,"
    " written_at, written_by FROM keydeck.receipt"
    " WHERE written_at >= :begin AND (written_at, request_id) > (:at, :id)"
    " ORDER BY written_at, request_id LIMIT :page"
)


@dataclass(frozen=True, slots=True)
class ReceiptTable:
    """Blocks on SQL and on the store."""

    engine: Engine
    store: EventStore

    def take(self, cancelled: Event | None = None) -> ReceiptReport:
        """Take what is new, and return what came.

        A table that isn't there, or may not be read, is named in the gaps; so is a database that can't be
        asked. Where no receipt ever came from it, a missing table is no gap. Raises EventStoreError,
        InterruptedRunError.
        """
        total = ReceiptReport()
        try:
            with connected(self.engine, cancelled=cancelled) as connection:
                source, now = connection.execute(_WHICH).one()
            position = self.store.receipts_reached(source)
            for rows in self._pages(position, cancelled):
                total += self._stored(rows)
                position = rows[-1].written_at.isoformat()
                self.store.note_receipts_reached(source, position, _BEGINNING)
            if position:
                self.store.note_receipts_reached(source, position, now)
        except MissingSchemaError:
            if self.store.receipts() is None:
                return total
            gap = "Receipts: keydeck.receipt is not in this database. keydeck init creates it."
        except MissingGrantError as error:
            gap = f"Receipts: keydeck.receipt can't be read. {error.remedy}"
        except DatabaseError as error:
            gap = f"Receipts were not taken from keydeck.receipt: {error.message}"
        else:
            return total
        return total + ReceiptReport(gaps=(gap,))

    def _pages(self, reached: str, cancelled: Event | None) -> Iterator[Sequence[Any]]:
        begin = datetime.fromisoformat(reached) - OVERLAP if reached else _BEGINNING
        at, identity = begin, ""
        while True:
            asked = {"begin": begin, "at": at, "id": identity, "page": PAGE}
            with connected(self.engine, cancelled=cancelled) as connection:
                rows = connection.execute(_ROWS, asked).all()
            if rows:
                at, identity = rows[-1].written_at, rows[-1].request_id
                yield rows
            if len(rows) < PAGE:
                return

    def _stored(self, rows: Sequence[Any]) -> ReceiptReport:
        report = ReceiptReport()
        for writer, some in groupby(sorted(rows, key=_writer), key=_writer):
            read: list[Receipt | LostReceipts] = []
            malformed = 0
            for row in some:
                try:
                    read.append(_receipt(row))
                except ReceiptError:
                    malformed += 1
            added = self.store.add_receipts(read, writer=writer)
            report += ReceiptReport(len(read), added, malformed=malformed)
        return report


def _writer(row: Any) -> str:
    return clean(row.written_by, 63)


def _receipt(row: Any) -> Receipt | LostReceipts:
    """Return what a row says. Raises ReceiptError for one that can't be a receipt."""
    if row.lost and row.since is not None:
        process = ReceiptProcess(clean(row.host, 255), row.pid, clean(row.service, 255))
        return LostReceipts(row.lost, row.since, row.at, process)
    names = ("request_id", "operation", "token", "stored_sha256", "host", "pid", "service", "unanswered")
    return receipt_of({name: getattr(row, name) for name in names} | {"at": row.at.isoformat()})
