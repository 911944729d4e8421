"""The JSON records of an audit log file, one after the other, each with the number of its line or its place.

A file is lines of JSON, an array, one record, or an API's answer that holds records (`entries`, `data`);
plain or compressed. Memory is bounded by the largest record and the largest document, not by the file.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import orjson

from crypto_core.trail.record_reader import OversizeDocumentError, load_foreign
from crypto_core.trail.sources.files.packed_logs import UnreadableError, unpacked
from crypto_core.values.counts import counted

LARGEST = 4 * 1024 * 1024
"""Bytes of the largest record that is read, and of the largest document that isn't lines or an array."""

_MARK = b"\xef\xbb\xbf"
_HOLDERS = ("entries", "data")
_SIGNS = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"|[\[\]{},"]', re.DOTALL)


@dataclass(frozen=True, slots=True)
class LogRecord:
    """A record, as it came; `number` is its line's, or its place in an array, from 1."""

    number: int
    document: Any
    raw: bytes


@dataclass(frozen=True, slots=True)
class Malformed:
    number: int
    reason: str


def records_in(pieces: Iterable[bytes], *, largest: int = LARGEST) -> Iterator[LogRecord | Malformed]:
    source = _Source(unpacked(pieces), largest)
    begin = source.begin()
    if not begin:
        raise UnreadableError("It is empty.")
    if begin == b"[":
        yield from _array(source)
    elif begin == b"{":
        whole = source.whole_document()
        if whole is None:
            yield from _lines(source)
        else:
            yield from _of_document(whole)
    else:
        raise UnreadableError("It is neither JSON nor lines of JSON.")


class _Source:
    def __init__(self, pieces: Iterator[bytes], largest: int) -> None:
        self._pieces = pieces
        self.largest = largest
        self.held = b""
        self.ended = False

    def more(self) -> bool:
        """Read a piece more; False at the end. A file that is cut short ends, and raises then."""
        piece = next(self._pieces, b"")
        self.ended = not piece
        self.held += piece
        return not self.ended

    def begin(self) -> bytes:
        while not (self.held.lstrip()[:1] and len(self.held) > len(_MARK)) and self.more():
            pass
        self.held = self.held.removeprefix(_MARK).lstrip()
        return self.held[:1]

    def whole_document(self) -> Any:
        """Return the file as one document, None where it is none, or too large for one."""
        while len(self.held) <= self.largest and self.more():
            pass
        if not self.ended:
            return None
        try:
            return load_foreign(self.held)
        except ValueError:
            return None

    def lines(self) -> Iterator[bytes | None]:
        """Yield the lines; None for one that is larger than a record may be."""
        over = False
        while True:
            *whole, self.held = self.held.split(b"\n")
            for line in whole:
                yield None if over or len(line) > self.largest else line
                over = False
            if len(self.held) > self.largest:
                over, self.held = True, b""
            if not self.more():
                break
        if self.held or over:
            yield None if over else self.held


def _record(number: int, raw: bytes) -> LogRecord | Malformed:
    try:
        return LogRecord(number, load_foreign(raw), raw)
    except OversizeDocumentError as error:
        return Malformed(number, str(error))
    except ValueError:
        return Malformed(number, "not JSON")


def _too_large(number: int, largest: int) -> Malformed:
    return Malformed(number, f"larger than {largest // 2**20} MiB")


def _lines(source: _Source) -> Iterator[LogRecord | Malformed]:
    for number, line in enumerate(source.lines(), 1):
        if line is None:
            yield _too_large(number, source.largest)
        elif text := line.strip():
            yield _record(number, text)


def _of_document(document: Any) -> Iterator[LogRecord | Malformed]:
    holder = next((name for name in _HOLDERS if isinstance(document.get(name), list)), None)
    for number, one in enumerate(document[holder] if holder else [document], 1):
        yield record_of(number, one)


def record_of(number: int, document: Any) -> LogRecord | Malformed:
    """Return a record of a document that is read already."""
    try:
        return LogRecord(number, document, orjson.dumps(document))
    except (TypeError, ValueError):
        return Malformed(number, "nested too deeply")


def _array(source: _Source) -> Iterator[LogRecord | Malformed]:
    """The elements of an array, found by brackets outside of strings, so that it is never held as a whole."""
    source.held = source.held[1:]
    number, depth, start, place, over = 1, 0, 0, 0, False
    while True:
        in_string = False
        for sign in _SIGNS.finditer(source.held, place):
            kind = sign[0]
            if kind == b'"':  # it isn't closed yet: it is looked at again once there is more
                in_string, place = True, sign.start()
                break
            place = sign.end()
            if kind in (b"[", b"{"):
                depth += 1
            elif kind in (b"]", b"}") and depth:
                depth -= 1
            elif (kind == b"," and not depth) or kind == b"]":
                raw = source.held[start : sign.start()].strip()
                if over or len(raw) > source.largest:
                    yield _too_large(number, source.largest)
                elif raw:
                    yield _record(number, raw)
                number, start, over = number + 1, place, False
                if kind == b"]":
                    return
        source.held, start, place = source.held[start:], 0, place - start
        if len(source.held) > source.largest:
            over = True
            # An open string keeps its quote, and the backslashes at its end: they decide on what follows.
            escapes = len(source.held) - len(source.held.rstrip(b"\\"))
            source.held = b'"' + b"\\" * escapes if in_string else b""
            place = 0
        if not source.more():
            raise UnreadableError(f"The array is cut short after {counted(number - 1, 'element')}.")
