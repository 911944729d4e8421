"""Reads one file: its events and its outcome. The same in the import's own process and in others."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import BinaryIO

from crypto_core.trail.archives import tar_members as tar
from crypto_core.trail.archives import zip_members as zips
from crypto_core.trail.archives.streams import (
    BombError,
    BrokenStreamError,
    ByteStream,
    UnpackingLimit,
    of_pieces,
)
from crypto_core.trail.event import KMS, TrailEvent
from crypto_core.trail.record_reader import read_record, read_records
from crypto_core.trail.seen_file import FileName, SeenFile
from crypto_core.trail.sources.files import packed_logs
from crypto_core.trail.sources.files.decoder import plain_records, records_in
from crypto_core.trail.sources.files.find_files import NO_FILE, why
from crypto_core.trail.sources.files.packed_logs import MOST_TIMES
from crypto_core.values.clean_text import clean
from crypto_core.values.counts import counted

ZIP = zips.MAGICS
TAR_NEEDS = tar.RECORD
"""Bytes of a file by which tar is known."""
is_tar = tar.is_tar

Member = tuple[str, Iterator[bytes]]
"""A file of an archive: its name as it is there, and its bytes, to be read before the next one's."""


def zip_members(file: BinaryIO, limit: UnpackingLimit) -> Iterator[Member]:
    """Yield the files of a zip archive. Raises UnreadableError."""
    try:
        for name, content in zips.members(file, limit):
            if not _hidden(name):
                yield name, _member(content)
    except BrokenStreamError as error:
        raise packed_logs.unreadable(error) from error


def tar_members(pieces: Iterator[bytes]) -> Iterator[Member]:
    """Yield the files of a tar archive as it comes. Raises UnreadableError."""
    try:
        for name, content, is_file in tar.members(of_pieces(pieces)):
            if is_file and not _hidden(name):
                yield name, packed_logs.readable(content)
    except BrokenStreamError as error:
        raise packed_logs.unreadable(error) from error


def _member(content: ByteStream | str) -> Iterator[bytes]:
    if isinstance(content, str):
        raise packed_logs.unreadable(BrokenStreamError(content))
    yield from packed_logs.readable(content)


def _hidden(name: str) -> bool:
    return any(
        part.startswith(".") or part == "__MACOSX" for part in name.split("/") if part not in ("", ".")
    )


TOLD_EVERY = 2_000
"""Events of one file after which progress is told, and it is seen whether the operator still waits."""
_NO_EVENTS = 100_000
"""Records that are no events, beyond those that are, after which a file is given up."""
_SMALL, _SMALL_UNPACKED = 256 * 1024, 4 * 1024 * 1024
"""Bytes, packed and unpacked, of files that are read at once."""
_MOST_REASONS = 3
_NAME = 200
"""Characters of a name within an archive."""
PIECE = 4 * 1024 * 1024
"""Bytes that are read at once."""


class OversizeError(Exception):
    """A file holds more than is read here."""


@dataclass(slots=True)
class _Count:
    events: int = 0
    kms: int = 0
    others: int = 0
    size: int = 0
    refused: dict[str, None] = field(default_factory=dict)
    troubles: list[str] = field(default_factory=list)

    @property
    def trouble(self) -> str:
        reasons = [*self.refused][:_MOST_REASONS]
        more = len(self.troubles) - _MOST_REASONS
        reasons += [*self.troubles[:_MOST_REASONS], *([f"And {more:,} more."] if more > 0 else [])]
        if self.others and not self.events:
            reasons.insert(0, f"None of its {counted(self.others, 'record')} is an event of CloudTrail.")
        elif self.others:
            whole = counted(self.others + self.events, "record")
            reasons.insert(0, f"{self.others:,} of its {whole} are no events; the others are imported.")
        elif not self.events and not reasons:
            reasons = ["It holds no records."]
        return " ".join(reasons)


