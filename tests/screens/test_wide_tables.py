"""A very wide terminal shows spare columns, until the operator chooses which ones to see."""

from __future__ import annotations

import pytest

from screens.memory import Memory
from tests.screens.deck import LARGE, Deck, deck

WIDE = (250, 40)


def headings(d: Deck) -> str:
    return next(line for line in d.lines() if "token reference" in line)


async def test_spare_columns_fill_a_very_wide_terminal_behind_the_others() -> None:
    memory = Memory({"looks": {"arrangement": "alone"}})
    async with deck(start="connections", size=WIDE, memory=memory) as d:
        shown = headings(d)
        assert shown.index(" age") < shown.index(" state") < shown.index("characters")
        assert "key material id" in shown
        await d.pilot.resize_terminal(*LARGE)
        await d.settle()
        assert "characters" not in headings(d)


@pytest.mark.deep
async def test_another_width_for_one_column_takes_no_spare_column_away_the_next_day() -> None:
    memory = Memory({"looks": {"arrangement": "alone"}})
    async with deck(start="connections", size=WIDE, memory=memory) as d:
        before = headings(d)
        assert "characters" in before
    async with deck(start="connections", size=WIDE, memory=memory) as d:
        assert headings(d) == before


@pytest.mark.deep
async def test_who_chose_columns_sees_those_and_no_others_the_next_day_too() -> None:
    memory = Memory({"looks": {"arrangement": "alone"}})
    memory.remember_columns("connections", ("org", "format"))
    async with deck(start="connections", size=WIDE, memory=memory) as d:
        assert headings(d).split()[-2:] == ["org", "format"]
    async with deck(start="connections", size=WIDE, memory=memory) as d:
        assert headings(d).split()[-2:] == ["org", "format"]


async def test_the_order_is_the_same_on_the_way_back_from_another_screen() -> None:
    async with deck(start="connections", size=LARGE) as d:
        await d.press("right", "s", "s", "1", "2")
        assert "sort: org ↓" in d.lines()[1]
        assert d.table.columns.current.name == "org"
