"""Writes what a query lets through to a file, page by page, whatever its size."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from threading import Event
from typing import Any, TypeVar

from crypto_core.errors import InterruptedRunError
from crypto_core.lists.new_files import ExportError, new_file
from crypto_core.lists.row_files import CsvWriter, JsonLinesWriter

Row = TypeVar("Row")

PAGE = 1_000

WRITERS: dict[str, type[CsvWriter] | type[JsonLinesWriter]] = {".csv": CsvWriter, ".jsonl": JsonLinesWriter}
"""What a file's name says of its format."""


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
