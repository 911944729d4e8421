"""Takes receipts out of files into the store: a sink's JSON lines, or a log that has them among others."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterable, Iterator, Sequence
from threading import Event

from crypto_core.cancellation import stop_if
from crypto_core.errors import ReceiptError
from crypto_core.receipts.receipt import LONGEST_LINE, LostReceipts, Receipt, read_receipt
from crypto_core.text.clean_text import clean
from crypto_core.text.counts import counted
from crypto_core.trail.sources.files.find_files import NO_FILE, Walk, why
from crypto_core.trail.sources.files.one_file import PIECE
from crypto_core.trail.sources.files.packed_logs import UnreadableError, unpacked
from crypto_core.trail.sources.receipts.report import ReceiptReport
from crypto_core.trail.store import EventStore
from crypto_core.trail.store.store import AT_ONCE

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
