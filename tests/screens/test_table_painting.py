"""A row is painted once, and again only when it is another, or looks different."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from crypto_core.lists.paging import Cursor, Page
from crypto_core.values.clean_text import clean
from screens.connections.detail import TokenDetail
from screens.widgets.cells import fit
from screens.widgets.table.row_painter import MOST_PAINTED, Painter
from screens.widgets.table.table import Table
from screens.widgets.table.window import RowWindow
from tests.screens.deck import LARGE, Deck, deck
from tests.screens.many_rows import many, row
from tests.screens.stage import Stage


@pytest.fixture
def painted(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    rows: list[Any] = []
    paint = Painter._paint

    def noted(self: Painter[Any], row: Any, **how: bool) -> Any:
        rows.append(row)
        return paint(self, row, **how)

    monkeypatch.setattr(Painter, "_paint", noted)
    return rows


def shown(d: Deck) -> list[str]:
    region = d.table.region
    return d.lines()[region.y : region.bottom]


async def test_moving_the_cursor_paints_the_row_that_it_left_and_the_one_it_came_to(
    painted: list[Any],
) -> None:
    async with deck(Stage(rows=many(300)), start="connections", size=LARGE) as d:
        painted.clear()
        await d.press("down")
        assert [d.table._window.rows.index(row) for row in painted] == [0, 1]


async def test_scrolling_paints_only_rows_that_come_in_sight(painted: list[Any]) -> None:
    async with deck(Stage(rows=many(300)), start="connections", size=LARGE) as d:
        await d.press("pagedown")
        height = d.table.size.height - d.table.STICKY
        painted.clear()
        await d.press("down", "down")
        assert len(painted) <= 6
        painted.clear()
        await d.press("pagedown")
        assert len(painted) <= height + 2


async def test_rows_that_come_below_leave_those_in_sight_as_they_were_painted(painted: list[Any]) -> None:
    async with deck(Stage(rows=many(1_000)), start="connections", size=LARGE) as d:
        before = len(d.pane.feed.window.rows)
        while len(d.pane.feed.window.rows) == before:
            painted.clear()
            await d.press("pagedown")
        height = d.table.size.height - d.table.STICKY
        assert len(painted) <= height + 2


async def test_rows_that_come_out_of_sight_paint_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    async with deck(Stage(rows=many(3_000)), start="connections", size=LARGE) as d:
        await d.press("G", "up")
        asked: list[bool] = []
        render_lines = Table.render_lines

        def noted(self: Table[Any], *crop: Any) -> Any:
            asked.append(True)
            return render_lines(self, *crop)

        monkeypatch.setattr(Table, "render_lines", noted)
        before, sight = d.lines(), len(d.table._window.rows)
        asked.clear()
        d.pane.feed.more(above=True)
        await d.settle()
        assert len(d.table._window.rows) > sight
        assert not asked
        table = d.table.region
        assert d.lines()[table.y : table.bottom] == before[table.y : table.bottom]


async def test_what_follows_from_a_move_is_there_before_anything_is_painted() -> None:
    async with deck(Stage(rows=many(300)), start="connections", size=LARGE) as d:
        d.table.move_to(7)
        detail = d.app.screen.query_one(TokenDetail)
        shown = str(detail.render())
        assert "gh_connection.access_token:00007" in shown
        await d.settle()
        assert any("gh_connection.access_token:00007" in line for line in d.lines()[-12:])


async def test_a_refresh_paints_only_what_is_different(painted: list[Any]) -> None:
    async with deck(Stage(rows=many(300)), start="connections", size=LARGE) as d:
        d.stage.rows = [replace(r) for r in d.stage.rows]
        d.stage.rows[3] = replace(d.stage.rows[3], organisation="moved-in")
        # The facts are other ones after a refresh, so that every row is looked at again: only the list here.
        painted.clear()
        d.pane.refresh_rows()
        await d.settle()
        assert painted == [d.table._window.rows[3]]
        assert any("moved-in" in line for line in shown(d))


async def test_a_mark_is_painted_when_the_cursor_has_left_its_row() -> None:
    async with deck(Stage(rows=many(300)), start="connections", size=LARGE) as d:
        await d.press("space")
        assert [line.startswith("▌") for line in shown(d)[1:4]] == [True, False, False]
        await d.press("up", "space")
        assert not any(line.startswith("▌") for line in shown(d))


async def test_another_theme_paints_everything_in_its_colours() -> None:
    async with deck(Stage(rows=many(300)), start="connections", size=LARGE) as d:
        await d.press("down", "up")
        dark = d.app.export_screenshot()
        d.app.theme = "keydeck-light"
        await d.settle()
        light = d.app.export_screenshot()
        assert light != dark
        d.app.theme = "keydeck-dark"
        await d.settle()
        assert d.app.export_screenshot() == dark


async def test_a_wider_terminal_paints_every_line_as_wide_as_it_is() -> None:
    async with deck(Stage(rows=many(300)), start="connections", size=(130, 40)) as d:
        await d.press("down", "down", "up")
        await d.pilot.resize_terminal(138, 40)
        await d.settle()
        assert {line.cell_length for line in d.table.render_lines(d.table.size.region)} == {138}
        assert {cell_len(line) for line in d.lines()} == {138}


@pytest.mark.deep
async def test_no_more_lines_are_kept_than_are_worth_it() -> None:
    async with deck(Stage(rows=many(2_000)), start="connections", size=LARGE) as d:
        for _ in range(30):
            await d.press("pagedown")
        assert d.table._painter.kept <= MOST_PAINTED + 3


def test_a_row_that_is_as_it_was_stays_the_very_same_object() -> None:
    def page(*rows: Any) -> Page[Any]:
        return Page(rows, Cursor((0,)), Cursor((1,)), above=False, below=False)

    window: RowWindow[Any] = RowWindow(lambda r: r.ref)
    first, second = row(1), row(2)
    window.show([page(first, second)], 0)
    other = replace(second, organisation="elsewhere")
    window.show([page(replace(first), other)], 0)
    assert window.rows[0] is first
    assert window.rows[1] is other


@given(st.text(max_size=60), st.integers(0, 40), st.booleans())
def test_text_takes_exactly_the_cells_that_it_is_given(text: str, width: int, right: bool) -> None:
    fitted = fit(text, width, right=right)
    assert cell_len(fitted) == width
    if cell_len(clean(text)) <= width:
        assert fitted == (
            clean(text).rjust(width - cell_len(clean(text)) + len(clean(text)))
            if right
            else clean(text).ljust(width - cell_len(clean(text)) + len(clean(text)))
        )
