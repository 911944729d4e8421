"""Counts of tokens by format, drawn as the columns of a table, with the share that is protected."""

from __future__ import annotations

from collections.abc import Mapping

from textual.content import Content

from crypto_core.envelope import Format
from screens.signs import format_style
from screens.widgets.cells import bar, fit, fit_middle, percent

_TOKENS = 9
_WIDE, _ROOMY = 100, 140
"""Cells from which on there is room for the share that is protected, and for its bar."""
_SHARE, _BAR = 11, 12


class FormatColumns:
    """The columns at one width, for counts of which none is larger than those of `whole`."""

    def __init__(self, whole: Mapping[Format, int], width: int) -> None:
        wide = width >= _WIDE
        # Who binds to no database does not read of it.
        shown = [f for f in Format if whole.get(f) or not f.binds_database]
        self._names = {f: f.value if wide else f.short for f in shown}
        least = 9 if wide else 7
        self._cells = {
            f: max(len(name) + 2, len(f"{whole.get(f, 0):,}") + 2, least) for f, name in self._names.items()
        }
        self._bar = _BAR if width >= _ROOMY else 0
        self._shares = _SHARE + self._bar if wide else 0
        self._name = width - sum(self._cells.values()) - _TOKENS - self._shares

    def heading(self, name: str) -> Content:
        text = fit(name, self._name) + fit("tokens", _TOKENS, right=True)
        text += fit("protected", self._shares, right=True)
        text += "".join(fit(self._names[f], cells, right=True) for f, cells in self._cells.items())
        return Content.assemble((text, "$muted"))

    def row(self, name: str, by_format: Mapping[Format, int], style: str = "") -> Content:
        """One row: a name, and the counts of what has it."""
        tokens = sum(by_format.values())
        parts: list[tuple[str, str]] = [
            (fit_middle(name, self._name), style),
            (fit(f"{tokens:,}", _TOKENS, right=True), style),
        ]
        if self._shares:
            protected = sum(count for format_, count in by_format.items() if format_.protected)
            share = protected / tokens if tokens else 0.0
            parts.append((f"  {bar(share, self._bar - 2)}" if self._bar else "", "$accent"))
            parts.append((fit(percent(protected, tokens), _SHARE, right=True), style))
        for format_, cells in self._cells.items():
            count = by_format.get(format_, 0)
            if count:
                words = fit(f"{count:,}", cells, right=True)
                parts.append((words, f"{style} {format_style(format_)}".strip()))
            else:
                parts.append((fit("·", cells, right=True), "$disabled"))
        return Content.assemble(*parts)
