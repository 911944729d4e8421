"""What is in a file: one JSON document, several, one a line, or a table of CSV. Its content decides."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator
from typing import Any

import orjson

from crypto_core.trail import record_reader
from crypto_core.trail.sources.files.packed_logs import LARGEST, UnreadableError
from crypto_core.trail.sources.files.record_shapes import COLUMNS, MOST_RECORDS, is_record, of_row, records_of
from crypto_core.values.counts import counted

_LIST, _BEGIN = b'{"Records":[', b'{"eventVersion":'
_FIRST, _NEXT = _LIST + _BEGIN, b"," + _BEGIN
_BARREN = 100_000
"""Documents or lines in a row without a record after which no more are looked for."""
_LOOKED_AT = 20
"""Lines, one of which must be a document for a file to be JSON lines: the first may be damaged."""
_MARK = b"\xef\xbb\xbf"
_SPACE = re.compile(r"[ \t\r\n]*")
_EXPORTED = re.compile(rb"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.]{8,15}Z (?=\{)")
"""What CloudWatch Logs writes before each message that it exports to S3."""
_UNREAD_FORMATS = (
    (rb"Obj\x01", "Avro", "Write it as JSON lines."),
    (rb"ORC", "ORC", "Write it as JSON lines."),
    (rb"PK(?:\x03\x04|\x05\x06)", "a zip archive within another file or a pipe", "Name the archive itself."),
    (rb"SQLite format 3\x00", "a database of SQLite", "Import what it was made of."),
    (rb"(?:<[0-9]{1,3}>.{0,200}?)?(?:CEF:[0-9]|LEEF:[0-9])", "CEF or LEEF", "Export the original records."),
    (rb"(?s).{257}ustar", "a tar archive within another", "Unpack it."),
    (rb"<[0-9]{1,3}>", "syslog", "Export the records without its headers, one a line."),
)
"""Formats that hold records in ways that are not read here: how they begin, what they are, what to do."""


def plain_records(content: bytes) -> list[tuple[dict[str, Any], bytes]] | None:
    """Return the records in a file as CloudTrail writes it, each with its JSON; None for any other content.

    What lies between the commas that are followed by a record's first field is parsed by itself. As each is
    an object, they are the records of the whole, for JSON can't be read in two ways.
    """
    if not (content.startswith(_FIRST) and content.endswith(b"}]}")):
        return None
    begin, *others = content[len(_LIST) : -2].split(_NEXT)
    if len(others) >= MOST_RECORDS:
        return None
    raws = [begin, *[_BEGIN + other for other in others]]
    try:
        record_reader.require_few_values(content)
        found = [((record := orjson.loads(raw)), record_reader.kept_raw(record, raw)) for raw in raws]
    except ValueError:
        return None
    return found if all(is_record(record) for record, _ in found) else None


def records_in(source: Iterator[bytes], *, largest: int = LARGEST) -> Iterator[object]:
    """Yield a content's records; of what is cut short, whole lines. Raises UnreadableError at the end."""
    try:
        yield from _records_in(source, largest)
    except record_reader.OversizeDocumentError as error:
        raise UnreadableError(f"Too large: {error}. No more of it is read.") from error


def _records_in(source: Iterator[bytes], largest: int) -> Iterator[object]:
    held: list[bytes] = []
    size = 0
    trouble: UnreadableError | None = None
    try:
        for piece in source:
            held.append(piece)
            size += len(piece)
            if size > largest:
                break
    except UnreadableError as error:
        if not error.cut_short:
            raise
        trouble = error
    content = (held[0] if len(held) == 1 else b"".join(held)).removeprefix(_MARK) if held else b""
    del held
    _require_read(content)
    if size <= largest and trouble is None:
        if not content or content.isspace():
            raise UnreadableError("It is empty.")
        try:
            document = record_reader.load_foreign(content)
        except ValueError:
            pass
        else:
            yield from records_of(document)
            return
    names = table_names(content)
    if names:
        yield from _of_table(names, _lines(content, source, trouble, largest))
    elif any(map(_is_document, content.lstrip().split(b"\n", _LOOKED_AT)[:_LOOKED_AT])):
        yield from _of_lines(_lines(content, source, trouble, largest))
    elif trouble is not None:
        raise trouble
    elif size > largest:
        raise UnreadableError(
            f"It is larger than {largest // 2**20:,} MiB, unpacked, and not in JSON lines."
            " Make lines of it: jq -c '.Records[]'."
        )
    else:
        yield from _of_several(content)


def _require_read(content: bytes) -> None:
    for begin, name, remedy in _UNREAD_FORMATS:
        if re.match(begin, content):
            raise UnreadableError(f"It is {name}, which is not read. {remedy}")


def _is_document(line: bytes) -> bool:
    try:
        documents = _documents(line)
    except ValueError:
        return False
    return all(isinstance(document, dict | list) and document for document in documents)


def _documents(line: bytes) -> list[Any]:
    """The documents of a line: one, also behind an export's time, or several. Raises ValueError."""
    try:
        return [record_reader.load_foreign(line)]
    except record_reader.OversizeDocumentError:
        raise
    except ValueError:
        exported = _EXPORTED.match(line)
        if exported:
            return [record_reader.load_foreign(line[exported.end() :])]
        if not line.startswith(b"{"):
            raise
    return list(_following(line.decode()))


