"""When the whole database was looked through for tokens elsewhere, and what came of it."""

from __future__ import annotations

from datetime import datetime

from crypto_core.database.tokens.sweep.results import Sweep
from crypto_core.text.counting import counted
from screens.ages import ago
from screens.widgets.cells import cut
from screens.widgets.line_list import Line, line


def sweep_words(sweep: Sweep, now: datetime) -> str:
    """Return what was looked through, how, and how long ago."""
    places = sum(len(table.columns) for table in sweep.found)
    found = f"tokens in {counted(places, 'column')}" if places else "no tokens"
    how = "every row" if sweep.full else "samples"
    return f"{found} ({how} of {counted(sweep.columns, 'column')}, {ago(sweep.taken_at, now)})"


def sweep_lines(sweep: Sweep | None, now: datetime, width: int) -> list[Line]:
    return [line((cut(f"elsewhere: {sweep_words(sweep, now)}", width), "$muted"))] if sweep else []
