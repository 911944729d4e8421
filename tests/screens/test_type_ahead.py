"""What is typed faster than the screen follows goes where it was meant for."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from textual.events import Key, Paste
from textual.keys import _character_to_key

from screens.connections.screen import ConnectionsScreen
from screens.status.screen import StatusScreen
from screens.widgets.dialog import Dialog
from screens.widgets.question import AskText
from tests.screens.deck import LARGE, Deck, deck
from tests.screens.incident_scene import staged
from tests.screens.stage_incidents import approval
from tests.screens.test_own_commands import TICKET, Own

UP, RIGHT, CLEAR, BACK = "\x1b[A", "\x1b[C", "\x15", "\x7f"
KEYS = {UP: "up", RIGHT: "right", CLEAR: "ctrl+u", BACK: "backspace", "\n": "enter"}


@dataclass(frozen=True)
class Pasted:
    text: str


def inputs(*parts: str | Pasted) -> Iterator[Key | Paste]:
    for part in parts:
        if isinstance(part, Pasted):
            yield Paste(part.text)
        elif part in KEYS:
            yield Key(KEYS[part], part)
        else:
            for character in part:
                key = KEYS.get(character) or _character_to_key(character)
                yield Key(key, "\r" if character == "\n" else character)


async def burst(d: Deck, *parts: str | Pasted) -> None:
    """All keys at once, as over a slow line."""
    for event in inputs(*parts):
        d.app.post_message(event)
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


@pytest.mark.quick(2)
@pytest.mark.parametrize("kind", [str, Pasted], ids=["typed", "pasted"])
@pytest.mark.parametrize("bar", ["open", "yet to be opened"])
@pytest.mark.parametrize(
    ("before", "opens", "key", "text"),
    [("/org:acme", "/", "slash", "org:globex -id:gh-4"), (":sort provider", ":", "colon", "sort org desc")],
    ids=["a filter", "a command"],
)
async def test_what_is_typed_over_what_is_recalled_in_one_burst_arrives_whole(
    before: str, opens: str, key: str, text: str, kind: type[str] | type[Pasted], bar: str
) -> None:
    async with deck(start="connections", size=LARGE) as d:
        await burst(d, f"{before}\n")
        if bar == "open":
            await d.press(key)
            await burst(d, UP, CLEAR, kind(text), "\n")
        else:
            await burst(d, opens, UP, CLEAR, kind(text), "\n")
        if key == "slash":
            assert d.pane.feed.shown.filter == text
        else:
            assert "sort: org ↓" in d.lines()[1]


async def test_letters_that_are_taken_back_in_the_same_burst_are_gone() -> None:
    async with deck(start="connections", size=LARGE) as d:
        await d.press("slash")
        await burst(d, "org:x", BACK, "acme\n")
        assert d.pane.feed.shown.filter == "org:acme"


async def test_what_is_pasted_where_no_field_is_does_nothing() -> None:
    async with deck(start="connections", size=LARGE) as d:
        before = d.text()
        await burst(d, Pasted("wex/:q"))
        assert d.text() == before


@pytest.mark.parametrize("way", ["pressed early", "in one burst"])
@pytest.mark.parametrize(
    ("start", "opens", "agrees", "call"),
    [
        ("keys", ("d",), ("alias/tokens\n",), "key run"),
        ("connections", ("v", "escape", "x", "enter"), (RIGHT, "\n"), "run"),
        ("incidents", ("H", "enter"), (RIGHT, RIGHT, "\n"), "approval.decide"),
        ("connections", ("f6",), (RIGHT, "\n"), "own"),
    ],
    ids=["a change of a key", "a write", "an approval", "a command of the team's own"],
)
async def test_nothing_pressed_before_a_question_was_drawn_agrees_to_it(
    start: str, opens: tuple[str, ...], agrees: tuple[str, ...], call: str, way: str
) -> None:
    own = Own((TICKET,))
    stage = staged()
    stage.user_commands = own
    stage.approvals.add(approval())
    async with deck(stage, start=start, size=LARGE) as d:
        early = list(inputs(*agrees))
        if way == "in one burst":
            *before, last = opens
            await d.press(*before)
            d.app.post_message(Key(last, "\r" if last == "enter" else last))
        else:
            await d.press(*opens)
            assert isinstance(d.app.screen, Dialog)
        for event in early:
            d.app.post_message(event)
        await d.settle()
        await d.settle()
        assert call not in d.stage.calls
        assert not own.ran
        if way == "pressed early":
            await burst(d, *agrees)
            assert call in d.stage.calls or own.ran


async def test_text_that_was_typed_ahead_is_in_the_field_and_only_enter_is_pressed_again() -> None:
    async with deck(staged(), start="incidents", size=LARGE) as d:
        await d.press("enter")
        await burst(d, "nquick question\n")
        assert isinstance(d.app.screen, AskText)
        assert d.app.screen._text == "quick question"
        await d.press("enter")
        assert ("note", ("reencrypt", "quick question")) in d.stage.incidents.asked
