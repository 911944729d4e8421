"""Navigation: modes, screens opened from a line, the way back, and the command line."""

from __future__ import annotations

import pytest

from screens.connections.screen import ConnectionsScreen
from screens.keys.key_screen import KeyScreen
from screens.keys.screen import KeysScreen
from screens.log.screen import LogScreen
from screens.navigation import DEEPEST
from screens.routes import Followed, KeyRoute, TokensRoute
from screens.status.screen import StatusScreen
from screens.widgets.header import Header
from tests.screens.deck import LARGE, Deck, deck
from tests.screens.samples import CURRENT

PLACES = {
    "status": ("1", StatusScreen),
    "connections": ("2", ConnectionsScreen),
    "keys": ("3", KeysScreen),
    "log": ("9", LogScreen),
}


def where(d: Deck) -> tuple[str, int, str]:
    return d.app.current_mode, len(d.app.screen_stack), type(d.app.screen).__name__


@pytest.mark.quick(2)
@pytest.mark.parametrize("place", PLACES)
async def test_a_number_and_a_command_lead_to_each_main_screen(place: str) -> None:
    key, kind = PLACES[place]
    start = "keys" if place == "status" else "status"
    async with deck(start=start) as d:
        await d.press(key)
        assert isinstance(d.app.screen, kind)
        await d.press("3" if start == "keys" else "1")
        await d.command(place)
        assert isinstance(d.app.screen, kind)


async def test_escape_on_a_first_screen_stays_there() -> None:
    async with deck() as d:
        await d.press("escape", "escape")
        assert where(d) == ("status", 1, "StatusScreen")


@pytest.mark.deep
async def test_a_main_screen_is_found_as_it_was_left() -> None:
    async with deck(start="connections", size=LARGE) as d:
        await d.filter("provider:jira")
        await d.press("right", "s", "down", "space", "down", "down")
        before, title = d.cursor_line(), d.lines()[1]
        assert "1 marked" in title
        assert "sort: org ↑" in title
        await d.press("1", "9", "3", "2")
        assert d.cursor_line() == before
        assert d.lines()[1] == title


@pytest.mark.deep
async def test_what_lies_behind_a_line_is_left_with_escape_to_the_line_it_was_opened_from() -> None:
    async with deck(start="keys", size=LARGE) as d:
        await d.filter("state:Enabled,Disabled")
        await d.press("down", "right", "s")
        before, title = d.cursor_line(), d.lines()[1]
        await d.press("enter", "enter")
        assert where(d) == ("keys", 3, "ConnectionsScreen")
        await d.filter("format:v1")
        await d.press("escape")
        assert where(d) == ("keys", 3, "ConnectionsScreen")
        await d.press("escape", "escape")
        assert where(d) == ("keys", 1, "KeysScreen")
        assert d.cursor_line() == before
        assert d.lines()[1] == title


async def test_back_within_a_drilled_list_leads_to_the_filter_it_was_opened_with_first() -> None:
    async with deck() as d:
        await d.press("enter")
        assert d.app.screen.crumb[1] == "format:plaintext"
        await d.filter("provider:slack")
        await d.press("escape")
        assert d.app.screen.crumb[1] == "format:plaintext"
        await d.press("escape")
        assert isinstance(d.app.screen, StatusScreen)


async def test_the_number_of_the_mode_one_is_in_leads_to_its_first_screen() -> None:
    async with deck(start="keys") as d:
        await d.press("enter", "enter", "3")
        assert where(d) == ("keys", 1, "KeysScreen")


async def test_the_breadcrumb_names_every_screen_of_the_way_and_a_click_leads_there() -> None:
    async with deck(start="keys", size=LARGE) as d:
        await d.press("enter", "enter")
        path = d.lines()[1]
        assert "Keys › Key › alias/tokens …9f2c › Connections › key:" in path
        await d.pilot.click(Header, offset=(path.index("Key ›"), 1))
        await d.settle()
        assert isinstance(d.app.screen, KeyScreen)
        await d.pilot.click(Header, offset=(d.lines()[1].index("Keys"), 1))
        await d.settle()
        assert where(d) == ("keys", 1, "KeysScreen")


@pytest.mark.deep
async def test_how_deep_one_can_go_is_bounded() -> None:
    async with deck() as d:
        for number in range(DEEPEST + 3):
            target = TokensRoute("provider:jira") if number % 2 else KeyRoute(CURRENT)
            d.app.screen.post_message(Followed(target))
            await d.settle()
        assert len(d.app.screen_stack) == DEEPEST + 1
        assert d.toasts()[-1] == "Too many screens are open; Esc goes back."
        await d.press("escape")
        assert len(d.app.screen_stack) == DEEPEST
