"""Scans copies: dumps, backups, logs and archives, each read once from front to back."""

from __future__ import annotations

import logging
import os
import re
import stat
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from threading import Event
from typing import IO, Any

from crypto_core.envelope import STORED_PREFIXES, Format
from crypto_core.forensics.copies import values
from crypto_core.forensics.copies.layers import Layers, PlainStream
from crypto_core.forensics.copies.tally import Tally
from crypto_core.trail.archives.streams import BLOCK, BrokenStreamError, ByteStream, of_pieces
from crypto_core.values.cancellation import piped, stop_if
from crypto_core.values.clean_text import CleanText, clean
from crypto_core.values.errors import KeydeckError

STDIN = "-"


@dataclass(eq=False)
class FileWalk:
    """Finds the regular files of a path. `left_out` are those that are not read, each with its reason."""

    path: str
    left_out: list[tuple[str, str]] = field(default_factory=list)

    def __iter__(self) -> Iterator[tuple[str, int]]:
        """Return each file's path and its size in bytes, by name. Links below a folder are not followed."""
        try:
            status = Path(self.path).stat()
        except (OSError, ValueError) as error:
            self.left_out.append((self.path, _reason(error)))
            return
        if stat.S_ISDIR(status.st_mode):
            yield from self._below()
        else:
            yield self.path, status.st_size

    def _below(self) -> Iterator[tuple[str, int]]:
        folders = [self.path]
        while folders:
            folder = folders.pop()
            try:
                entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
            except OSError as error:
                self.left_out.append((folder, _reason(error)))
                continue
            below = []
            for entry in entries:
                try:
                    status = entry.stat(follow_symlinks=False)
                except OSError as error:
                    self.left_out.append((entry.path, _reason(error)))
                    continue
                if stat.S_ISREG(status.st_mode):
                    yield entry.path, status.st_size
                elif stat.S_ISDIR(status.st_mode):
                    below.append(entry.path)
                else:
                    self.left_out.append((entry.path, _KINDS.get(stat.S_IFMT(status.st_mode), "no file")))
            folders += reversed(below)


_KINDS = {
    stat.S_IFLNK: "is a link, and not followed: name what it points to, too",
    stat.S_IFIFO: "is a pipe, and not read",
    stat.S_IFSOCK: "is a socket, and not read",
    stat.S_IFCHR: "is a device, and not read",
    stat.S_IFBLK: "is a device, and not read",
}


@dataclass(frozen=True, slots=True)
class OpenedFile:
    """A file to be read: as a stream, and, for one that can be read from its end too, itself."""

    stream: ByteStream
    file: IO[bytes] | None
    size: int


@contextmanager
def opened(path: str, cancelled: Event | None, read: Callable[[int], None]) -> Iterator[OpenedFile]:
    """Open a file, pipe or stdin; `read` hears of each piece. Raises OSError, and as streams do."""
    if path == STDIN:
        yield OpenedFile(_piped(0, cancelled, read), None, 0)
        return
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | getattr(os, "O_BINARY", 0))
    with os.fdopen(descriptor, "rb", buffering=0) as file:
        status = os.fstat(descriptor)
        if stat.S_ISFIFO(status.st_mode):
            yield OpenedFile(_piped(descriptor, cancelled, read), None, 0)
            return
        if not stat.S_ISREG(status.st_mode):
            raise OSError("it is no file and no pipe")

        def pull(size: int) -> bytes:
            stop_if(cancelled)
            try:
                piece = file.read(size) or b""
            except OSError as error:
                raise BrokenStreamError(_reason(error)) from error
            read(len(piece))
            return piece

        yield OpenedFile(ByteStream(pull), file, status.st_size)


def _piped(descriptor: int, cancelled: Event | None, read: Callable[[int], None]) -> ByteStream:
    def pieces() -> Iterator[bytes]:
        try:
            for piece in piped(descriptor, cancelled):
                read(len(piece))
                yield piece
        except OSError as error:
            raise BrokenStreamError(_reason(error)) from error

    return of_pieces(pieces())


def _reason(error: OSError | ValueError) -> str:
    return f"can't be read: {getattr(error, 'strerror', None) or error}"


_V1 = STORED_PREFIXES[Format.V1].encode()

OnFound = Callable[[values.FoundValue, int], None]


