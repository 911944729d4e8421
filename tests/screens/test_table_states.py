"""Empty, loading, cancelled and failed: a table always says what it is and what can be done."""

from __future__ import annotations

import pytest

from crypto_core.values.errors import DatabaseUnreachableError
from tests.screens.deck import LARGE, deck
from tests.screens.stage import Stage


async def test_nothing_at_all_says_why_and_what_to_do() -> None:
    async with deck(Stage(rows=[]), start="connections") as d:
        assert "No tokens are stored: the configured tables are empty." in d.text()
        assert "Is it the right database? c chooses another" in d.text()


async def test_nothing_that_passes_a_filter_says_how_to_see_more() -> None:
    async with deck(start="connections") as d:
        await d.filter("org:nobody")
        assert "No token passes this filter." in d.text()
        assert "/ changes it, Esc shows all." in d.text()
        assert "0 tokens" in d.lines()[1]
        await d.press("escape")
        assert "1,200 tokens" in d.lines()[1]


async def test_loading_says_so_and_how_to_stop() -> None:
    stage = Stage()
    stage.hold("page")
    async with deck(stage, start="connections") as d:
        assert "asking for tokens…  X stops asking" in d.text()
        assert "asking…" in d.lines()[0]


@pytest.mark.parametrize("way", ["X", "escape"])
async def test_the_first_question_can_be_cancelled_and_asked_again(way: str) -> None:
    stage = Stage()
    stage.hold("page")
    async with deck(stage, start="connections") as d:
        await d.press(way)
        assert "Cancelled: showing what was loaded before. r asks again." in d.text()
        assert "No answer: r asks again." in d.text()
        stage.gates.clear()
        await d.press("r")
        assert "1,200 tokens" in d.lines()[1]
        assert "Cancelled" not in d.text()


@pytest.mark.parametrize("way", ["X", "escape"])
async def test_a_filter_that_takes_long_is_cancelled_and_what_was_shown_stays(way: str) -> None:
    async with deck(start="connections", size=LARGE) as d:
        await d.filter("org:acme")
        first, counted = d.cursor_line(), d.lines()[1]
        d.stage.hold("page", "count")
        await d.filter("provider:slack")
        if way == "X":
            await d.press("escape")
            assert not d.pane.bar.is_open
        await d.press(way)
        if way == "escape" and d.pane.feed.asking:
            await d.press(way)
        assert not d.pane.feed.asking
        assert "Cancelled: showing what was loaded before." in d.text()
        assert (d.cursor_line(), d.lines()[1]) == (first, counted)
        d.stage.gates.clear()
        await d.filter("provider:jira")
        assert "1 of 300 tokens" in d.lines()[1]


async def test_a_first_page_that_failed_says_what_happened_and_how_to_go_on() -> None:
    stage = Stage(faults={"page": DatabaseUnreachableError("No connection to pg-1:5432.")})
    async with deck(stage, start="connections") as d:
        assert "No connection to pg-1:5432. Check DATABASE_URL" in d.text()
        assert "No answer: r asks again." in d.text()
        stage.faults.clear()
        await d.press("r")
        assert "No connection" not in d.text()
        assert "1,200 tokens" in d.lines()[1]
        stage.faults["page"] = DatabaseUnreachableError("No connection to pg-2:5432.")
        await d.press("r")
        assert "No connection to pg-2:5432. Check DATABASE_URL" in d.text()
        assert "confluence_c" in d.cursor_line()


async def test_a_count_that_failed_leaves_the_rows_usable() -> None:
    stage = Stage(faults={"count": DatabaseUnreachableError("No.")})
    async with deck(stage, start="connections") as d:
        assert "200 loaded" in d.lines()[1]
        await d.press("end")
        assert "slack" in d.text() or "●" in d.cursor_line()


async def test_keys_that_were_not_told_yet_are_waited_for_by_name() -> None:
    stage = Stage()
    stage.hold("keys")
    async with deck(stage, start="keys") as d:
        assert "Asking KMS for keys…" in d.text()


async def test_a_key_list_that_nothing_passes_is_not_taken_for_an_empty_one() -> None:
    async with deck(start="keys") as d:
        await d.filter("state:Unheard")
        assert "No key passes this filter." in d.text()
        assert "kms:ListKeys" not in d.text()
