"""Takes receipts into the store: from files, and new rows from the table keydeck.receipt.

Files are a sink's JSON lines, or a log that has them among others. Rows come by the order in which they were
written: the database notes when it wrote each, whatever time the receipt tells, so that late ones are new
ones. A transaction may commit after another that wrote later: each look begins a little before the end of the
last one, and what comes twice counts once.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import groupby
from threading import Event
from typing import Any

from sqlalchemy import Engine

from crypto_core.aws.receipts.receipt import (
    LONGEST_LINE,
    LostReceipts,
    Receipt,
    ReceiptProcess,
    read_receipt,
    receipt_of,
)
from crypto_core.database.connection.engine import connected
from crypto_core.database.qualified_sql import text
from crypto_core.trail.sources.files.find_files import NO_FILE, Walk, why
from crypto_core.trail.sources.files.one_file import PIECE
from crypto_core.trail.sources.files.packed_logs import UnreadableError, unpacked
from crypto_core.trail.sources.report import ReceiptReport
from crypto_core.trail.store import EventStore
from crypto_core.trail.store.store import AT_ONCE
from crypto_core.values.cancellation import stop_if
from crypto_core.values.clean_text import clean
from crypto_core.values.counts import counted
from crypto_core.values.errors import DatabaseError, MissingGrantError, MissingSchemaError, ReceiptError

LONGEST = 4 * LONGEST_LINE
"""Bytes of a line that is looked at: a receipt, escaped, within another line."""
_SIGNS = (b"request_id", b"receipts_lost")

Found = Receipt | LostReceipts | ReceiptError | None


def receipts_in(pieces: Iterable[bytes]) -> Iterator[Found]:
    """Yield what each line of a file's bytes holds. Memory is bounded, however long a line is."""
    rest, dropping = b"", False
    for piece in pieces:
        *lines, rest = (rest + piece).split(b"\n")
        for line in lines:
            yield None if dropping or len(line) > LONGEST else found_in(line)
            dropping = False
        if len(rest) > LONGEST:
            rest, dropping = b"", True
    if dropping:
        yield None
    elif rest:
        yield found_in(rest)


def found_in(line: bytes) -> Found:
    """Return the receipt in a line, behind a logger's prefix or in a JSON log line too; None for none."""
    if not any(sign in line for sign in _SIGNS):
        return None
    text = line.decode("utf-8", "replace")
    begin, end = text.find("{"), text.rfind("}")
    if begin < 0 or end < begin:
        return None
    document = text[begin : end + 1]
    try:
        return read_receipt(document) or _wrapped(document)
    except ReceiptError as error:
        return error


def _wrapped(document: str) -> Receipt | LostReceipts | None:
    """A receipt that is a text, or an object, of a JSON object's field. Raises ReceiptError."""
    try:
        fields = json.loads(document)
    except (ValueError, RecursionError):
        return None
    for value in fields.values() if isinstance(fields, dict) else ():
        text = json.dumps(value) if isinstance(value, dict) else value
        if isinstance(text, str) and (begin := text.find("{")) >= 0:
            found = read_receipt(text[begin : text.rfind("}") + 1])
            if found is not None:
                return found
    return None


FILES = "files"


def take_files(
    store: EventStore,
    paths: Sequence[str | os.PathLike[str]],
    cancelled: Event | None = None,
    *,
    source: str = FILES,
) -> ReceiptReport:
    """Store the receipts of files, gzip or plain, and of all files below folders, each receipt once.

    They are taken to be whole up to the newest of them, which is noted for `source`; "" notes nothing. What
    can't be read is told in the report's gaps. Raises EventStoreError, InterruptedRunError.
    """
    total = ReceiptReport()
    walk = Walk([os.fspath(path) for path in paths], ("",), digests=True)
    for found in walk:
        stop_if(cancelled)
        path = os.fsdecode(found.path)
        if found.trouble:
            total += ReceiptReport(files=1, gaps=(f"{clean(path, 300)}: {found.trouble}",))
        else:
            total += _taken(store, path, cancelled)
    if hidden := walk.skipped["hidden folder"]:
        total += ReceiptReport(gaps=(f"{counted(hidden, 'hidden folder')} passed over.",))
    if source and total.newest is not None:
        store.note_receipts_reached(source, "", total.newest)
    return total


def _taken(store: EventStore, path: str, cancelled: Event | None) -> ReceiptReport:
    report = ReceiptReport(files=1)
    some: list[Receipt | LostReceipts] = []
    passed = malformed = 0
    first: ReceiptError | None = None
    trouble = ""
    try:
        for found in receipts_in(unpacked(_pieces(path, cancelled))):
            if found is None:
                passed += 1
            elif isinstance(found, ReceiptError):
                malformed += 1
                first = first or found
            else:
                some.append(found)
                if len(some) == AT_ONCE:
                    report += _stored(store, some)
                    some = []
    except UnreadableError as error:
        trouble = error.message
    except OSError as error:
        trouble = why(error)
    report += _stored(store, some) + ReceiptReport(passed_over=passed, malformed=malformed)
    name = clean(path, 300)
    gaps = [f"{name}: {trouble}"] if trouble else []
    if first is not None:
        gaps.append(f"{name}: malformed receipts, passed over: {malformed:,}. The first: {first.message}")
    return report + ReceiptReport(gaps=tuple(gaps))


def _stored(store: EventStore, some: Sequence[Receipt | LostReceipts]) -> ReceiptReport:
    newest = max((one.at for one in some), default=None)
    return ReceiptReport(len(some), store.add_receipts(some), newest=newest)


def _pieces(path: str, cancelled: Event | None) -> Iterator[bytes]:
    # What is a pipe must not block.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise UnreadableError(NO_FILE)
        while piece := os.read(descriptor, PIECE):
            stop_if(cancelled)
            yield piece
    finally:
        os.close(descriptor)


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