class ValueScanner:
    """Scans one stream: `feed` with its pieces, then `finish`.

    Two searches go over each block: one for v1, of which a dump of the platform has most, with a literal that
    `re` is fastest at; one for everything else, with RE2, whose automaton looks for all of it at once. What
    begins in a block and doesn't end in it is looked at again with the next one.
    """

    def __init__(self, found: OnFound) -> None:
        self._found = found
        self._data = b""
        self._base = 0
        self._from = [0, 0]
        """The byte of the stream from where each of the two searches goes on."""

    def feed(self, piece: bytes) -> None:
        self._data += piece
        self._search(final=False)

    def finish(self) -> None:
        """Look at what is left: the stream ends here."""
        self._search(final=True)
        self._data = b""

    def _search(self, *, final: bool) -> None:
        base = self._base
        for which, search in enumerate((self._runs, self._heads)):
            self._from[which] = base + search(self._from[which] - base, final=final)
        kept = max(min(self._from) - base - values.BEFORE, 0)
        self._data, self._base = self._data[kept:], base + kept

    def _runs(self, at: int, *, final: bool) -> int:
        """Search v1 from `at` on; return from where on it is to be done again with more bytes."""
        data = self._data
        while (run := values.V1_RUN.search(data, at)) is not None:
            begins, ends = run.span()
            value = values.read_run(data, begins, ends, final=final)
            if value is None:
                return begins
            if value.format is not None:
                self._found(value, self._base + begins)
            at = value.end
        return max(at, len(data) - values.LONGEST_HEAD + 1)

    def _heads(self, at: int, *, final: bool) -> int:
        data, search = self._data, _automaton()
        while (head := search(data, at)) is not None:
            begins = head.start()
            found = data[begins : head.end()]
            value = values.read_value(
                data, begins, found if found in values.HEADS else found.lower(), final=final
            )
            if value is None:
                return int(begins)
            if value.format is not None:
                self._found(value, self._base + begins)
            at = max(value.end, begins + 1)
        return max(at, len(data) - values.LONGEST_HEAD + 1)


@cache
def _automaton() -> Any:
    """One automaton for all heads but v1's; in hex, letters may be large."""
    import re2

    options = re2.Options()
    options.encoding = re2.Options.Encoding.LATIN1
    options.max_mem = 64 << 20
    heads = [_pattern(head) for head in values.HEADS if head != _V1]
    return re2.compile("|".join(heads).encode(), options).search


def _pattern(head: bytes) -> str:
    text = head.decode()
    if not values.HEADS[head].in_hex:
        return re.escape(text)
    return "".join(f"[{digit}{digit.upper()}]" if digit.isalpha() else digit for digit in text)


_log = logging.getLogger(__name__)

MOST_PROBLEMS = 200
"""What could not be read is named up to so many; more are only counted."""

Progress = Callable[[int, int], None]
"""Is told how many bytes were read, and of how many; 0 where that is not known."""


@dataclass(eq=False)
class ScanOfCopy:
    """One copy, as a path names it: a file, a folder with all below it, or standard input."""

    path: str
    tally: Tally = field(default_factory=Tally)
    problems: list[CleanText] = field(default_factory=list)
    limits: list[str] = field(default_factory=list)
    further_problems: int = 0

    def problem(self, name: str, offset: int, reason: str) -> None:
        """Note what could not be read; without a name, what can't be found in such files."""
        if not name:
            self.limits += [reason] if reason not in self.limits else []
            return
        place = f"{name}, byte {offset:,}" if offset else name
        words = clean(f"{place}: {reason}", 900)
        if words in self.problems:
            return
        if len(self.problems) < MOST_PROBLEMS:
            self.problems.append(words)
        else:
            self.further_problems += 1


def scan_copies(
    paths: Sequence[str], progress: Progress | None = None, cancelled: Event | None = None
) -> list[ScanOfCopy]:
    """Return what is in each path, and what can't be read. Raises InterruptedRunError if cancelled."""
    of = 0 if STDIN in paths or progress is None else sum(s for p in paths for _, s in FileWalk(p))
    done = 0

    def told(read: int) -> None:
        nonlocal done
        done += read
        if progress is not None:
            progress(done, of)

    return [_scan(path, told, cancelled) for path in paths]


def _scan(path: str, told: Callable[[int], None], cancelled: Event | None) -> ScanOfCopy:
    scan = ScanOfCopy(path)
    if path == STDIN:
        _scan_file(scan, path, told, cancelled)
    else:
        walk = FileWalk(path)
        for name, _ in walk:
            _scan_file(scan, name, told, cancelled)
        for name, reason in walk.left_out:
            scan.problem(name, 0, reason)
    scan.tally.done()
    return scan


def _scan_file(scan: ScanOfCopy, path: str, told: Callable[[int], None], cancelled: Event | None) -> None:
    def read(size: int) -> None:
        scan.tally.size += size
        told(size)

    name = "standard input" if path == STDIN else path
    try:
        with opened(path, cancelled, read) as source:
            scan.tally.files += 1
            layers = Layers(source.stream, scan.problem, source.file, source.size)
            for plain in layers.plain_streams(name):
                _scan_stream(scan, plain)
    except OSError as error:
        scan.problem(name, 0, f"can't be read: {error.strerror or error}")
    except KeydeckError:
        raise
    except Exception as error:  # noqa: BLE001  # whatever a file does to its reader, the others are read
        _log.exception("A file could not be scanned.")
        scan.problem(name, 0, f"can't be read further: {type(error).__name__}")


def _scan_stream(scan: ScanOfCopy, plain: PlainStream) -> None:
    scanner = ValueScanner(lambda value, offset: scan.tally.count(value, plain.name, offset))
    try:
        while piece := plain.stream.read(BLOCK):
            scanner.feed(piece)
    except BrokenStreamError as error:
        scan.problem(plain.name, plain.stream.offset, error.message)
    scanner.finish()
