"""What is typed faster than the screen follows goes where it was meant for."""

from __future__ import annotations

import pytest
from textual.events import Key
from textual.keys import _character_to_key

from screens.connections.screen import ConnectionsScreen
from screens.status.screen import StatusScreen
from tests.screens.deck import LARGE, Deck, deck


async def burst(d: Deck, text: str) -> None:
    """All keys at once, as from a paste or over a slow line."""
    for character in text:
        key = "enter" if character == "\n" else _character_to_key(character)
        d.app.post_message(Key(key, "\r" if character == "\n" else character))
    await d.settle()
    await d.settle()


async def test_a_command_arrives_whole() -> None:
    async with deck(start="connections", size=LARGE) as d:
        await burst(d, ":sort org desc\n")
        assert isinstance(d.app.screen, ConnectionsScreen)
        assert "sort: org ↓" in d.lines()[1]
        await burst(d, ":status\n")
        assert isinstance(d.app.screen, StatusScreen)


async def test_a_filter_arrives_whole_and_presses_no_key_of_the_table() -> None:
    async with deck(start="connections", size=LARGE) as d:
        await burst(d, "/provider:slack format:plaintext\n")
        assert "provider:slack format:plaintext" in d.lines()[1]
        assert "sort: state ↓" in d.lines()[1]


@pytest.mark.parametrize("text", [":no such thing", "/wex"])
async def test_letters_that_are_keys_of_the_screen_do_nothing_there(text: str) -> None:
    async with deck(start="connections", size=LARGE) as d:
        await burst(d, text)
        assert "plan" not in d.stage.calls
        assert "targets" not in d.stage.calls
