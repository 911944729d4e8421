"""List and detail: below one another, side by side, or the list alone, as the operator chose last."""

from __future__ import annotations

from typing import Any

import pytest
from textual.widget import Widget

from screens.connections.detail import TokenDetail
from screens.memory import Memory
from screens.widgets.table.table import Table
from tests.screens.deck import LARGE, Deck, deck

VAST = (200, 50)


def detail(d: Deck) -> Widget:
    return d.app.screen.query_one(".detail")


@pytest.mark.deep
async def test_w_arranges_list_and_detail_and_the_choice_counts_everywhere_and_is_remembered() -> None:
    kept: list[dict[str, Any]] = []
    async with deck(start="connections", size=VAST, memory=Memory({}, kept.append)) as d:
        table = d.app.screen.query_one(Table)
        assert detail(d).region.y == table.region.y
        assert detail(d).region.x == table.region.right == 120
        await d.press("down")
        assert str(d.table.current.ref) in str(d.app.screen.query_one(TokenDetail).content)
        await d.press("W")
        assert not detail(d).display
        assert table.region.width == 200
        await d.press("W")
        assert detail(d).region.y == table.region.bottom
        assert kept[-1]["looks"]["arrangement"] == "below"
        await d.press("3")
        assert detail(d).region.y > d.table.region.y
        await d.command("layout beside")
        assert detail(d).region.x == 120
        assert "alias/tokens …9f2c" in d.lines()[2][120:]
        await d.pilot.click(".detail", offset=(5, 5))
        await d.press("2")
        await d.until(lambda: detail(d).region.x == 120)
        await d.pilot.resize_terminal(LARGE[0], 30)
        await d.until(lambda: detail(d).region.x == 72)
        await d.pilot.resize_terminal(100, 30)
        await d.until(lambda: detail(d).region.x == 0)
        await d.press("W")
        assert not detail(d).display
        await d.press("W")
        assert kept[-1]["looks"]["arrangement"] == "below"
        await d.command("layout sideways")
        assert "There is no layout sideways. Layouts: below, beside, alone." in d.toasts()[-1]
        await d.press("9", "W")
        assert "no list with a detail" in d.toasts()[-1]
    assert Memory({"looks": {"arrangement": ["x"]}}).arrangement == ""
