"""Lines of styled text: screens paint them, commands print them plain."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

Part = str | tuple[str, str]
"""A text, alone or with its style."""
StyledLine = tuple[Part, ...]

GOOD = ("● ", "$success")
WARNING = ("▲ ", "$warning")
BAD = ("✖ ", "$error")
BLANK: StyledLine = ()


def plain(line: StyledLine) -> str:
    return "".join(part if isinstance(part, str) else part[0] for part in line)


def effect_lines(
    does: Iterable[str] = (), does_not: Iterable[str] = (), warnings: Iterable[str] = ()
) -> Iterator[StyledLine]:
    """Yield what a change does, what it does not, and what to beware of."""
    yield from ((f"• {text}",) for text in does)
    yield from ((("◦ ", "$muted"), text) for text in does_not)
    yield from ((WARNING, text) for text in warnings)
