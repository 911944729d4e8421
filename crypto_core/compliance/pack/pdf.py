"""A document as PDF: A4, without scripts, links or anything fetched; the same bytes for the same page.

Made with ReportLab (its user guide, "PLATYPUS"), whose own Bitstream Vera is embedded. What that font has no
glyph for stands as its code point, such as [U+4E2D]; report.html shows it as it is.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from typing import Any
from xml.sax.saxutils import escape

from crypto_core.lists.tone import Tone
from crypto_core.reports.cells import Cell, ReportPage, ReportTable, ShownSection, TextLook
from crypto_core.values.clean_text import clean

_REGULAR, _BOLD = "Vera", "VeraBd"
_MARGIN = 40
"""Points around a page's text."""
_MOST_LINES = 30
"""Lines that go with a cell's text; of more, their number."""
_MOST_TEXT = 1200
_INK = dict.fromkeys(Tone, "#1d2530") | {
    Tone.GOOD: "#1f6b3a",
    Tone.WARNING: "#8a5200",
    Tone.BAD: "#a8201a",
    Tone.QUIET: "#5b6675",
}
_ACCENT, _LINE, _BAND = "#1c5d99", "#d9dee5", "#f5f7f9"
_WORDED = dict.fromkeys("●▲✖◌·", "") | {"→": "->"}
"""Signs that stand beside their words, which are enough."""


def as_pdf(page: ReportPage) -> bytes:
    """Return the document. Needs ReportLab: ImportError without it."""
    from reportlab.platypus.doctemplate import LayoutError

    try:
        return _built(page, _Maker())
    except LayoutError:  # a row is higher than a sheet
        return _built(page, _Maker(cuts_rows=True))


def _built(page: ReportPage, made: _Maker) -> bytes:
    from reportlab.platypus import SimpleDocTemplate

    file = io.BytesIO()
    document = SimpleDocTemplate(
        file,
        pagesize=made.paper,
        leftMargin=_MARGIN,
        rightMargin=_MARGIN,
        topMargin=_MARGIN,
        bottomMargin=_MARGIN,
        title=made.shown(f"{page.kind} {page.name}: {page.title}"),
        author="Keydeck",
        invariant=1,
    )
    document.build(list(made.page(page)), onFirstPage=made.footer, onLaterPages=made.footer)
    return file.getvalue()


