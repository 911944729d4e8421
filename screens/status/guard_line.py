"""In how many token columns the database itself refuses what is no envelope."""

from __future__ import annotations

from collections.abc import Sequence

from crypto_core.database.column_guards.model import ColumnGuard, GuardState
from crypto_core.text.counting import counted
from screens.widgets.cells import cut
from screens.widgets.line_list import Line, line

_HINT = "keydeck guard shows what each guard would refuse; keydeck guard --apply adds them."


def guard_words(guards: Sequence[ColumnGuard]) -> str:
    """Return how many columns are guarded, and what is wrong with guards that are there."""
    held = sum(guard.guards for guard in guards)
    words = f"guarded: {held} of {counted(len(guards), 'column')}"
    for state in (GuardState.NOT_VALIDATED, GuardState.CHANGED):
        if count := sum(guard.state is state for guard in guards):
            words += f", {count} {state.value}"
    return words if held == len(guards) else f"{words} (keydeck guard)"


def guard_lines(guards: Sequence[ColumnGuard], width: int) -> list[Line]:
    """Return the line; none where there is no token column."""
    changed = any(guard.state is GuardState.CHANGED for guard in guards)
    style = "$warning" if changed else "$muted"
    return [line((cut(guard_words(guards), width), style), hint=_HINT)] if guards else []
