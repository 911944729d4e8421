"""A page's Markdown as lines of a terminal: wrapped to a width, each piece with its style and its link."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from markdown_it import MarkdownIt
from markdown_it.tree import SyntaxTreeNode
from rich.cells import cell_len, chop_cells

from screens.manual_page import topic_of

MOST = 100
"""Cells of a line of prose: longer ones are hard to read."""
_LEAST = 12
_GAP = 2
_BULLET = "• "


@dataclass(frozen=True, slots=True)
class StyledPiece:
    """Some characters in one style. `link` is the link's target, "" for none."""

    text: str
    style: str = ""
    link: str = ""


Row = tuple[StyledPiece, ...]


def page_rows(text: str, width: int) -> list[Row]:
    """Return a page without pictures as lines of at most `width` cells; lines of code are whole."""
    tree = SyntaxTreeNode(MarkdownIt("commonmark", {"html": False}).enable("table").parse(text))
    return list(_spaced(tree.children, max(width, _LEAST)))


def folded(row: Row, width: int) -> Iterator[Row]:
    """Yield a line in parts of at most `width` cells, or of as few as a page can have."""
    width = max(width, _LEAST)
    if _cells(row) <= width:
        yield row
        return
    lead, *rest = row
    for part in chop_cells(plain(tuple(rest)), max(width - cell_len(lead.text), 1)):
        yield (lead, replace(rest[-1], text=part))


def plain(row: Row) -> str:
    return "".join(piece.text for piece in row)


def topics_in(rows: Iterable[Row]) -> tuple[str, ...]:
    """Return the topics that lines link to, each once, in their order."""
    topics = (topic_of(piece.link) for row in rows for piece in row)
    return tuple(dict.fromkeys(topic for topic in topics if topic))


def _spaced(blocks: Sequence[SyntaxTreeNode], width: int) -> Iterator[Row]:
    begun = False
    for block in blocks:
        rows = list(_block(block, width))
        if rows and begun:
            yield ()
        begun = begun or bool(rows)
        yield from rows


def _block(block: SyntaxTreeNode, width: int) -> Iterator[Row]:
    match block.type:
        case "heading":
            style = "bold $accent" if block.tag == "h1" else "bold"
            yield from _wrapped(_inline(block, style), min(width, MOST))
        case "paragraph":
            yield from _wrapped(_inline(block), min(width, MOST))
        case "fence" | "code_block":
            yield from _indented(_code(block.content), "  ")
        case "bullet_list" | "ordered_list":
            yield from _list(block, width)
        case "blockquote":
            yield from _indented(_spaced(block.children, width - 2), "│ ")
        case "table":
            yield from _table(block, width)
        case "hr":
            yield (StyledPiece("─" * min(width, MOST), "$muted"),)
        case other:
            raise ValueError(f"a page has {other}, which is not shown")


def _code(text: str) -> Iterator[Row]:
    return ((StyledPiece(line, "$block"),) if line else () for line in text.rstrip("\n").split("\n"))


def _list(block: SyntaxTreeNode, width: int) -> Iterator[Row]:
    loose = any(len(item.children) > 1 and item.children[1].type == "paragraph" for item in block.children)
    for number, item in enumerate(block.children, int(block.attrs.get("start", 1))):
        lead = _BULLET if block.type == "bullet_list" else f"{number}. "
        rows = list(_spaced(item.children, width - len(lead)))
        yield from _indented(rows, lead, " " * len(lead))
        if loose and item is not block.children[-1]:
            yield ()


def _indented(rows: Iterable[Row], first: str, rest: str | None = None) -> Iterator[Row]:
    lead = first
    for row in rows:
        yield (StyledPiece(lead), *row) if row else ()
        lead = first if rest is None else rest


# Text within a line


def _inline(block: SyntaxTreeNode, style: str = "") -> list[StyledPiece]:
    return [piece for child in block.children for piece in _pieces(child, StyledPiece("", style))]


def _pieces(node: SyntaxTreeNode, into: StyledPiece) -> Iterator[StyledPiece]:
    match node.type:
        case "text":
            yield replace(into, text=node.content)
        case "softbreak" | "hardbreak":
            yield replace(into, text=" ")
        case "code_inline":
            yield replace(into, text=node.content, style=f"{into.style} $code".strip())
        case "image":
            return
        case "strong" | "em":
            for child in node.children:
                yield from _pieces(child, replace(into, style=f"{into.style} bold".strip()))
        case "link" if topic_of(str(node.attrs["href"])):
            style = f"{into.style} underline".strip()
            for child in node.children:
                yield from _pieces(child, replace(into, style=style, link=str(node.attrs["href"])))
        case _:
            for child in node.children:
                yield from _pieces(child, into)


