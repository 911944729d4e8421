"""By column and format: where the tokens are, and how they are stored."""

from __future__ import annotations

from collections.abc import Mapping

from textual.content import Content

from crypto_core.envelope import ENVELOPE_FORMATS, Format
from crypto_core.keys.status import Status
from screens.routes import TokensRoute
from screens.signs import format_style
from screens.widgets.cells import bar, fit, fit_middle, percent
from screens.widgets.line_list import Line, line

_HEADINGS: Mapping[Format, tuple[str, str]] = {
    **{f: ("bound" if f.binds_database else f.value, f.value) for f in ENVELOPE_FORMATS},
    Format.DEV: ("dev", "dev"),
    Format.PLAINTEXT: ("plain", "plaintext"),
    Format.UNRECOGNISED: ("unrec.", "unrecognised"),
    Format.EMPTY: ("empty", "empty"),
}
"""Short and whole, for narrow and wide terminals."""
_TOKENS = 9
_ROOMY = 140
_SHARE, _BAR = 11, 12
"""The share that is protected, on wide terminals, and its bar on wider ones."""


def column_lines(status: Status, width: int) -> list[Line]:
    """A heading, each column with its counts, and the sums. A column leads to its tokens."""
    wide = width >= 100
    # Who binds to no database does not read of it.
    shown = [f for f in _HEADINGS if status.by_format.get(f) or not f.binds_database]
    names = [_HEADINGS[format_][wide] for format_ in shown]
    totals = [len(f"{status.by_format.get(format_, 0):,}") for format_ in shown]
    least = 9 if wide else 7
    cells = [max(len(name) + 2, total + 2, least) for name, total in zip(names, totals, strict=True)]
    columns = dict(zip(shown, cells, strict=True))
    bars = _BAR if width >= _ROOMY else 0
    shares = _SHARE + bars if wide else 0
    name_width = width - sum(cells) - _TOKENS - shares
    heading = fit("by column", name_width) + fit("tokens", _TOKENS, right=True)
    heading += fit("protected", shares, right=True)
    heading += "".join(fit(name, cell, right=True) for name, cell in zip(names, cells, strict=True))
    return [
        line((heading, "$muted")),
        *(
            Line(
                _row(column.column, column.tokens, column.by_format, name_width, columns, shares),
                TokensRoute(_filter(column.column)),
                hint="Enter: the tokens of this column.",
            )
            for column in status.by_column
        ),
        Line(_row("all columns", status.tokens, status.by_format, name_width, columns, shares, "bold")),
    ]


def _filter(column: str) -> str:
    table, _, name = column.rpartition(".")
    return f"table:{table} column:{name}"


def _row(
    name: str,
    tokens: int,
    by_format: Mapping[Format, int],
    name_width: int,
    columns: Mapping[Format, int],
    shares: int,
    style: str = "",
) -> Content:
    parts: list[tuple[str, str]] = [
        (fit_middle(name, name_width), style),
        (fit(f"{tokens:,}", _TOKENS, right=True), style),
    ]
    if shares:
        protected = sum(count for format_, count in by_format.items() if format_.protected)
        share, cells = protected / tokens if tokens else 0.0, shares - _SHARE
        parts.append((f"  {bar(share, cells - 2)}" if cells else "", "$accent"))
        parts.append((fit(percent(protected, tokens), _SHARE, right=True), style))
    for format_, width in columns.items():
        count = by_format.get(format_, 0)
        if count:
            parts.append((fit(f"{count:,}", width, right=True), f"{style} {format_style(format_)}".strip()))
        else:
            parts.append((fit("·", width, right=True), "$disabled"))
    return Content.assemble(*parts)
