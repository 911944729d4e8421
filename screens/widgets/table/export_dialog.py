"""Where to write what the filter lets through, how far that is, and what came of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from threading import Event
from typing import Any, Generic, TypeVar

from textual.app import ComposeResult
from textual.content import Content
from textual.widgets import Static

from crypto_core.lists.new_files import ExportError, new_file
from crypto_core.lists.paging import Query, pages_of
from crypto_core.lists.row_files import CsvWriter, JsonLinesWriter
from crypto_core.values.cancellation import Cancellation
from crypto_core.values.errors import InterruptedRunError
from screens.facts import ScreenFacts
from screens.widgets.dialog import framed
from screens.widgets.file_dialog import FileDialog
from screens.widgets.table.marks import Marks
from screens.widgets.table.table_list import Listing

Row = TypeVar("Row")
PAGE = 1_000

WRITERS: dict[str, type[CsvWriter] | type[JsonLinesWriter]] = {".csv": CsvWriter, ".jsonl": JsonLinesWriter}
"""What a file's name says of its format."""


class ExportDialog(FileDialog, Generic[Row]):
    """Asks for a file, writes it in the background, says how many rows are in it."""

    LIMIT_SECONDS = 86_400.0

    def __init__(
        self, facts: ScreenFacts, listing: Listing[Row], query: Query, marks: Marks[Row], path: str
    ) -> None:
        super().__init__(facts, path or f"keydeck-{listing.name}-{facts.clock():%Y%m%d-%H%M}.csv")
        self._listing = listing
        self._query = query
        self._marked = marks.rows if marks and not marks.whole else None
        self._all_but = marks.rows if marks.whole else ()
        self._written = 0

    def compose(self) -> ComposeResult:
        with framed("Export"):
            yield Static(Content(f"{self._what()}\nA name ending in .csv writes CSV, in .jsonl JSON Lines."))
            yield from self.asking("")

    def on_mount(self) -> None:
        self.set_interval(0.2, self._show_progress)

    def writer(self, path: Path) -> Callable[[Cancellation], int]:
        listing = self._listing
        source, query, marked = listing.source(self._facts), self._query, self._marked
        left_out = {listing.identity(row) for row in self._all_but}

        def rows(cancelled: Cancellation) -> Iterator[Sequence[Row]]:
            if marked is not None:
                yield marked
                return
            for page in pages_of(source, query, size=PAGE, cancelled=cancelled):
                yield [row for row in page if listing.identity(row) not in left_out]

        self._note(0)
        self.call_next(self._show_progress)
        return lambda cancelled: export(
            rows(cancelled), listing.record, path, progress=self._note, cancelled=cancelled
        )

    def done(self, written: int, path: Path) -> str:
        return f"{self._listing.counted(written)} in {path}."

    def _note(self, written: int) -> None:
        self._written = written

    def _show_progress(self) -> None:
        if self.writing:
            words = f"{self._listing.counted(self._written)} written…  Esc stops; then no file is left."
            self.say(Content(words))

    def _what(self) -> str:
        if self._marked is not None:
            return f"The {self._listing.counted(len(self._marked))} that are marked."
        words = f"All {self._listing.many}" + (
            f" that {self._query.filter} lets through" if self._query.filter else ""
        )
        return words + (f", but for {len(self._all_but):,}." if self._all_but else ".")


def export(
    rows: Iterator[Sequence[Row]],
    record: Callable[[Row], Any],
    path: Path,
    *,
    progress: Callable[[int], None],
    cancelled: Event,
) -> int:
    """Write rows to a new file that only its owner reads; returns their number.

    The file appears under its name when it is whole. Raises ExportError for a name without a known ending, a
    file that is there already or can't be written, InterruptedRunError once `cancelled` is set.
    """
    writer_of = WRITERS.get(path.suffix.lower())
    if writer_of is None:
        raise ExportError(f"{path}: the file name must end in .csv or .jsonl.")
    count = 0
    with new_file(path) as file:
        writer = writer_of(file)
        for page in rows:
            for row in page:
                writer.write(record(row))
            count += len(page)
            progress(count)
            if cancelled.is_set():
                raise InterruptedRunError("Cancelled: no file was written.")
    return count