def _lines(
    content: bytes, further: Iterator[bytes], trouble: UnreadableError | None, largest: int
) -> Iterator[bytes]:
    rest = content
    while True:
        start = 0
        while (end := rest.find(b"\n", start)) >= 0:
            yield rest[start:end]
            start = end + 1
        rest = rest[start:]
        if trouble is not None:
            raise trouble
        # Several small pieces in one go: what is left of a line is not copied for each.
        coming = b""
        for piece in further:
            coming += piece
            if len(coming) > len(rest):
                break
        if not coming:
            break
        rest += coming
        if len(rest) > largest:
            raise UnreadableError(f"It has a line of more than {largest // 2**20:,} MiB.")
    yield rest


def _of_lines(lines: Iterator[bytes]) -> Iterator[object]:
    read = unread = 0
    first_unread = 0
    number = last = 0
    trouble = ""
    try:
        for number, line in enumerate(lines, start=1):
            _require_fruit(number - last)
            if not line or line.isspace():
                continue
            try:
                documents = _documents(line)
            except ValueError:
                unread += 1
                first_unread = first_unread or number
                continue
            read += 1
            for document in documents:
                for record in records_of(document):
                    last = number
                    yield record
    except UnreadableError as error:
        trouble = error.message + (f" Before that, {counted(read, 'line')} were read." if read else "")
    if unread:
        trouble += (
            f" {unread:,} of its {read + unread:,} lines are not JSON, the first is line {first_unread:,}."
        )
    if trouble:
        raise UnreadableError(trouble.strip())


def _of_table(names: list[str], lines: Iterator[bytes]) -> Iterator[object]:
    read = 0
    try:
        for row in rows_of(lines):
            read += 1
            _require_cells(row, names, read)
            for found in of_row(dict(zip(names, row, strict=True))):
                yield from _of_cell(found)
    except (UnreadableError, csv.Error, UnicodeDecodeError) as error:
        reason = error.message if isinstance(error, UnreadableError) else "It is not CSV, or cut short."
        raise UnreadableError(f"{reason} Before that, {counted(read, 'row')} were read.") from error


def _require_cells(row: list[str], names: list[str], number: int) -> None:
    if len(row) != len(names):
        raise UnreadableError(f"Its row {number:,} has {counted(len(row), 'cell')}, not {len(names):,}.")


def _of_cell(found: object) -> Iterator[object]:
    if not isinstance(found, str):
        yield found
        return
    try:
        document = record_reader.load_foreign(found.encode())
    except record_reader.OversizeDocumentError:
        raise
    except ValueError:
        yield found
    else:
        yield from records_of(document)


def _of_several(content: bytes) -> Iterator[object]:
    documents = last = 0
    try:
        text = content.decode()
    except UnicodeDecodeError as error:
        raise UnreadableError("It is not JSON.") from error
    record_reader.require_few_values(content)
    try:
        for document in _following(text):
            documents += 1
            _require_fruit(documents - last)
            for record in records_of(document):
                last = documents
                yield record
    except _NoDocumentError as error:
        if not documents:
            raise UnreadableError("It is not JSON, or cut short.") from error
        raise UnreadableError(f"What follows its first {documents:,} JSON documents is none.") from error


class _NoDocumentError(ValueError):
    """What follows is no JSON document."""


def _following(text: str) -> Iterator[Any]:
    """The documents that follow one another, as jq and Firehose write them. Raises _NoDocumentError."""
    decoder = json.JSONDecoder()
    place = 0
    while (place := _space(text, place)) < len(text):
        try:
            document, place = decoder.raw_decode(text, place)
        except (ValueError, RecursionError) as error:
            raise _NoDocumentError from error
        yield document


def _require_fruit(barren: int) -> None:
    if barren > _BARREN:
        raise UnreadableError(f"No more of it is read after {_BARREN:,} lines or documents without a record.")


def _space(text: str, place: int) -> int:
    found = _SPACE.match(text, place)
    return found.end() if found else place


_LONGEST_HEADER = 64 * 1024
_LARGEST_ROW = 4 * 1024 * 1024
"""Bytes of a row. A record has 256 KB at most."""
_ALONE = "message"
"""The name of a column that many a log has: a table of CloudTrail's only with others."""


def table_names(content: bytes) -> list[str]:
    """Return the names of a table's columns in the first line of a file's content; [] where it is none."""
    line, _, _ = content[:_LONGEST_HEADER].lstrip().partition(b"\n")
    if line[:1] in (b"{", b"["):
        return []
    try:
        names = next(csv.reader([line.decode().rstrip("\r")], strict=True), [])
    except (csv.Error, UnicodeDecodeError):
        return []
    found = {name.strip().lower() for name in names}
    return names if found & COLUMNS or (_ALONE in found and len(found) > 1) else []


def rows_of(lines: Iterator[bytes]) -> Iterator[list[str]]:
    """Yield a table's rows, row by row (RFC 4180). Raises UnreadableError, csv.Error, UnicodeDecodeError."""
    held = 0

    def counted_lines() -> Iterator[str]:
        nonlocal held
        for line in lines:
            held += len(line) + 1
            if held > _LARGEST_ROW:
                raise UnreadableError(f"It has a row of more than {_LARGEST_ROW // 2**20} MiB.")
            yield line.decode() + "\n"

    csv.field_size_limit(max(csv.field_size_limit(), _LARGEST_ROW))
    header = True
    for row in csv.reader(counted_lines(), strict=True):
        held = 0
        if row and not header:
            yield row
        header = header and not row
