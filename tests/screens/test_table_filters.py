"""Filters: what is typed, what is wrong with it, what was typed before, and what is saved under a name."""

from __future__ import annotations

import pytest
from textual.widgets import Input

from screens.memory import Memory
from screens.widgets.filter_bar import FilterBar, SavedFilters
from screens.widgets.line_list import LineList
from tests.screens.deck import LARGE, Deck, deck


def field(d: Deck) -> Input:
    return d.pane.bar.query_one(Input)


@pytest.mark.quick(2)
@pytest.mark.parametrize(
    ("start", "expression", "fault"),
    [
        ("connections", "provider:slack format:shiny", "format is never 'shiny'."),
        ("connections", "provider:slack colour:red", "There is no field 'colour'."),
        ("connections", "org:acme created:yesterday", "'yesterday' is not a date."),
        ("connections", 'org:"acme', "This quote is not closed."),
        ("connections", "characters:many", "'many' is not a number."),
        ("keys", "state:Enabled rotation:maybe", "rotation is never 'maybe'."),
        ("log", "level:loud", "level is never 'loud'."),
    ],
)
async def test_a_fault_points_at_its_character_in_every_table(
    start: str, expression: str, fault: str
) -> None:
    async with deck(start=start, size=LARGE) as d:
        await d.filter(expression)
        assert d.pane.bar.is_open
        assert fault in d.text()
        lines = d.lines()
        at = next(i for i, line in enumerate(lines) if line.strip() == "^")
        position = int(d.line_with("Filter, character").split("character ")[1].split(":")[0])
        typed = lines[at - 1]
        assert typed.index(expression) + position - 1 == lines[at].index("^")
        await d.press("backspace")
        assert "Filter, character" not in d.text()


async def test_a_fault_in_a_filter_given_as_a_command_opens_the_filter_with_it() -> None:
    async with deck(start="connections") as d:
        await d.command("filter nope:1")
        assert d.pane.bar.is_open
        assert field(d).value == "nope:1"
        assert "There is no field 'nope'." in d.text()
        assert "1,200 tokens" in d.lines()[1]


async def test_while_a_filter_is_typed_letters_are_letters() -> None:
    async with deck(start="connections") as d:
        await d.press("slash")
        await d.type("qxw1?:")
        assert field(d).value == "qxw1?:"
        assert d.app.is_running
        assert len(d.app.screen_stack) == 1


@pytest.mark.deep
async def test_up_recalls_earlier_filters_of_this_table_only() -> None:
    memory = Memory()
    memory.remember("filter keys", "state:Enabled")
    async with deck(start="connections", memory=memory) as d:
        await d.filter("provider:slack")
        await d.filter("provider:jira")
        await d.press("slash")
        seen = []
        for key in ("up", "up", "up", "down", "down"):
            await d.press(key)
            seen.append(field(d).value)
        assert seen == ["provider:jira", "provider:slack", "provider:slack", "provider:jira", "provider:jira"]


@pytest.mark.deep
async def test_tab_takes_the_suggested_field_value_or_saved_filter() -> None:
    memory = Memory()
    memory.save_filter("connections", "worst", "format:plaintext")
    async with deck(start="connections", memory=memory) as d:
        await d.press("slash")
        for typed, completed in (
            ("prov", "provider:"),
            ("org:acme form", "org:acme format:"),
            ("-format:pla", "-format:plaintext"),
            ("format:dev,plain", "format:dev,plaintext"),
            ("(org:a OR -(form", "(org:a OR -(format:"),
            ("@w", "@worst"),
        ):
            await d.pilot.press("ctrl+u")
            await d.type(typed)
            await d.until(lambda wanted=completed: field(d)._suggestion == wanted)
            await d.press("tab")
            assert field(d).value == completed


async def test_a_name_that_nothing_is_saved_under_says_what_is() -> None:
    memory = Memory()
    memory.save_filter("connections", "worst", "format:plaintext")
    async with deck(start="connections", memory=memory) as d:
        await d.filter("@best")
        assert "There is no saved filter with this name. Saved: @worst." in d.text()
        await d.press("escape")
        await d.command("filter @best")
        assert d.toasts() == ["There is no saved filter @best."]


async def test_the_saved_filters_are_listed_applied_and_forgotten() -> None:
    memory = Memory()
    memory.save_filter("connections", "worst", "format:plaintext")
    memory.save_filter("connections", "slack", "provider:slack")
    async with deck(start="connections", memory=memory) as d:
        await d.press("F")
        assert isinstance(d.app.screen, SavedFilters)
        assert "@slack" in d.text()
        assert "format:plaintext" in d.text()
        await d.press("D")
        assert "@slack" not in d.text()
        await d.press("enter")
        assert "Connections › format:plaintext" in d.lines()[1]
    assert memory.saved_filters("connections") == {"worst": "format:plaintext"}


@pytest.mark.deep
async def test_the_filter_that_is_set_is_saved_under_a_name_asked_for() -> None:
    memory = Memory()
    async with deck(start="connections", memory=memory) as d:
        await d.filter("provider:slack")
        await d.press("F")
        await d.type("@my slack")
        await d.press("enter")
        assert "@my-slack" in d.text()
        assert d.app.screen.query_one(LineList).line_count() == 1
        await d.press("escape", "escape")
        assert "1,200 tokens" in d.lines()[1]
        for apply in (d.filter, lambda name: d.command(f"filter {name}")):
            await apply("@my-slack")
            assert "Connections › provider:slack" in d.lines()[1]
            await d.press("escape")
    assert memory.saved_filters("connections") == {"my-slack": "provider:slack"}


async def test_without_saved_filters_the_dialog_says_how_to_save_one() -> None:
    async with deck(start="connections") as d:
        await d.press("F")
        assert "No saved filters. Set one with /, save it here" in d.says()


async def test_a_filter_with_a_token_in_it_is_neither_saved_nor_remembered() -> None:
    memory = Memory()
    async with deck(start="connections", memory=memory) as d:
        await d.filter("xoxb-1111-secret")
        await d.press("F")
        await d.type("leak")
        await d.press("enter")
        assert d.toasts() == ["This filter can't be saved."]
    assert memory.saved_filters("connections") == {}
    assert memory.history("filter connections") == []


async def test_the_filter_says_which_fields_there_are() -> None:
    async with deck(start="keys", size=LARGE) as d:
        await d.press("slash")
        assert "Fields: name key state spec rotation tokens used region origin created manager" in d.text()
        assert isinstance(d.app.focused, Input)
        assert isinstance(d.app.focused.parent, FilterBar)


@pytest.mark.quick(4)
@pytest.mark.parametrize(
    ("expression", "count"),
    [
        ("tokens:>100", 1),
        ("state:Enabled,Disabled", 2),
        ("-state:PendingDeletion", 3),
        ("alias:*tokens*", 2),
        ("name:alias/reports", 1),
        ("rotation:on", 1),
        ("created:<2025-01-01", 2),
        ("tokens:1..100", 1),
        ("reports", 1),
    ],
)
async def test_keys_are_filtered_in_the_same_language(expression: str, count: int) -> None:
    async with deck(start="keys", size=LARGE) as d:
        await d.filter(expression)
        assert f"1 of {count} key" in d.lines()[1]
