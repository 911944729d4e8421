"""How far the tokens are counted that are being counted: a bar, a share, and how many there are so far."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual.content import Content

from crypto_core.text.counting import counted
from screens.widgets.cells import bar

if TYPE_CHECKING:
    from crypto_core.database.tokens.census import CensusProgress

_BAR = 24


def counting_content(counting: CensusProgress | None, width: int) -> Content:
    """Return the line that stands where the answer will be."""
    if counting is None:
        return Content.assemble(("Counting tokens…", "$muted"))
    shown = bar(counting.share, min(_BAR, max(width - 50, 8)))
    words = f"  {100 * counting.share:3.0f} %  {counted(counting.tokens, 'token')} so far"
    return Content.assemble(("Counting tokens  ", "$muted"), (shown, "$accent on $panel"), words)


def counting_note(counting: CensusProgress | None) -> Content:
    """Return the same in a few words, beside an answer that is shown meanwhile; nothing while none counts."""
    return (
        Content("")
        if counting is None
        else Content.assemble((f"counting {100 * counting.share:.0f} %", "$accent"))
    )
