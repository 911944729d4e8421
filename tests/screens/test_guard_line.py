"""The line on Status about the guards of token columns."""

from __future__ import annotations

import pytest

from crypto_core.database.column_guards.model import ColumnGuard, GuardState
from crypto_core.database.tokens.tables import TokenColumn
from screens.routes import FindingsRoute
from screens.status.lines import guard_lines, guard_words

M, N, V, C, X = (
    GuardState.MISSING,
    GuardState.NOT_VALIDATED,
    GuardState.VALIDATED,
    GuardState.CHANGED,
    GuardState.IMPOSSIBLE,
)


def guards(*states: GuardState) -> tuple[ColumnGuard, ...]:
    return tuple(
        ColumnGuard(TokenColumn("t", f"c{n}"), "public.t", f"c{n}", "text", "platform", False, state)
        for n, state in enumerate(states)
    )


@pytest.mark.parametrize(
    ("states", "words"),
    [
        ((M, M), "guarded: 0 of 2 columns (keydeck guard)"),
        ((V,), "guarded: 1 of 1 column"),
        ((V, N), "guarded: 2 of 2 columns, 1 not validated"),
        ((V, N, C, M, X), "guarded: 2 of 5 columns, 1 not validated, 1 other definition (keydeck guard)"),
    ],
)
def test_how_many_are_guarded_is_counted(states: tuple[GuardState, ...], words: str) -> None:
    assert guard_words(guards(*states)) == words


def test_there_is_no_line_without_columns_and_what_was_changed_stands_out() -> None:
    assert guard_lines((), 80) == []
    (calm,), (changed,) = guard_lines(guards(V, M), 80), guard_lines(guards(V, C), 80)
    assert calm.target == FindingsRoute("rule:columns-unguarded")
    assert str(calm.content) == "guarded: 1 of 2 columns"
    assert guard_lines(guards(V), 80)[0].target is None
    assert [span.style for span in calm.content.spans] != [span.style for span in changed.content.spans]
