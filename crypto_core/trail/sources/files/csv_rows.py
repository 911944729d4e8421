"""CSV as engines and search tools export it (RFC 4180): a line of names, then rows, also over several lines.

No more of it is held than one row.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator

from crypto_core.trail.sources.files.table_rows import COLUMNS
from crypto_core.trail.sources.files.unpacking import UnreadableError

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
    """Yield a table's rows, without its names. Raises UnreadableError, csv.Error and UnicodeDecodeError."""
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
