"""A query that hangs, fails or is overtaken by another: what was there stays, and what to do is said."""

from __future__ import annotations

import pytest

from tests.screens.deck import deck
from tests.screens.many_rows import here, many, numbers
from tests.screens.stage import Stage


async def test_the_answer_to_an_earlier_query_is_dropped_whenever_it_comes() -> None:
    async with deck(Stage(rows=many(1000)), start="connections") as d:
        first = d.stage.hold("page")
        await d.filter("org:acme")
        second = d.stage.hold("page")
        await d.filter("org:globex")
        assert "Connections › " in d.lines()[1]
        second.set()
        await d.settle()
        first.set()
        await d.settle()
        assert "Connections › org:globex" in d.lines()[1]
        assert {n % 5 for n in numbers(d)} == {1}
        assert "1 of 200 tokens" in d.lines()[1]


@pytest.mark.parametrize("key", ["escape", "X"])
async def test_a_query_that_hangs_is_stopped_and_what_was_there_stays(key: str) -> None:
    async with deck(Stage(rows=many(1000)), start="connections") as d:
        await d.press("down")
        rows = list(d.pane.feed.window.rows)
        d.stage.hold("page", "count")
        await d.press("s")
        assert d.stage.waiting
        await d.press(key)
        assert "Cancelled: showing what was loaded before. r asks again." in d.text()
        assert d.pane.feed.window.rows == rows
        assert here(d) == 1
        assert "2 of 1,000 tokens   sort: state ↓" in d.lines()[1]
        await d.until(lambda: not d.stage.waiting)
        d.stage.gates.clear()
        await d.press("r")
        assert "Cancelled" not in d.text()
        assert "2 of 1,000 tokens" in d.lines()[1]
