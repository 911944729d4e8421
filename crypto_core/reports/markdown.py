"""A document as Markdown (CommonMark with the tables of GitHub Flavored Markdown, section 4.10).

Every text of the document is escaped: none can end a cell, begin a heading, a list, a link or an element.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from crypto_core.reports.cells import Cell, ReportPage, ReportTable, ShownSection, TextLook
from crypto_core.values.clean_text import clean

# A character reference can't be taken for structure (CommonMark 0.31, section 2.5), nor can it be undone by
# a backslash before it, which is how a pipe that was only escaped comes to end a cell.
_ESCAPES = str.maketrans(
    {character: f"&#{ord(character)};" for character in "|\\`"}
    | {"&": "&amp;", "<": "&lt;", ">": "&gt;"}
    | {character: f"\\{character}" for character in "*_{}[]#~$@"}
)
_BARE_LINK = re.compile(r"(?<=/)/|(?<=www)\.", re.IGNORECASE)
"""Where GitHub (section 6.9) and others make a link of bare text."""
_BLOCK = re.compile(r"^(\d{0,9})([.)]|(?<!\d)[-+=])")
"""What begins a list, or a line under a heading, where it stands first."""
_PLAIN_CODE = re.compile(r"[A-Za-z0-9][A-Za-z0-9:/+=._-]*")
"""What can stand between backticks as it is."""
_LIMIT = 4000


def as_markdown(page: ReportPage) -> str:
    lines = [
        f"# {escaped(page.name)} {escaped(page.title)}",
        "",
        f"**{escaped(page.state)}**",
        "",
    ]
    for figure in page.figures:
        note = f" ({escaped(figure.note)})" if figure.note else ""
        lines.append(f"- {escaped(figure.name)}: **{escaped(figure.value)}**{note}")
    for section in page.sections:
        lines += ["", *_section(section)]
    return "\n".join(lines) + "\n"


def escaped(text: str) -> str:
    """Return `text` so that Markdown shows it as it is, on one line, wherever it stands."""
    line = clean(text, _LIMIT).strip().translate(_ESCAPES)
    line = _BARE_LINK.sub(lambda match: f"&#{ord(match[0])};", line)
    return _BLOCK.sub(r"\1\\\2", line)


def _section(section: ShownSection) -> Iterator[str]:
    yield f"## {escaped(section.title)}"
    if section.lead:
        yield from ("", escaped(section.lead))
    if section.facts:
        yield ""
        yield from (f"- **{escaped(fact.name)}:** {_cell(fact.value)}" for fact in section.facts)
    for table in section.tables:
        yield from ("", *_table(table, named=section.names_tables))


def _table(table: ReportTable, *, named: bool) -> Iterator[str]:
    if named:
        yield from (f"### {escaped(table.caption)}", "")
    if not table.rows:
        yield escaped(table.empty)
        return
    yield _row(escaped(header) for header in table.headers)
    looks = [cell.look for cell in table.rows[0]]
    yield _row("---:" if look is TextLook.NUMBER else "---" for look in looks)
    for row in table.rows:
        yield _row(_cell(cell) for cell in row)


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _cell(cell: Cell) -> str:
    first = cell.look is TextLook.CODE and _PLAIN_CODE.fullmatch(cell.text)
    lines = [f"`{cell.text}`" if first and line is cell.text else escaped(line) for line in cell.lines]
    return " · ".join(lines)
