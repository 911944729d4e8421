"""Reads files of providers' audit logs into the store: streaming, each event once, damage by name."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from threading import Event

from crypto_core.forensics.provider_logs.content import LARGEST, Malformed, records_in
from crypto_core.forensics.provider_logs.event import ProviderEvent
from crypto_core.forensics.provider_logs.mappings import MalformedEventError, read_event
from crypto_core.forensics.provider_logs.store import STATED, CoverBook, ProviderLog, batches
from crypto_core.trail.seen_file import FileName
from crypto_core.trail.sources.files.find_files import NO_FILE, Walk, why
from crypto_core.trail.sources.files.packed_logs import UnreadableError
from crypto_core.values.cancellation import piped, stop_if
from crypto_core.values.clean_text import cleans
from crypto_core.values.errors import InterruptedRunError
from crypto_core.values.json_records import JsonRecord, shape

STDIN = "-"
AT_ONCE = 5_000
MOST_NAMED = 1_000
"""Damaged lines that a report names; it has the number of all."""
_PIECE = 1024 * 1024


@dataclass(frozen=True, slots=True)
@cleans(file=500, reason=300)
class Damaged(JsonRecord):
    """What could not be read: a line or element of a file, or (`number` 0) the file, or the rest of it."""

    file: str
    number: int
    reason: str

    def __str__(self) -> str:
        return f"{self.file}:{self.number}: {self.reason}" if self.number else f"{self.file}: {self.reason}"


@dataclass(frozen=True, slots=True)
class LogImport(JsonRecord):
    """What an import brought. `damaged` names the first MOST_NAMED of `damaged_number`."""

    files: int
    events: int
    new: int
    by_provider: dict[str, int]
    damaged: tuple[Damaged, ...]
    damaged_number: int
    first: datetime | None
    last: datetime | None
    interrupted: bool = False

    json_shape = shape(
        "files events new duplicates by_provider first last damaged damaged_number interrupted"
    )

    @property
    def duplicates(self) -> int:
        return self.events - self.new


class LogFiles:
    """Imports files and folders into a store. Blocks; raises EventStoreError."""

    def __init__(self, log: ProviderLog, *, largest: int = LARGEST) -> None:
        self._log = log
        self._largest = largest

    def import_files(
        self,
        paths: Sequence[str],
        *,
        whole: tuple[datetime, datetime] | None = None,
        progress: Callable[[int], None] | None = None,
        cancelled: Event | None = None,
    ) -> LogImport:
        """Read files, and all below folders; `-` is standard input.

        `whole` is the period of which, as the operator says, the files have every event of their places.
        Nothing is covered by it if something was damaged.
        """
        reading = _LogReading(self._largest, cancelled)
        new = 0
        interrupted = False
        try:
            for some in batches(reading.events(paths), AT_ONCE):
                new += self._log.add(some)
                if progress is not None:
                    progress(reading.number)
        except InterruptedRunError:
            interrupted = True
        if whole is not None and not interrupted and not reading.damaged_number:
            book = CoverBook(self._log.file)
            for provider, place in sorted(reading.places):
                book.note(provider, place, *whole, STATED)
        return LogImport(
            files=reading.files,
            events=reading.number,
            new=new,
            by_provider=dict(sorted(reading.by_provider.items())),
            damaged=tuple(reading.damaged),
            damaged_number=reading.damaged_number,
            first=reading.first,
            last=reading.last,
            interrupted=interrupted,
        )


class _LogReading:
    def __init__(self, largest: int, cancelled: Event | None) -> None:
        self._largest = largest
        self._cancelled = cancelled
        self.files = self.number = self.damaged_number = 0
        self.by_provider: Counter[str] = Counter()
        self.places: set[tuple[str, str]] = set()
        self.damaged: list[Damaged] = []
        self.first: datetime | None = None
        self.last: datetime | None = None

    def events(self, paths: Sequence[str]) -> Iterator[ProviderEvent]:
        """Yield the events of files. Raises InterruptedRunError, once all that was read was yielded."""
        if STDIN in paths:
            self.files += 1
            yield from self._of_file("standard input", piped(0, self._cancelled))
        for found in Walk([path for path in paths if path != STDIN]):
            name = os.fsdecode(found.path)
            if found.trouble:
                self._damage(name, 0, found.trouble)
            else:
                yield from self._of_file(name, self._pieces(found.path))

    def _of_file(self, name: str, pieces: Iterator[bytes]) -> Iterator[ProviderEvent]:
        try:
            for record in records_in(pieces, largest=self._largest):
                if isinstance(record, Malformed):
                    self._damage(name, record.number, record.reason)
                    continue
                try:
                    found = read_event(record.document, record.raw)
                except MalformedEventError as error:
                    self._damage(name, record.number, str(error))
                    continue
                self._note(found)
                yield found
        except UnreadableError as error:
            self._damage(name, 0, error.message)
        except OSError as error:
            self._damage(name, 0, why(error) if error.errno else NO_FILE)

    def _pieces(self, path: FileName) -> Iterator[bytes]:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
        with os.fdopen(descriptor, "rb") as file:
            self.files += 1
            while piece := file.read(_PIECE):
                stop_if(self._cancelled)
                yield piece

    def _note(self, found: ProviderEvent) -> None:
        self.number += 1
        self.by_provider[found.provider] += 1
        self.places.add((found.provider, found.place))
        self.first = found.at if self.first is None else min(self.first, found.at)
        self.last = found.at if self.last is None else max(self.last, found.at)

    def _damage(self, file: str, number: int, reason: str) -> None:
        self.damaged_number += 1
        if len(self.damaged) < MOST_NAMED:
            self.damaged.append(Damaged(file, number, reason))
