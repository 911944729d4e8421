"""The table of SECURITY.md that says who can change what, and what shows it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import crypto_core

HEADING = "## Who can change what, and what shows it"
NOTHING = "nothing"
_FILE = Path(crypto_core.__file__).with_name("SECURITY.md")


@dataclass(frozen=True, slots=True)
class Row:
    """One cell of the table, taken apart: an action on an object, by whom, shown by what."""

    action: str
    place: str
    who: frozenset[str]
    shown_by: frozenset[str]
    unseen: frozenset[str]
    """The columns whose change nothing shows; empty where all or none are shown."""
    limit: str


def documented() -> dict[tuple[str, str], Row]:
    """Return the table's rows, by action and object. Raises AssertionError for one that is there twice."""
    text = _FILE.read_text(encoding="utf-8")
    section = text.partition(f"{HEADING}\n")[2].partition("\n## ")[0]
    found: dict[tuple[str, str], Row] = {}
    for line in section.splitlines():
        if not line.startswith("|") or line.startswith(("| may |", "|---")):
            continue
        for row in _rows(line):
            assert (row.action, row.place) not in found, f"{row.action} {row.place} stands there twice"
            found[row.action, row.place] = row
    return found


def _rows(line: str) -> Iterator[Row]:
    actions, places, who, shown_by, limit = (cell.strip() for cell in line.strip("|").split("|"))
    by, _, but = shown_by.partition("; not ")
    detectors = frozenset() if by == NOTHING else frozenset(part.strip() for part in by.split(", "))
    for action in actions.split(", "):
        for place in re.findall(r"`([^`]+)`", places):
            yield Row(
                action,
                place,
                frozenset(who.split(", ")),
                detectors,
                frozenset(re.findall(r"`([^`]+)`", but)),
                limit,
            )
