"""Many new tokens as CSV (RFC 4180): a reference and its new token in each line.

No message repeats a token or a part of it. Nothing that holds the text is left in a frame that an error
passes through.
"""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass, field

from crypto_core.values.counts import listed
from crypto_core.values.errors import InvalidTokenError
from crypto_core.values.secret import Secret

MOST_ENTRIES = 1_000
"""Tokens of one file."""

_HEADINGS = {"token", "new token", "new_token"}
_LONGEST_CELL = 128 * 1024
"""Characters of a cell. What `csv` takes itself is one limit for the whole process, which others raise."""
_FAULTS = 5


@dataclass(frozen=True, slots=True)
class TokenEntry:
    """A new token, and the row that it is for as the file names it. `line` is counted from 1."""

    line: int
    reference: str = field(repr=False)
    """It is not shown: where the two were swapped, it is the token."""
    token: Secret


def entries_of(content: Secret) -> tuple[TokenEntry, ...]:
    """Return the entries of a file; empty lines and a heading are left out.

    Raises InvalidTokenError, naming the lines, for what is no such file or has more than MOST_ENTRIES.
    """
    entries, faults = _read(content)
    if faults:
        raise InvalidTokenError(
            f"{listed(faults, _FAULTS)}.",
            remedy="Nothing was written. Write a line for each row: its reference, a comma, its new token.",
        )
    return entries


def _read(content: Secret) -> tuple[tuple[TokenEntry, ...], list[str]]:
    """The entries, and what is wrong; the text itself does not leave this function."""
    try:
        text = content.reveal().removeprefix("\ufeff")
    except InvalidTokenError:
        return (), ["The file is not text in UTF-8"]
    entries: list[TokenEntry] = []
    faults: list[str] = []
    reader = csv.reader(io.StringIO(text, newline=""), strict=True, skipinitialspace=True)
    begun = 0
    while True:
        begun = reader.line_num + 1
        try:
            cells = [cell.strip() for cell in next(reader)]
        except StopIteration:
            break
        except csv.Error:
            return (), [f"Line {begun} is no CSV"]
        if max(map(len, cells), default=0) > _LONGEST_CELL:
            return (), [f"Line {begun} is no CSV"]
        if not any(cells):
            continue
        if not entries and not faults and len(cells) == 2 and cells[1].lower() in _HEADINGS:
            continue
        if len(cells) != 2 or not all(cells):
            faults.append(f"Line {begun} is not a reference and a token")
        elif len(entries) == MOST_ENTRIES:
            return (), [f"There are more than {MOST_ENTRIES:,} tokens: enter them in parts"]
        else:
            entries.append(TokenEntry(begun, cells[0], Secret.of(cells[1])))
    return tuple(entries), faults if entries or faults else ["The file has no token"]
