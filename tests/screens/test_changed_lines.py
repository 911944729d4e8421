"""Only what changed is painted, and it is what the whole screen shows there."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from textual.geometry import Region

from screens.widgets.changed_lines import ChangedLines, runs
from tests.screens.deck import LARGE, SMALL, deck


@given(st.sets(st.integers(0, 60)))
def test_runs_are_the_numbers_again_and_never_touch(numbers: set[int]) -> None:
    found = list(runs(sorted(numbers)))
    assert [number for run in found for number in run] == sorted(numbers)
    assert all(before.stop < after.start for before, after in pairwise(found))


@pytest.mark.parametrize("size", [SMALL, LARGE])
async def test_lines_painted_anew_are_those_of_the_whole_screen(size: tuple[int, int]) -> None:
    async with deck(start="connections", size=size) as d:
        compositor = d.app.screen._compositor
        assert isinstance(compositor, ChangedLines)
        await d.press("down", "W")
        region = Region(0, 0, *size)
        whole = compositor._render_chops(region, lambda _: True)
        for lines in ({1}, {1, 4, 5, size[1] - 3}, set(range(0, size[1], 2))):
            some = compositor._render_chops(region, lines.__contains__)
            assert all(some[y] == whole[y] for y in lines)
            assert not any(strip for y in range(size[1]) if y not in lines for strip in some[y].values())


async def test_no_widget_is_asked_for_lines_that_did_not_change(monkeypatch: pytest.MonkeyPatch) -> None:
    async with deck(start="connections", size=LARGE) as d:
        table = d.table
        asked: list[Region] = []
        real = table.render_lines
        monkeypatch.setattr(table, "render_lines", lambda crop: (asked.append(crop), real(crop))[1])
        await d.press("down")
        assert asked
        assert sum(crop.height for crop in asked) <= 4
