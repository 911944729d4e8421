"""Columns: which are shown, in which order, how wide; and those that don't fit come into sight."""

from __future__ import annotations

import pytest

from screens.connections.screen import LISTING
from screens.memory import Memory
from screens.widgets.line_list import LineList
from screens.widgets.table.pane import ColumnChooser
from screens.widgets.table.table import Table
from tests.screens.deck import LARGE, Deck, deck


def headings(d: Deck) -> str:
    return next(line for line in d.lines() if "token reference" in line)


def shown(d: Deck) -> list[str]:
    return [column.name for column in d.table.columns.chosen]


def width_of(d: Deck, name: str) -> int:
    return next(placed.width for placed in d.table.columns.placed if placed.column.name == name)


async def choose(d: Deck, *names: str) -> None:
    lines = d.app.screen.query_one(LineList)
    for name in names:
        at = next(i for i, line in enumerate(lines._lines) if line.target == name)
        lines.move_to(at)
    await d.settle()


async def test_columns_out_of_sight_come_into_sight_under_the_cursor_and_the_reference_stays() -> None:
    async with deck(start="connections") as d:
        assert "›" in headings(d)
        assert "evidence" not in headings(d)
        await d.press(*["right"] * 5)
        assert d.table.columns.current.name == "evidence"
        assert "evidence" in headings(d)
        assert "token reference" in headings(d)
        await d.press("l")
        assert "age" in headings(d)
        await d.press("l", "l")
        assert d.table.columns.current.name == "created"
        await d.press(*["h"] * 9)
        assert d.table.columns.current.name == "reference"
        assert "age" not in headings(d)


@pytest.mark.deep
async def test_a_column_can_be_hidden_shown_and_moved_and_that_is_remembered() -> None:
    memory = Memory()
    async with deck(start="connections", size=LARGE, memory=memory) as d:
        await d.press("o")
        assert isinstance(d.app.screen, ColumnChooser)
        await choose(d, "org")
        await d.press("space")
        await choose(d, "material")
        await d.press("space", *["K"] * 3)
        await d.press("tab", "tab", "tab", "enter")
        assert not isinstance(d.app.screen, ColumnChooser)
        assert shown(d)[0] == "reference"
        assert "org" not in shown(d)
        assert "material" in shown(d)
        assert "key material id" in headings(d)
        chosen = shown(d)
    assert memory.columns("connections") == tuple(chosen)
    async with deck(start="connections", memory=memory) as d:
        assert shown(d) == chosen


async def test_the_first_column_can_be_neither_hidden_nor_moved() -> None:
    async with deck(start="connections") as d:
        await d.press("o")
        await choose(d, "reference")
        await d.press("space", "J")
        await choose(d, "org")
        await d.press("K", "tab", "tab", "tab", "enter")
        assert shown(d)[:2] == ["reference", "org"]


@pytest.mark.deep
async def test_as_at_first_takes_every_choice_back() -> None:
    memory = Memory()
    memory.remember_columns("connections", ("reference", "about"))
    async with deck(start="connections", memory=memory) as d:
        assert shown(d) == ["reference", "about"]
        await d.press("o", "tab", "tab", "enter")
        assert shown(d) == [column.name for column in LISTING.columns if column.shown]


async def test_escape_in_the_chooser_changes_nothing() -> None:
    async with deck(start="connections") as d:
        before = shown(d)
        await d.press("o", "down", "space", "escape")
        assert shown(d) == before


async def test_a_click_on_a_heading_sorts_by_it_and_again_the_other_way_round() -> None:
    async with deck(start="connections", size=LARGE) as d:
        for order in ("sort: org ↑", "sort: org ↓", "sort: state ↓"):
            await d.pilot.click(Table, offset=(headings(d).index("org"), 0))
            await d.settle()
            assert order in d.lines()[1]


async def test_a_column_that_cannot_be_sorted_by_says_so() -> None:
    async with deck(start="keys", size=LARGE) as d:
        await d.press(*["right"] * 4)
        assert d.table.columns.current.name == "material"
        await d.press("s")
        assert d.toasts() == ["Material can't be sorted by."]


async def test_what_is_remembered_of_columns_that_are_no_more_is_left_out() -> None:
    memory = Memory()
    memory.remember_columns("connections", ("gone", "org", "org"))
    async with deck(start="connections", memory=memory) as d:
        assert shown(d) == ["reference", "org"]
