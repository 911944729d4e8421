"""A page as a terminal gets it."""

from __future__ import annotations

from collections.abc import Iterator

import click

from console.printed.terminal import has_colour, width_of_terminal
from screens.manual.page_lines import Row, StyledPiece, page_rows, topics_in
from screens.manual_page import ManualPage

_WIDTH = 100
"""Characters of a line where no terminal says how wide it is."""


def page_lines(page: ManualPage) -> Iterator[str]:
    """Yield the lines of a page, in the terminal's width and what it can show, then where it leads."""
    rows = page_rows(page.text, width_of_terminal() or _WIDTH)
    colour = has_colour()
    for row in rows:
        yield _line(row) if colour else "".join(piece.text for piece in row)
    others = [topic for topic in topics_in(rows) if topic != page.topic]
    if others:
        yield ""
        yield f"See also (keydeck help TOPIC): {', '.join(others)}"


def _line(row: Row) -> str:
    return "".join(map(_styled, row))


def _styled(piece: StyledPiece) -> str:
    words = piece.style.split()
    if not piece.link and not {"bold", "$code"} & {*words}:
        return piece.text
    return click.style(
        piece.text, bold="bold" in words or "$code" in words or None, underline=bool(piece.link) or None
    )
