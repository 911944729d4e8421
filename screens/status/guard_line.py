"""In how many token columns the database itself refuses what is no envelope."""

from __future__ import annotations

from collections.abc import Sequence

from crypto_core.database.column_guards.model import ColumnGuard, GuardState
from crypto_core.text.counting import counted
from screens.routes import FindingsRoute
from screens.widgets.cells import cut
from screens.widgets.line_list import Line, line

_ROUTE = FindingsRoute("rule:columns-unguarded")
_HINT = "Enter: the finding about columns without a guard, and what to do."


def guard_words(guards: Sequence[ColumnGuard]) -> str:
    """Return how many columns are guarded, what is wrong with guards that are there, and the command."""
    words = _counted(guards)
    return words if all(guard.guards for guard in guards) else f"{words} (keydeck guard)"


def _counted(guards: Sequence[ColumnGuard]) -> str:
    held = sum(guard.guards for guard in guards)
    words = f"guarded: {held} of {counted(len(guards), 'column')}"
    for state in (GuardState.NOT_VALIDATED, GuardState.CHANGED):
        if count := sum(guard.state is state for guard in guards):
            words += f", {count} {state.value}"
    return words


def guard_lines(guards: Sequence[ColumnGuard], width: int) -> list[Line]:
    changed = any(guard.state is GuardState.CHANGED for guard in guards)
    style = "$warning" if changed else "$muted"
    if not guards:
        return []
    unguarded = not all(guard.guards for guard in guards)
    return [line((cut(_counted(guards), width), style), target=_ROUTE if unguarded else None, hint=_HINT)]
