"""What is in a file: gzip or plain, one JSON document, several, or one a line. Its content decides.

RFC 1952 for gzip, several members of which may follow one another.
"""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Any

from crypto_core.errors import TrailError
from crypto_core.text.counting import counted
from crypto_core.trail.record_reader import (
    OversizeDocumentError,
    load_foreign,
    records_of,
    require_few_values,
)

LARGEST = 32 * 1024 * 1024
"""Bytes, unpacked, of one JSON document. CloudTrail's own have some MB. Reading may take ten times more.

Of documents that stand in lines, a file may hold any number.
"""

_GZIP = b"\x1f\x8b"
_PIECE = 16 * 1024 * 1024
"""Bytes that are unpacked at once at most."""
_MOST_TIMES, _TIMES_FROM = 100, 8 * 1024 * 1024
"""How many times its size a file may unpack to, from so many bytes on. CloudTrail's: some 20 times."""
_BARREN = 100_000
"""Documents or lines in a row without a record after which no more are looked for."""
_LOOKED_AT = 20
"""Lines, one of which must be a document for a file to be JSON lines: the first may be damaged."""
_MARK = b"\xef\xbb\xbf"
_SPACE = re.compile(r"[ \t\r\n]*")


class UnreadableError(TrailError):
    """A file, or a part of it, that can't be read; what came before it has been."""

    def __init__(self, message: str, *, cut_short: bool = False, remedy: str = "") -> None:
        super().__init__(message, remedy=remedy)
        self.cut_short = cut_short
        """True where what came before the end is sound."""


class BombError(UnreadableError):
    """A file that unpacks to what no file of CloudTrail's does."""


def records_in(source: Iterator[bytes], *, largest: int = LARGEST) -> Iterator[object]:
    """Yield the records in a file's content. Raises UnreadableError, after all that can be read of it.

    What is damaged is not read at all, if it is no larger than `largest`; of what is cut short, whole lines.
    """
    try:
        yield from _records_in(source, largest)
    except OversizeDocumentError as error:
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
    if size <= largest and trouble is None:
        if not content or content.isspace():
            raise UnreadableError("It is empty.")
        try:
            document = load_foreign(content)
        except ValueError:
            pass
        else:
            yield from records_of(document)
            return
    if any(map(_is_document, content.lstrip().split(b"\n", _LOOKED_AT)[:_LOOKED_AT])):
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


def unpacked(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Yield bytes, unpacked if they are gzip, in pieces of bounded size. Raises UnreadableError."""
    pieces = iter(pieces)
    first = b""
    while len(first) < len(_GZIP) and (piece := next(pieces, b"")):
        first += piece
    if not first.startswith(_GZIP):
        if first:
            yield first
        yield from pieces
        return
    inflater = zlib.decompressobj(31)
    size = packed = 0
    for piece in chain((first,), pieces):
        rest = piece
        packed += len(piece)
        while rest:
            if inflater.eof:
                rest = rest.lstrip(b"\0")
                if not rest:
                    break
                if not _GZIP.startswith(rest[:2]):
                    raise UnreadableError("What follows the gzip data is none.", cut_short=True)
                inflater = zlib.decompressobj(31)
            try:
                found = inflater.decompress(rest, _PIECE)
            except zlib.error as error:
                raise UnreadableError("The gzip data is damaged.") from error
            size += len(found)
            if size > _TIMES_FROM and size > _MOST_TIMES * packed:
                raise BombError(
                    f"It unpacks to more than {_MOST_TIMES} times its size, as no file of CloudTrail's does."
                )
            if found:
                yield found
            rest = inflater.unused_data if inflater.eof else inflater.unconsumed_tail
    if not inflater.eof:
        found = inflater.flush()
        if found:
            yield found
        if not inflater.eof:
            raise UnreadableError("The gzip data is cut short.", cut_short=True)


def _is_document(line: bytes) -> bool:
    try:
        document = load_foreign(line)
    except ValueError:
        return False
    return isinstance(document, dict | list) and bool(document)


def _lines(
    content: bytes, further: Iterator[bytes], trouble: UnreadableError | None, largest: int
) -> Iterator[bytes]:
    """The lines of what is held and of what is still to come."""
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
                document = load_foreign(line)
            except ValueError:
                unread += 1
                first_unread = first_unread or number
                continue
            read += 1
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


def _of_several(content: bytes) -> Iterator[object]:
    """The records of documents that follow one another, over several lines each, as jq writes them."""
    require_few_values(content)
    decoder = json.JSONDecoder()
    try:
        text = content.decode()
    except UnicodeDecodeError as error:
        raise UnreadableError("It is not JSON.") from error
    place, documents, last = 0, 0, 0
    while (place := _space(text, place)) < len(text):
        document: Any = None
        try:
            document, place = decoder.raw_decode(text, place)
        except (ValueError, RecursionError) as error:
            if not documents:
                raise UnreadableError("It is not JSON, or cut short.") from error
            raise UnreadableError(f"What follows its first {documents:,} JSON documents is none.") from error
        documents += 1
        _require_fruit(documents - last)
        for record in records_of(document):
            last = documents
            yield record


def _require_fruit(barren: int) -> None:
    if barren > _BARREN:
        raise UnreadableError(f"No more of it is read after {_BARREN:,} lines or documents without a record.")


def _space(text: str, place: int) -> int:
    found = _SPACE.match(text, place)
    return found.end() if found else place