class _Maker:
    """Makes what ReportLab lays out. With `cuts_rows` a table's row may go on on the next sheet."""

    def __init__(self, *, cuts_rows: bool = False) -> None:
        from reportlab.lib.pagesizes import A4
        from reportlab.lib.styles import ParagraphStyle
        from reportlab.pdfbase import pdfmetrics
        from reportlab.pdfbase.ttfonts import TTFont

        for name in (_REGULAR, _BOLD):
            pdfmetrics.registerFont(TTFont(name, f"{name}.ttf"))
        self.paper = A4
        self._width = A4[0] - 2 * _MARGIN
        self._glyphs = pdfmetrics.getFont(_REGULAR).face.charToGlyph
        self._style = ParagraphStyle
        self._cuts_rows = cuts_rows

    def shown(self, text: str) -> str:
        """Return a text as its font can show it, to be escaped."""
        line = clean(text, _MOST_TEXT)
        return "".join(
            one if ord(one) in self._glyphs else _WORDED.get(one, f"[U+{ord(one):04X}]") for one in line
        ).strip()

    def paragraph(self, text: str, size: float, color: str = _INK[Tone.PLAIN], **more: Any) -> Any:
        """Return a text of one size as a paragraph."""
        from reportlab.platypus import Paragraph

        style = self._style(
            "text",
            fontName=more.pop("font", _REGULAR),
            fontSize=size,
            leading=size * 1.3,
            textColor=color,
            splitLongWords=True,
            **more,
        )
        return Paragraph(escape(self.shown(text)), style)

    def page(self, page: ReportPage) -> Iterator[Any]:
        yield self.paragraph(f"{page.kind} {page.name}", 9, _INK[Tone.QUIET])
        yield self.paragraph(page.title, 17, font=_BOLD, spaceBefore=2, spaceAfter=5)
        yield self.paragraph(page.state, 9, spaceAfter=6)
        names = tuple(Cell(one.name) for one in page.figures)
        values = tuple(Cell(one.value, more=(one.note,)) for one in page.figures)
        if names:
            yield self._table([names, values], [1.0] * len(names), head=False)
        for section in page.sections:
            yield from self._section(section)

    def footer(self, canvas: Any, document: Any) -> None:
        canvas.setFont(_REGULAR, 7)
        canvas.setFillColor(_INK[Tone.QUIET])
        canvas.drawRightString(self.paper[0] - _MARGIN, _MARGIN / 2, str(document.page))

    def _section(self, section: ShownSection) -> Iterator[Any]:
        yield self.paragraph(
            section.title, 11.5, _ACCENT, font=_BOLD, spaceBefore=14, spaceAfter=3, keepWithNext=True
        )
        if section.lead:
            yield self.paragraph(section.lead, 8, _INK[Tone.QUIET], spaceAfter=4)
        if section.facts:
            rows = [(Cell(fact.name, Tone.QUIET), fact.value) for fact in section.facts]
            yield self._table(rows, [1.0, 3.6], head=False)
        for table in section.tables:
            yield from self._named_table(table, named=section.names_tables)

    def _named_table(self, table: ReportTable, *, named: bool) -> Iterator[Any]:
        if not table.rows:
            yield self.paragraph(f"{table.caption}: {table.empty}", 8, _INK[Tone.QUIET], spaceBefore=4)
            return
        if named:
            yield self.paragraph(
                table.caption, 8, _INK[Tone.QUIET], spaceBefore=6, spaceAfter=2, keepWithNext=True
            )
        heads = tuple(Cell(header, Tone.QUIET) for header in table.headers)
        yield self._table([heads, *table.rows], _weights(table), head=True)

    def _table(self, rows: Sequence[Sequence[Cell]], weights: Sequence[float], *, head: bool) -> Any:
        from reportlab.platypus import LongTable, TableStyle

        widths = [self._width * weight / sum(weights) for weight in weights]
        style = [
            ("VALIGN", (0, 0), (-1, -1), "TOP"),
            ("LINEBELOW", (0, 0), (-1, -1), 0.4, _LINE),
            ("LEFTPADDING", (0, 0), (-1, -1), 2),
            ("RIGHTPADDING", (0, 0), (-1, -1), 4),
            ("TOPPADDING", (0, 0), (-1, -1), 2),
            ("BOTTOMPADDING", (0, 0), (-1, -1), 3),
            *([("BACKGROUND", (0, 0), (-1, 0), _BAND)] if head else []),
        ]
        return LongTable(
            [[self._cell(cell) for cell in row] for row in rows],
            colWidths=widths,
            repeatRows=1 if head else 0,
            style=TableStyle(style),
            splitInRow=int(self._cuts_rows),
        )

    def _cell(self, cell: Cell) -> list[Any]:
        right = {"alignment": 2} if cell.look is TextLook.NUMBER else {}
        font = {"font": _BOLD} if cell.tone in (Tone.BAD, Tone.WARNING) else {}
        more = [line for line in cell.more if line]
        left = len(more) - _MOST_LINES
        lines = [*more[:_MOST_LINES], *([f"and {left:,} more in report.html"] if left > 0 else [])]
        return [
            *([self.paragraph(cell.text, 7, _INK[cell.tone], **right, **font)] if cell.text else []),
            *(self.paragraph(line, 6.2, _INK[Tone.QUIET], **right) for line in lines),
        ]


def _weights(table: ReportTable) -> list[float]:
    """How wide columns are beside each other, by the longest text in each, within bounds."""
    longest = [len(header) for header in table.headers]
    for row in table.rows:
        for place, cell in enumerate(row):
            longest[place] = max(longest[place], *(len(line) for line in (cell.text, *cell.more)))
    return [min(max(length, 9), 60) ** 0.75 for length in longest]
