"""The line behind the colon: what can be typed, how it is completed, and what was typed before."""

from __future__ import annotations

import pytest
from textual.widgets import Input

from screens.command_line import CommandLine
from screens.connections.screen import ConnectionsScreen
from screens.keys.screen import KeysScreen
from screens.memory import Memory
from screens.status.screen import StatusScreen
from tests.screens.deck import deck


@pytest.mark.deep
async def test_a_command_that_there_is_not_is_said_so() -> None:
    async with deck() as d:
        await d.command("fly me")
        assert d.toasts() == ["No command :fly here; ? lists the commands."]
        await d.command("rewrap")
        assert d.toasts()[-1] == "No command :rewrap here; ? lists the commands."


async def test_an_argument_where_none_belongs_is_refused() -> None:
    async with deck() as d:
        await d.command("keys now")
        assert d.toasts() == [":keys takes no argument."]
        assert isinstance(d.app.screen, StatusScreen)


@pytest.mark.deep
async def test_up_recalls_commands_and_down_comes_back_to_what_is_being_typed() -> None:
    memory = Memory({"history": {"command": ["keys"]}})
    async with deck(memory=memory) as d:
        await d.command("sort nothing")
        await d.command("log")
        await d.press("colon")
        await d.type("con")
        field = d.app.screen.query_one(Input)
        seen = []
        for key in ("up", "up", "up", "up", "down", "down", "down"):
            await d.press(key)
            seen.append(field.value)
        assert seen == ["log", "sort nothing", "keys", "keys", "sort nothing", "log", "con"]
        await d.press("up", "up", "up", "enter")
        assert isinstance(d.app.screen, KeysScreen)
        assert memory.history("command") == ["sort nothing", "log", "keys"]


@pytest.mark.deep
async def test_tab_completes_a_command_and_its_argument() -> None:
    memory = Memory()
    memory.save_filter("connections", "worst", "format:plaintext")
    async with deck(start="connections", memory=memory) as d:
        await d.press("colon")
        await d.type("con")
        field = d.app.screen.query_one(Input)
        await d.press("tab")
        assert field.value == "connections"
        await d.press("tab")
        assert field.value == "context "
        await d.press("shift+tab")
        assert field.value == "connections"
        for typed, completed in (
            ("sort pro", "sort provider"),
            ("theme keydeck-l", "theme keydeck-light"),
            ("filter @w", "filter @worst"),
        ):
            await d.press("ctrl+u")
            await d.type(typed)
            await d.press("tab")
            assert field.value == completed


async def test_the_list_of_commands_narrows_to_what_is_typed_and_says_when_there_is_none() -> None:
    async with deck(start="connections") as d:
        await d.press("colon")
        assert isinstance(d.app.screen, CommandLine)
        assert "and 38 more" in d.says() or " more" in d.says()
        await d.type("rew")
        assert "rewrap" in d.says()
        assert "verify" not in d.says()
        await d.type("zzz")
        assert "There is no such command." in d.says()
        await d.press("escape")
        assert isinstance(d.app.screen, ConnectionsScreen)
        assert d.facts.memory.history("command") == []


async def test_typing_goes_on_from_a_completion() -> None:
    async with deck() as d:
        await d.press("colon")
        await d.type("the")
        await d.press("tab")
        await d.type("contrast")
        await d.press("enter")
        assert d.app.theme == "keydeck-contrast"


async def test_a_token_typed_as_a_command_is_not_remembered() -> None:
    async with deck(start="connections") as d:
        await d.command("filter xoxb-1234567890-secret")
        assert d.facts.memory.history("command") == []
        assert d.facts.memory.history("filter connections") == []
