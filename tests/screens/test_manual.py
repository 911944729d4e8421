"""The manual on screen: found by any word, read page by page, and the way back."""

from __future__ import annotations

import pytest

from console.manual.book import Book
from console.manual.contents import ENTRIES
from screens.manual.page_list import matching_lines, searched
from screens.manual.page_screen import ManualPageScreen
from screens.manual.screen import ManualScreen
from screens.manual_page import ManualPage
from tests.screens.deck import LARGE, SMALL, deck


@pytest.mark.deep
@pytest.mark.parametrize("size", [SMALL, LARGE], ids=["small", "large"])
async def test_help_leads_to_the_manual_and_esc_back_to_where_one_was(size: tuple[int, int]) -> None:
    async with deck(start="keys", size=size) as d:
        await d.press("question_mark")
        assert "m the manual" in str(d.app.screen.query_one(".frame").border_subtitle)
        assert d.app.focused is d.app.screen.query_one(".body")
        await d.press("m")
        assert isinstance(d.app.screen, ManualScreen)
        assert f"1 of {len(ENTRIES)} pages" in d.lines()[1]
        first, second, *_ = Book().pages()
        assert first.title in d.cursor_line()
        await d.press("down", "enter")
        assert isinstance(d.app.screen, ManualPageScreen)
        for one_size in ((1, 1), size):
            await d.pilot.resize_terminal(*one_size)
            await d.settle()
        assert f"Keys › Manual › {second.title}" in d.lines()[0] + d.lines()[1]
        await d.press("escape")
        await d.command("manual pooling")
        assert "The database" in d.cursor_line()
        await d.press("escape", "escape")
        assert d.app.screen.NAME == "keys"


async def test_a_word_finds_pages_by_all_that_they_say_and_the_page_opens_at_it() -> None:
    async with deck(size=LARGE) as d:
        await d.command("manual statement pooling")
        assert "The database" in d.cursor_line()
        assert "1 of 1 page" in d.lines()[1]
        assert "Statement pooling" in d.says()
        await d.press("enter")
        assert "tatement pooling" in d.cursor_line()
        await d.command("find pooler")
        first = d.cursor_line()
        await d.press("n")
        assert "pooler" in d.cursor_line() != first
        await d.press("slash")
        await d.pilot.press("ctrl+u")
        await d.type("SUPAVISOR")
        await d.press("enter")
        assert "Supavisor" in d.cursor_line()
        await d.command("find gibberish")
        assert d.toasts()[-1] == "Nothing on this page has it."


async def test_links_lead_to_other_pages_and_esc_to_the_line_that_led_there() -> None:
    async with deck(size=SMALL) as d:
        await d.command("manual topic:connect")
        await d.press("enter")
        await d.command("find Privileges")
        await d.press("enter")
        assert "Privileges" in d.lines()[1]
        await d.press("escape")
        assert "Privileges" in d.cursor_line()
        await d.press("escape")
        assert isinstance(d.app.screen, ManualScreen)


@pytest.mark.parametrize(
    ("expression", "words"),
    [
        ("quota", ("quota",)),
        ('"Key material" -kms chapter:begin', ("key material",)),
        ("(a* OR b)", ("a", "b")),
        ("", ()),
    ],
)
def test_the_words_of_a_filter_are_what_lines_are_searched_for(
    expression: str, words: tuple[str, ...]
) -> None:
    assert searched(expression) == words


def test_lines_are_found_whatever_their_case() -> None:
    page = ManualPage("t", "T", "", "", "# T\n\nOne `Quota` here.\n\nNone there.\n")
    assert matching_lines(page, "quota", 40) == ["One Quota here."]
    assert matching_lines(page, "chapter:begin", 40) == []
