"""By column and format: where the tokens are, and how they are stored."""

from __future__ import annotations

from collections.abc import Mapping

from textual.content import Content

from crypto_core.envelope import Format
from crypto_core.keys.status import Status
from screens.routes import TokensBehind
from screens.signs import format_style
from screens.widgets.cells import fit
from screens.widgets.line_list import Line

_HEADINGS: Mapping[Format, tuple[str, str]] = {
    Format.V1: ("v1", "v1"),
    Format.V2: ("v2", "v2"),
    Format.DEV: ("dev", "dev"),
    Format.PLAINTEXT: ("plain", "plaintext"),
    Format.UNRECOGNISED: ("unrec.", "unrecognised"),
    Format.EMPTY: ("empty", "empty"),
}


def column_lines(status: Status, width: int) -> list[Line]:
    """A heading, each column with its counts, and the sums. A column leads to its tokens."""
    wide = width >= 100
    cells = [max(len(names[wide]) + 2, 8) for names in _HEADINGS.values()]
    name_width = width - sum(cells) - 9
    heading = fit("by column", name_width) + fit("tokens", 9, right=True)
    heading += "".join(
        fit(names[wide], w, right=True) for names, w in zip(_HEADINGS.values(), cells, strict=True)
    )
    lines = [Line(Content.assemble((heading, "$muted")))]
    for column in status.by_column:
        lines.append(
            Line(
                _row(column.column, column.tokens, column.by_format, name_width, cells),
                TokensBehind(f"column:{column.column}"),
                hint="Enter: the tokens of this column.",
            )
        )
    lines.append(Line(_row("all columns", status.tokens, status.by_format, name_width, cells, "bold")))
    return lines


def _row(
    name: str,
    tokens: int,
    by_format: Mapping[Format, int],
    name_width: int,
    cells: list[int],
    style: str = "",
) -> Content:
    parts: list[str | tuple[str, str]] = [
        (fit(name, name_width), style),
        (fit(f"{tokens:,}", 9, right=True), style),
    ]
    for format_, width in zip(_HEADINGS, cells, strict=True):
        count = by_format.get(format_, 0)
        if count:
            parts.append((fit(f"{count:,}", width, right=True), f"{style} {format_style(format_)}".strip()))
        else:
            parts.append((fit("·", width, right=True), "$disabled"))
    return Content.assemble(*parts)
