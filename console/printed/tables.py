"""Tables as text: aligned columns that follow one another without all rows being held.

On a terminal a table is as wide as that: columns that can be spared are left out, by name, and what is too
long for its column goes on below.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain, islice, zip_longest

from console.printed.terminal import heading, styled
from crypto_core.findings.finding import Severity
from crypto_core.values.clean_text import clean
from screens.signs import SIGNS

_FIRST = 500
"""Rows by which the columns' widths are found."""
_NARROWEST = 10
"""Characters that a column keeps, however narrow the terminal is."""
_GAP = "  "
_INDENT = "  "
"""Before what of a first column goes on below."""
_STYLES = {severity.value: sign.style for severity, sign in SIGNS.items() if severity is not Severity.NONE}
"""Cells that say how bad something is, and their style."""


@dataclass(slots=True)
class PrintedTable:
    """Rows below headings. Where there is no room, `spare` columns are left out, from the first on."""

    headers: Sequence[str]
    rows: Iterable[Sequence[object]]
    spare: Sequence[str] = ()
    left_out: list[str] = field(default_factory=list)
    """The columns that were left out, once the first line is there."""

    def lines(self, width: int | None = None) -> Iterator[str]:
        """Yield the table's lines, no longer than `width` characters as far as columns can be narrowed."""
        rows = iter(self.rows)
        first = list(islice(rows, _FIRST))
        texts = [[_text(cell) for cell in row] for row in first]
        columns = [
            _Column(
                i, name, _width((name, *(row[i] for row in texts))), any(isinstance(r[i], int) for r in first)
            )
            for i, name in enumerate(self.headers)
        ]
        if width is not None:
            columns = _fitted(self._shown(columns, width), width)
        yield heading(_line(self.headers, columns))
        for row in chain(texts, ([_text(cell) for cell in row] for row in rows)):
            if width is None:
                yield _line(row, columns)
            else:
                yield from _folded(row, columns)

    def _shown(self, columns: Sequence[_Column], width: int) -> list[_Column]:
        """The columns that are shown: the others can be spared, and there is no room for them."""
        shown = list(columns)
        for name in self.spare:
            if sum(c.width for c in shown) + len(_GAP) * (len(shown) - 1) <= width:
                break
            shown = [c for c in shown if c.header != name]
            self.left_out.append(name)
        return shown


@dataclass(frozen=True, slots=True)
class _Column:
    """A column's place in each row, its heading, its width, and whether it stands to the right."""

    place: int
    header: str
    width: int
    right: bool

    def padded(self, text: str) -> str:
        from rich.cells import cell_len

        space = " " * (self.width - cell_len(text))
        shown = styled(text, _STYLES.get(text, "")) if self.header == "severity" else text
        return space + shown if self.right else shown + space


def _fitted(columns: Sequence[_Column], width: int) -> list[_Column]:
    """The columns as they fit into `width` characters together: the widest ones give way."""
    room = width - len(_GAP) * (len(columns) - 1)
    most = max((c.width for c in columns), default=0)
    while most > _NARROWEST and sum(min(c.width, most) for c in columns) > room:
        most -= 1
    return [replace(c, width=min(c.width, most)) for c in columns]


def _text(cell: object) -> str:
    return f"{cell:,}" if isinstance(cell, int) else clean(cell)


def _width(texts: Iterable[str]) -> int:
    from rich.cells import cell_len

    return max(map(cell_len, texts))


def _line(texts: Sequence[str], columns: Sequence[_Column]) -> str:
    return _GAP.join(c.padded(texts[c.place]) for c in columns).rstrip()


def _folded(texts: Sequence[str], columns: Sequence[_Column]) -> Iterator[str]:
    parts = [_parts(texts[c.place], c.width, "" if number else _INDENT) for number, c in enumerate(columns)]
    for line in zip_longest(*parts, fillvalue=""):
        yield _GAP.join(c.padded(text) for c, text in zip(columns, line, strict=True)).rstrip()


def _parts(text: str, width: int, indent: str) -> list[str]:
    """A text in lines of a width, all but the first behind an indent: none of them looks like another row."""
    from rich.cells import cell_len

    if cell_len(text) <= width:
        return [text]
    from rich.console import Console
    from rich.text import Text

    room = width - len(indent)
    lines = Text(text).wrap(Console(width=room), room, overflow="fold")
    return [f"{indent if number else ''}{line.plain.rstrip()}" for number, line in enumerate(lines)]
