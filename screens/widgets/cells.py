"""Text cut and padded to terminal cells, and bars drawn with eighths of a block.

What is cut to a cell may be an identity (a table's name, an ARN), which is kept as it came to act on: here it
becomes text.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich.cells import cell_len, set_cell_size
from textual.content import Content

from crypto_core.values.clean_text import clean
from screens.styled_text import StyledLine

_EIGHTHS = " ▏▎▍▌▋▊▉█"
HEIGHTS = "▁▂▃▄▅▆▇█"


def fit(text: str, width: int, *, right: bool = False) -> str:
    """Return `text` cleaned, exactly `width` cells wide: cut with "…" or padded, on the left if `right`."""
    if width <= 0:
        return ""
    if text.isascii() and text.isprintable() and len(text) <= width:
        return text.rjust(width) if right else text.ljust(width)
    text = clean(text, max(width * 4, 16))
    if cell_len(text) > width:
        return set_cell_size(text, width - 1) + "…"
    padding = " " * (width - cell_len(text))
    return padding + text if right else text + padding


def fit_middle(text: str, width: int) -> str:
    """Return `text` cleaned, exactly `width` cells wide, cut in its middle: a reference's end matters."""
    if len(text) <= width and text.isascii():
        return fit(text, width)
    whole = clean(text)
    if cell_len(whole) <= width or width < 8:
        return fit(whole, width)
    head = set_cell_size(whole, width * 2 // 5).rstrip()
    tail = ""
    for character in reversed(whole):
        if cell_len(head) + 1 + cell_len(character + tail) > width:
            break
        tail = character + tail
    return fit(f"{head}…{tail}", width)


def cut(text: str, width: int) -> str:
    """Return `text` cleaned and at most `width` cells wide."""
    return fit(text, width).rstrip()


def bar(share: float, width: int) -> str:
    """Return a bar of `width` cells for a share from 0 to 1; anything above 0 shows at least an eighth."""
    share = min(max(share, 0.0), 1.0)
    eighths = round(share * width * 8)
    if share > 0:
        eighths = max(eighths, 1)
    if share < 1:
        eighths = min(eighths, width * 8 - 1)
    full, rest = divmod(eighths, 8)
    return ("█" * full + (_EIGHTHS[rest] if rest else "")).ljust(width)


def columns(numbers: Sequence[int], none: str = HEIGHTS[0]) -> str:
    """Return a block for each number, as high as its share of the highest; `none` for a 0."""
    most = max(numbers, default=0)
    return "".join(HEIGHTS[max(round(n / most * 8) - 1, 0)] if n else none for n in numbers)


def percent(part: int, whole: int) -> str:
    """Return a share as "96.1 %", never rounded up to 100 or down to 0."""
    if not whole:
        return "- %"
    tenths = round(1000 * part / whole)
    if part < whole:
        tenths = min(tenths, 999)
    if part > 0:
        tenths = max(tenths, 1)
    return "100 %" if tenths == 1000 else f"{tenths / 10:.1f} %"


def progress(done: int, total: int, width: int, style: str) -> Content:
    right = f"  {done:,} of {total:,}  {percent(done, total)}"
    share = done / total if total else 0.0
    return Content.assemble((bar(share, max(width - len(right), 8)), f"{style} on $panel"), (right, "bold"))


def painted(lines: Iterable[StyledLine]) -> Content:
    return Content("\n").join(Content.assemble(*line) for line in lines)


def spread(left: Content, right: Content, width: int) -> Content:
    """Return one line with `left` and `right` at its ends; where both don't fit, `left` is cut."""
    room = width - right.cell_length - 1
    if room <= 0:
        return right.truncate(width, ellipsis=True)
    if left.cell_length > room:
        left = left.truncate(room, ellipsis=True)
    return Content.assemble(left, " " * (width - left.cell_length - right.cell_length), right)
