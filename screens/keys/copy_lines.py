"""Which registered copies, such as dumps and backups, need a key."""

from __future__ import annotations

from collections.abc import Iterator

from crypto_core.keys.needing_copies import NeedingCopies, NeedingCopy
from crypto_core.text.counting import counted
from screens.use.lines import BLANK, fact
from screens.widgets.line_list import Line

MOST = 8
"""Copies that get a line; `keydeck copies list` has all."""


def copy_lines(copies: NeedingCopies | None, width: int) -> Iterator[Line]:
    """Yield a line for each copy that needs the key, or may; none before the register was read."""
    if copies is None:
        return
    yield BLANK
    if copies.unknown:
        yield fact("copies", f"not known: {copies.unknown}", width, style="$warning")
    elif not copies.registered:
        words = "none registered: whether a backup needs the key is not known"
        yield fact("copies", words, width, style="$muted")
    elif not copies.needing and not copies.doubtful:
        yield fact("copies", f"none of {copies.registered:,} registered needs the key", width)
    told = [*map(_needs, copies.needing), *map(_may_need, copies.doubtful)]
    for number, words in enumerate(told[:MOST]):
        yield fact("" if number else "copies", words, width, style="$warning")
    if len(told) > MOST:
        yield fact("", f"{len(told) - MOST:,} more: keydeck copies list", width, style="$muted")


def _needs(copy: NeedingCopy) -> str:
    return f"{counted(copy.envelopes, 'envelope')} under it: {copy}"


def _may_need(copy: NeedingCopy) -> str:
    return f"{counted(copy.doubtful, 'envelope')} of a key that is not known: {copy}"
