"""The mouse on a long list: the wheel moves the view for good, clicks do what they point at."""

from __future__ import annotations

import pytest
from textual.events import MouseScrollDown

from screens.widgets.table.feed import PAGE
from screens.widgets.table.table import Table
from screens.widgets.table.window import MOST
from tests.screens.deck import LARGE, deck
from tests.screens.many_rows import here, many, numbers
from tests.screens.stage import Stage

TALL = (100, 160)


@pytest.mark.deep
async def test_the_wheel_scrolls_through_page_after_page_and_neither_these_nor_a_refresh_pull_back() -> None:
    async with deck(Stage(rows=many(1000)), start="connections", size=LARGE) as d:
        wheel = MouseScrollDown(d.table, 5, 5, 0, 1, 0, shift=False, meta=False, ctrl=False)
        tops = []
        for _ in range(120):
            d.table._on_mouse_scroll_down(wheel)
            await d.pilot.pause()
            tops.append(int(d.table.scroll_offset.y))
        await d.settle()
        assert tops == sorted(tops)
        assert tops[-1] > 200
        assert len(numbers(d)) > 200
        await d.press("r")
        assert int(d.table.scroll_offset.y) == tops[-1]
        assert here(d) == 0
        await d.press("down")
        assert here(d) == 1
        assert ":00001" in d.cursor_line()


@pytest.mark.deep
async def test_the_view_can_be_scrolled_further_from_the_cursor_than_rows_are_held() -> None:
    async with deck(Stage(rows=many(5000)), start="connections", size=TALL) as d:
        for _ in range(45):
            d.table.scroll_relative(y=100, animate=False)
            await d.settle()
            held = numbers(d)
            assert held == list(range(held[0], held[0] + len(held)))
            assert len(held) <= MOST + PAGE
        seen = numbers(d)[int(d.table.scroll_offset.y)]
        assert seen > 3500
        assert f":{seen:05}" in d.lines()[4]
        for _ in range(50):
            d.table.scroll_relative(y=-100, animate=False)
            await d.settle()
        assert ":00000" in d.lines()[4]


async def test_a_click_on_the_track_leads_to_the_end_that_is_nearer() -> None:
    async with deck(Stage(rows=many(100)), start="connections") as d:
        track = d.table.size.width - 1
        await d.pilot.click(Table, offset=(track, d.table.size.height - 1))
        await d.settle()
        assert here(d) == 99
        await d.pilot.click(Table, offset=(track, 2))
        await d.settle()
        assert here(d) == 0


async def test_a_click_moves_the_cursor_and_a_double_click_asks_kms_once() -> None:
    async with deck(Stage(rows=many(100)), start="connections") as d:
        await d.pilot.click(Table, offset=(10, 5))
        await d.settle()
        assert here(d) == 4
        assert "inspect_kms" not in d.stage.calls
        await d.pilot.click(Table, offset=(10, 3), times=2)
        await d.settle()
        assert here(d) == 2
        assert d.stage.calls.count("inspect_kms") == 1
