"""What goes to the clipboard: cleaned text, and not more than terminals take.

OSC 52 is not acknowledged, and terminals drop what is too long for them, so "sent" is all that can be said.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import cast

from textual.dom import DOMNode

from crypto_core.values.clean_text import clean
from screens.actions.performer import Host
from screens.widgets.cells import cut

MOST = 64_000
"""Bytes sent at most: xterm takes about 100,000 of an OSC 52, which is 75,000 before they become base64."""
_CELL = 4_000


def rows_as_text(rows: Iterable[Sequence[str]]) -> tuple[str, int]:
    """Return rows as lines of cells parted by tabs, as many as there is room for, and how many these are."""
    lines: list[str] = []
    room = MOST
    for row in rows:
        line = "\t".join(map(cell_as_text, row))
        room -= len(line.encode()) + 1
        if room < 0:
            break
        lines.append(line)
    return "\n".join(lines), len(lines)


def cell_as_text(cell: str) -> str:
    """Return a cell as it may be pasted: on one line, so that no shell takes it for a command's end."""
    return clean(cell, _CELL)


def send_to_clipboard(node: DOMNode, text: str, words: str) -> None:
    """Send a text, made by one of the functions above, to the clipboard and say so; `words` tell what."""
    node.app.copy_to_clipboard(text)
    cast(Host, node.app).tell(f"Sent to the clipboard: {cut(words, 60)}")
