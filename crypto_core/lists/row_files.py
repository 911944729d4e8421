"""Rows as files: CSV (RFC 4180) that no spreadsheet takes for formulas, and JSON lines.

A spreadsheet evaluates a cell that begins with one of `=+-@` or their full-width forms (OWASP, "CSV
Injection"): such a cell gets a leading apostrophe. Where `;` separates cells, as in many locales, a
spreadsheet ends a cell at each: what follows it gets one too. Tabs and line ends are cleaned away.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, TextIO

from crypto_core.values.clean_text import clean

_FORMULA = ("=", "+", "-", "@", "＝", "＋", "－", "＠")
_AFTER_SEPARATOR = re.compile(rf'([;；][\s"]*)(?=[{re.escape("".join(_FORMULA))}])')
"""Quotes count as nothing: a spreadsheet drops those that open a cell."""


def inert(cell: object) -> str | int | float:
    """Return a cell as it may stand in CSV: numbers as they are, text cleaned, on one line, no formula."""
    if isinstance(cell, int | float) and not isinstance(cell, bool):
        return cell
    if isinstance(cell, Mapping | list | tuple):
        cell = json.dumps(cell, ensure_ascii=True)
    text: str = clean(cell, 32_000)
    text = _AFTER_SEPARATOR.sub(r"\1'", text)
    return f"'{text}" if text.lstrip()[:1] in _FORMULA and text.strip() else text


class CsvWriter:
    """Writes records as CSV; the first one's names are the headings."""

    def __init__(self, file: TextIO) -> None:
        """`file` is opened with newline=""."""
        self._writer = csv.writer(file, lineterminator="\r\n")
        self._names: tuple[str, ...] | None = None

    def write(self, record: Mapping[str, Any]) -> None:
        if self._names is None:
            self._names = tuple(record)
            self.row(self._names)
        self.row([record.get(name) for name in self._names])

    def row(self, cells: Sequence[object]) -> None:
        self._writer.writerow([inert(cell) for cell in cells])


class JsonLinesWriter:
    """Writes records as JSON, one a line, ASCII only, so that no foreign character acts on a terminal."""

    def __init__(self, file: TextIO) -> None:
        self._file = file

    def write(self, record: Mapping[str, Any]) -> None:
        self._file.write(json.dumps(dict(record), ensure_ascii=True) + "\n")