@dataclass(frozen=True, slots=True)
class FileReader:
    """How files are read: `put` takes each event, `stop` and `tell` are called meanwhile and may raise.

    `largest` is the size of the largest document that is read, `most` of the largest content of a file (0:
    none is), in bytes, unpacked.
    """

    put: Callable[[TrailEvent], None]
    largest: int
    most: int = 0
    stop: Callable[[], None] = lambda: None
    tell: Callable[[], None] = lambda: None

    def read_file(self, path: FileName) -> SeenFile | str:
        """Read a file; return it if all was read, else why not. Raises OversizeError, and what `put` does."""
        try:
            # What became a pipe meanwhile must not block.
            descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
        except OSError as error:
            return why(error)
        try:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                return NO_FILE
            records, kms, trouble = self._read_plain(descriptor, status.st_size) or self._read_descriptor(
                descriptor, status.st_size
            )
            if trouble:
                return trouble
            if _as_it_is(status) != _as_it_is(os.fstat(descriptor)):
                return "The file changed while it was read; the part that was read is imported."
            return SeenFile(path, *_as_it_is(status), records, kms)
        finally:
            os.close(descriptor)

    def _read_plain(self, descriptor: int, size: int) -> tuple[int, int, str] | None:
        """Read a small file in CloudTrail's own form; returns None for any other, without taking events."""
        if size > _SMALL:
            return None
        most = min(_SMALL_UNPACKED, self.largest, self.most or self.largest)
        content = packed_logs.unpacked_at_once(os.pread(descriptor, size + 1, 0), most)
        self.stop()
        records = None if content is None else plain_records(content)
        if records is None:
            return None
        events = [event for record, raw in records if (event := read_record(record, raw)) is not None]
        if len(events) != len(records):
            return None
        for number, event in enumerate(events, start=1):
            self.put(event)
            if number % TOLD_EVERY == 0:
                self.tell()
        return len(events), sum(event.source == KMS for event in events), ""

    def read_pieces(self, pieces: Iterable[bytes]) -> tuple[int, int, str]:
        """Read a file's bytes; return its events, those of KMS, and what of it could not be read, if any."""
        so_far = _limit()
        count = _Count()
        begin, content = _peeked(self._bounded(packed_logs.unpacked(so_far.measured(iter(pieces))), count))
        if is_tar(begin):
            self._read_members(tar_members(content), so_far, count)
        else:
            self._read_content(content, count)
        return count.events, count.kms, count.trouble

    def _read_descriptor(self, descriptor: int, size: int) -> tuple[int, int, str]:
        if os.pread(descriptor, 4, 0) not in ZIP:
            return self.read_pieces(self._pieces(descriptor))
        count = _Count()
        with os.fdopen(os.dup(descriptor), "rb") as file:
            self._read_members(zip_members(file, _limit(size)), _limit(size), count)
        return count.events, count.kms, count.trouble

    def _read_members(self, members: Iterator[Member], so_far: UnpackingLimit, count: _Count) -> None:
        try:
            for name, pieces in members:
                self.stop()
                of_file = _Count(size=count.size)
                self._read_content(
                    _counted(self._bounded(packed_logs.unpacked(pieces), of_file), so_far), of_file
                )
                count.events += of_file.events
                count.kms += of_file.kms
                count.size = of_file.size
                if of_file.trouble:
                    count.troubles.append(f"{clean(name, _NAME)}: {of_file.trouble}")
                if so_far.exceeded:
                    break
        except packed_logs.UnreadableError as error:
            count.troubles.append(error.message)
        except OSError as error:
            count.troubles.append(why(error))

    def _read_content(self, content: Iterator[bytes], count: _Count) -> None:
        try:
            records = _told(records_in(content, largest=self.largest), count.refused)
            for event in read_records(records):
                if event is None:
                    count.others += 1
                    _require_events(count.events, count.others)
                    continue
                count.events += 1
                count.kms += event.is_kms
                self.put(event)
                if count.events % TOLD_EVERY == 0:
                    self.tell()
        except packed_logs.UnreadableError as error:
            count.troubles.append(error.message)
        except OSError as error:
            count.troubles.append(why(error))

    def _bounded(self, content: Iterator[bytes], count: _Count) -> Iterator[bytes]:
        for piece in content:
            count.size += len(piece)
            if count.size > self.most > 0:
                raise OversizeError
            yield piece

    def _pieces(self, descriptor: int) -> Iterator[bytes]:
        while piece := os.read(descriptor, PIECE):
            yield piece
            self.stop()


def _told(records: Iterator[object], refused: dict[str, None]) -> Iterator[object]:
    for record in records:
        if isinstance(record, packed_logs.Refusal) and len(refused) < _MOST_REASONS:
            refused[str(record)] = None
        yield record


def _limit(packed: int = 0) -> UnpackingLimit:
    return UnpackingLimit(MOST_TIMES, packed_logs.TIMES_FROM, packed)


def _counted(pieces: Iterator[bytes], limit: UnpackingLimit) -> Iterator[bytes]:
    for piece in pieces:
        try:
            limit.add(len(piece))
        except BombError as error:
            raise packed_logs.unreadable(error) from error
        yield piece


def _peeked(content: Iterator[bytes]) -> tuple[bytes, Iterator[bytes]]:
    """The first bytes of a file, and all of it. What can't be read of it is raised by the latter."""
    begin: list[bytes] = []
    trouble: packed_logs.UnreadableError | OSError | None = None
    try:
        while sum(map(len, begin)) < TAR_NEEDS and (piece := next(content, b"")):
            begin.append(piece)
    except (packed_logs.UnreadableError, OSError) as error:
        trouble = error

    def whole() -> Iterator[bytes]:
        yield from begin
        if trouble is not None:
            raise trouble
        yield from content

    return b"".join(begin[:TAR_NEEDS])[:TAR_NEEDS], whole()


def _require_events(events: int, others: int) -> None:
    if others > events + _NO_EVENTS:
        raise packed_logs.UnreadableError("No more of it is read.")


def seen(path: FileName, status: os.stat_result) -> SeenFile:
    return SeenFile(path, *_as_it_is(status))


def _as_it_is(status: os.stat_result) -> tuple[int, int, int]:
    return status.st_size, status.st_mtime_ns, status.st_ino
