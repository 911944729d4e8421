"""Writes what a query lets through to a file, page by page, whatever its size."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Event
from typing import Any, TextIO, TypeVar

from crypto_core.errors import InterruptedRunError, KeydeckError
from crypto_core.foreign import clean
from crypto_core.paging import PagedSource, Query
from crypto_core.tabular import CsvWriter, JsonLinesWriter

Row = TypeVar("Row")

PAGE = 1_000

WRITERS: dict[str, type[CsvWriter] | type[JsonLinesWriter]] = {".csv": CsvWriter, ".jsonl": JsonLinesWriter}
"""What a file's name says of its format."""


class ExportError(KeydeckError):
    """A file that can't be written; nothing was left of it."""


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
        raise ExportError(f"{clean(path)}: a file's name ends in .csv or .jsonl.")
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


@contextmanager
def new_file(path: Path) -> Iterator[TextIO]:
    """Give a new file that only its owner reads, to be written as UTF-8 with line ends as they are given.

    It appears under its name once the block has ended well, and nothing is left of it otherwise. Raises
    ExportError for a file that is there already or can't be written.
    """
    if os.path.lexists(path):
        raise ExportError(f"{clean(path)} is there already.", remedy="Choose another name.")
    partial = path.with_name(f".{path.name}.{os.getpid()}.part")
    begun = False
    try:
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        begun = True
        with os.fdopen(descriptor, "w", encoding="utf-8", newline="") as file:
            yield file
        # link fails where the name is taken by now, rename would overwrite.
        os.link(partial, path)
    except FileExistsError as error:
        raise ExportError(f"{clean(path)} is there already.", remedy="Choose another name.") from error
    except OSError as error:
        raise ExportError(f"{clean(path)} can't be written: {error.strerror}.") from error
    finally:
        if begun:
            partial.unlink(missing_ok=True)


def pages(source: PagedSource[Row], query: Query, cancelled: Event) -> Iterator[Sequence[Row]]:
    """Yield what a query lets through, a page at a time."""
    page = source.page(query, limit=PAGE, cancelled=cancelled)
    yield page.rows
    while page.below and page.last is not None:
        page = source.page(query, page.last, limit=PAGE, cancelled=cancelled)
        yield page.rows