def _words(pieces: Iterable[StyledPiece]) -> Iterator[tuple[StyledPiece, ...]]:
    """Yield words, of several pieces where styles change within one."""
    word: list[StyledPiece] = []
    for piece in pieces:
        for number, part in enumerate(piece.text.split(" ")):
            if number and word:
                yield tuple(word)
                word = []
            if part:
                word.append(replace(piece, text=part))
    if word:
        yield tuple(word)


def _wrapped(pieces: Iterable[StyledPiece], width: int) -> Iterator[Row]:
    """Yield lines of whole words; a word that is wider than a line goes on in the next."""
    line: list[StyledPiece] = []
    used = 0
    for word in _words(pieces):
        cells = _cells(word)
        if line and used + 1 + cells > width:
            yield tuple(line)
            line, used = [], 0
        if line:
            alike = (line[-1].style, line[-1].link) == (word[0].style, word[0].link)
            _append(line, replace(word[0], text=" ") if alike else StyledPiece(" "))
            used += 1
        for piece in word if cells <= width else _chopped(word, width):
            if used + cell_len(piece.text) > width:
                yield tuple(line)
                line, used = [], 0
            _append(line, piece)
            used += cell_len(piece.text)
    if line:
        yield tuple(line)


def _append(line: list[StyledPiece], piece: StyledPiece) -> None:
    """Append a piece to a line; to its last piece if that is alike."""
    if line and (line[-1].style, line[-1].link) == (piece.style, piece.link):
        line[-1] = replace(piece, text=line[-1].text + piece.text)
    else:
        line.append(piece)


def _chopped(word: Iterable[StyledPiece], width: int) -> Iterator[StyledPiece]:
    for piece in word:
        for part in chop_cells(piece.text, width):
            yield replace(piece, text=part)


# Tables


def _table(block: SyntaxTreeNode, width: int) -> Iterator[Row]:
    """Yield a table whose columns share the width; where that is too narrow, one row below another."""
    head, *body = [
        [_inline(cell, "bold" if part.type == "thead" else "") for cell in row.children]
        for part in block.children
        for row in part.children
    ]
    widths = _shared([head, *body], width)
    if widths is None:
        yield from _stacked(head, body, width)
        return
    if any(cell for cell in head):
        yield from _columns(head, widths)
        yield (StyledPiece("─" * (sum(widths) + _GAP * (len(widths) - 1)), "$muted"),)
    for row in body:
        yield from _columns(row, widths)


def _shared(rows: Sequence[Sequence[Sequence[StyledPiece]]], width: int) -> list[int] | None:
    """Return the columns' widths; None where some would be narrower than their words."""
    columns = [[row[number] for row in rows] for number in range(len(rows[0]))]
    whole = [max((_cells(cell) for cell in column), default=0) for column in columns]
    room = width - _GAP * (len(columns) - 1)
    if sum(whole) <= room:
        return whole
    least = [
        min(
            max((sum(cell_len(p.text) for p in word) for cell in column for word in _words(cell)), default=0),
            30,
        )
        for column in columns
    ]
    spare = room - sum(least)
    if spare < 0 or room < sum(min(cells, 18) for cells in whole):
        return None
    wanted = [full - low for full, low in zip(whole, least, strict=True)]
    return [low + spare * more // max(sum(wanted), 1) for low, more in zip(least, wanted, strict=True)]


def _cells(cell: Iterable[StyledPiece]) -> int:
    return sum(cell_len(piece.text) for piece in cell)


def _columns(row: Sequence[Sequence[StyledPiece]], widths: Sequence[int]) -> Iterator[Row]:
    cells = [list(_wrapped(cell, max(width, 1))) for cell, width in zip(row, widths, strict=True)]
    for number in range(max((len(cell) for cell in cells), default=0)):
        line: list[StyledPiece] = []
        for cell, width in zip(cells, widths, strict=True):
            part = cell[number] if number < len(cell) else ()
            line += [*part, StyledPiece(" " * (width - _cells(part) + _GAP))]
        yield _trimmed(line)


def _trimmed(line: list[StyledPiece]) -> Row:
    while line and not line[-1].text.strip():
        line.pop()
    return tuple(line)


def _stacked(
    head: Sequence[Sequence[StyledPiece]], body: Iterable[Sequence[Sequence[StyledPiece]]], width: int
) -> Iterator[Row]:
    for number, (first, *others) in enumerate(body):
        if number:
            yield ()
        yield from _wrapped([replace(piece, style=f"{piece.style} bold".strip()) for piece in first], width)
        for name, cell in zip(head[1:], others, strict=True):
            if cell:
                lead = [StyledPiece(f"{''.join(piece.text for piece in name)}: ", "$muted")] if name else []
                yield from _indented(_wrapped([*lead, *cell], width - 2), "  ")
