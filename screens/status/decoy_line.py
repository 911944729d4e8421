"""How many decoys of tripwires stand: one line, and none where there is no tripwire."""

from __future__ import annotations

from crypto_core.database.tokens.decoys import DecoyCount
from screens.signs import DECOY_SIGN
from screens.widgets.cells import cut
from screens.widgets.line_list import Line, line


def decoy_lines(decoys: DecoyCount, width: int) -> list[Line]:
    """Return the line about decoys; it warns where one is gone or was changed."""
    if not decoys.words:
        return []
    style = "$warning" if decoys.gone else "$muted"
    return [line((cut(f"tripwires: {DECOY_SIGN} {decoys.words}", width), style))]
