"""The record as it came, made readable: indented, coloured, and no more of it than a page can bear."""

from __future__ import annotations

import json

from textual.content import Content
from textual.highlight import highlight

from crypto_core.text.cleaning import clean
from crypto_core.trail.record_reader import load

MOST_CHARACTERS = 100_000
LONGEST_LINE = 2_000


def readable(raw: bytes) -> list[Content]:
    """Return a record's JSON as coloured lines, in ASCII; what is too long is cut, and the cut is said.

    Meant for a worker's thread: colouring takes its time.
    """
    try:
        text = json.dumps(load(raw), indent=2, ensure_ascii=True)
    except (ValueError, RecursionError):
        text = clean(raw[: LONGEST_LINE * 4].decode("utf-8", "replace"), LONGEST_LINE)
        return [Content.assemble(("The record can't be formatted; it begins:", "$warning")), Content(text)]
    lines: list[str] = []
    room = MOST_CHARACTERS
    for line in text.split("\n"):
        if room <= 0:
            break
        cut = len(line) - LONGEST_LINE
        lines.append(f"{line[:LONGEST_LINE]}… ({cut:,} more characters)" if cut > 0 else line)
        room -= len(lines[-1]) + 1
    coloured = list(highlight("\n".join(lines), language="json").split("\n", allow_blank=True))
    if room <= 0:
        words = f"… cut: the record has {len(raw):,} bytes. E on the list exports it whole."
        coloured.append(Content.assemble((words, "$warning")))
    return coloured
