"""Declaring an incident by what is known of its tokens: whose they are, who opened them, their references."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta

import pytest
from textual.events import Key
from textual.widgets import Input

from console import capabilities
from crypto_core.incidents.model import IncidentScope
from screens.incidents.incident_screen import IncidentScreen
from tests.screens.deck import LARGE, SMALL, Deck, deck
from tests.screens.hostile import assert_harmless
from tests.screens.sample_events import a_day
from tests.screens.samples import NOW, hostile_rows
from tests.screens.stage import Stage

TO_TOKENS = ("n", "down", "enter")
"""From the list of incidents to the question of what is known of the tokens."""


def scope_of(stage: Stage) -> IncidentScope:
    [(_, (runbook, scope, _))] = stage.incidents.done("declare")
    assert runbook == "token-compromise"
    assert isinstance(scope, IncidentScope)
    return scope


def told(d: Deck) -> str:
    """What the dialog says, whatever the breaks of its lines."""
    return " ".join(d.text().replace("│", " ").split())


@pytest.mark.parametrize("size", [SMALL, pytest.param(LARGE, marks=pytest.mark.deep)])
async def test_an_organisation_is_chosen_from_a_list(size: tuple[int, int]) -> None:
    stage = Stage()
    organisations = Counter(row.organisation for row in sorted(stage.rows, key=lambda row: row.ref))
    most, number = organisations.most_common(1)[0]
    async with deck(stage, start="incidents", size=size) as d:
        await d.press(*TO_TOKENS, *["down"] * 3, "enter")
        assert "Whose tokens?" in d.text()
        assert f"{number:,} token" in d.line_with(most)
        await d.press("enter", "enter")
        assert isinstance(d.app.screen, IncidentScreen), d.text()
    assert scope_of(stage).filter == f'org:"{most}"'


async def test_who_opened_tokens_is_chosen_and_what_it_opened_is_the_scope() -> None:
    stage = Stage()
    stage.events.add(a_day())
    async with deck(stage, start="incidents") as d:
        await d.press(*TO_TOKENS, *["down"] * 4, "enter")
        assert "Who opened them?" in d.text()
        lines = [line for line in d.lines() if "call" in line and "last" in line]
        await d.press(*["down"] * next(n for n, line in enumerate(lines) if "user/" in line), "enter")
        assert d.app.screen.query_one("#since", Input).has_focus
        await d.type("7d")
        early = Key("enter", "\r")
        await d.press("enter")
        assert "CloudTrail names the row (v2). That is a fact." in told(d)
        d.app.post_message(early)
        await d.settle()
        assert not stage.incidents.done("declare"), "what was found is read before it is agreed to"
        await d.press("enter")
        assert isinstance(d.app.screen, IncidentScreen), d.text()
    scope = scope_of(stage)
    assert scope.since == NOW - timedelta(days=7)
    assert ":user/" in scope.principal
    assert scope.found_by.startswith(f"opened by {scope.principal} since ")
    assert scope.references


async def test_hostile_organisations_are_shown_as_they_are_written() -> None:
    async with deck(Stage(rows=hostile_rows()), start="incidents", size=SMALL) as d:
        await d.press(*TO_TOKENS, *["down"] * 3, "enter")
        assert_harmless(d, SMALL)
        for _ in range(4):
            await d.press("down")
            assert_harmless(d, SMALL)


async def test_without_a_search_or_organisations_the_tokens_are_named() -> None:
    stage = Stage(rows=[])
    async with deck(stage, start="incidents") as d:
        await d.press(*TO_TOKENS, *["down"] * 3, "enter")
        assert "None is known here" in d.text()
        await d.type("provider:slack")
        await d.press("enter")
        assert isinstance(d.app.screen, IncidentScreen), d.text()
    assert scope_of(stage).filter == "provider:slack"


async def test_without_the_search_for_leaked_tokens_the_dialog_says_so_and_all_else_works(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    here = tuple(one for one in capabilities.manifests() if one.name != "forensics")
    monkeypatch.setattr(capabilities, "manifests", lambda: here)
    stage = Stage()
    async with deck(stage, start="incidents", size=LARGE) as d:
        await d.press(*TO_TOKENS)
        for _ in ("leaked", "hashed"):
            await d.press("down", "enter")
            left_out = "this installation leaves the capability forensics out."
            assert f"The search for leaked tokens is not installed: {left_out}" in told(d)
            assert not d.app.screen.query("#open")
        await d.press("up", "up", "enter")
        assert "not installed" not in told(d)
        await d.type("provider:slack")
        await d.press("enter")
        assert isinstance(d.app.screen, IncidentScreen), d.text()
    assert scope_of(stage).filter == "provider:slack"
