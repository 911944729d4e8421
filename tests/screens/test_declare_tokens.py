"""Declaring an incident by what is known of its tokens: a leaked one, its hash, whose, opened by whom."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta

import pytest
from textual.widgets import Button, Input

from crypto_core.errors import KmsUnreachableError
from crypto_core.incidents.model import IncidentScope
from crypto_core.reencryption.token_search.result import UnopenedToken
from screens.incidents.declare import DeclareDialog
from screens.incidents.incident_screen import IncidentScreen
from screens.incidents.screen import IncidentsScreen
from screens.widgets.secret_input import SecretInput
from tests.screens.deck import LARGE, SMALL, Deck, deck
from tests.screens.hostile import assert_harmless
from tests.screens.incident_scene import TOKEN
from tests.screens.sample_events import a_day
from tests.screens.samples import HOSTILE, NOW, hostile_rows
from tests.screens.stage import Stage

TO_TOKENS = ("n", "down", "enter")
"""From the list of incidents to the question of what is known of the tokens."""


def scope_of(stage: Stage) -> IncidentScope:
    [(_, (runbook, scope, _))] = stage.incidents.done("declare")
    assert runbook == "token-compromise"
    assert isinstance(scope, IncidentScope)
    return scope


def paste(d: Deck, text: str = TOKEN) -> None:
    d.app.screen.query_one(SecretInput).insert_text_at_cursor(text)


def told(d: Deck) -> str:
    """What the dialog says, whatever the breaks of its lines."""
    return " ".join(d.text().replace("│", " ").split())


async def to_leaked(d: Deck) -> None:
    await d.press(*TO_TOKENS, "down", "enter")
    assert isinstance(d.app.screen.focused, SecretInput)


@pytest.mark.parametrize("size", [SMALL, pytest.param(LARGE, marks=pytest.mark.deep)])
async def test_a_leaked_token_is_looked_for_and_only_its_rows_are_kept(size: tuple[int, int]) -> None:
    stage = Stage()
    stage.search.rows = tuple(row.ref for row in stage.rows[:2])
    stage.search.unopened = (UnopenedToken(stage.rows[5].ref, HOSTILE[0]),)
    async with deck(stage, start="incidents", size=size) as d:
        await to_leaked(d)
        await d.press("enter")
        assert stage.calls.count("search") == 0
        paste(d, f"  {TOKEN}\n")
        assert TOKEN[:8] not in d.text()
        gate = stage.hold("search")
        await d.press("enter")
        for _ in range(100):
            if "3,000 of 12,000" in told(d):
                break
            await d.pilot.pause(0.05)
        assert "3,000 of 12,000" in told(d)
        assert "Esc stops it" in told(d)
        gate.set()
        await d.settle()
        assert "held by 2 rows" in told(d)
        assert "1 stored token could not be opened: they may hold it too." in told(d)
        assert_harmless(d, size)
        assert stage.incidents.done() == []
        assert isinstance(d.app.screen.focused, Button)
        assert "Open the incident" in told(d)
        await d.press("enter")
        assert isinstance(d.app.screen, IncidentScreen), d.text()
        assert TOKEN not in "".join(d.toasts())
    scope = scope_of(stage)
    assert scope.references == tuple(map(str, stage.search.rows))
    assert (
        scope.found_by
        == "a leaked token: 1 of 1 token found; 11,990 stored tokens compared, 1 could not be opened"
    )
    assert stage.search.looked_for == [TOKEN]


async def test_what_is_not_found_opens_nothing_and_claims_no_more_than_it_knows() -> None:
    stage = Stage()
    async with deck(stage, start="incidents", size=SMALL) as d:
        await to_leaked(d)
        paste(d)
        await d.press("enter")
        assert "No token was found: there is nothing to declare." in told(d)
        assert "The token: held by no row." in told(d)
        assert d.app.screen.query_one(SecretInput).value == ""
        stage.search.unopened = (UnopenedToken(stage.rows[5].ref, "denied"),)
        paste(d)
        await d.press("enter")
        assert "That is no proof" in told(d)
        assert "it may be one of these" in told(d)
        stage.faults["search"] = KmsUnreachableError("No answer from KMS.")
        paste(d)
        await d.press("enter")
        assert "No answer from KMS." in d.text()
        paste(d, "ghp_a ghp_b")
        await d.press("enter")
        assert "nothing in it that begins like" in told(d)
        assert "ghp_a" not in d.text()
        assert isinstance(d.app.screen, DeclareDialog)
    assert stage.incidents.done() == []


async def test_a_search_is_left_by_escape() -> None:
    stage = Stage()
    stage.search.rows = (stage.rows[0].ref,)
    stage.hold("search")
    async with deck(stage, start="incidents") as d:
        await to_leaked(d)
        paste(d)
        await d.press("enter")
        assert stage.waiting == 1
        await d.press("escape")
        assert isinstance(d.app.screen, IncidentsScreen)
        assert stage.waiting == 0
    assert stage.incidents.done() == []


async def test_a_hash_of_githubs_is_looked_for() -> None:
    stage = Stage()
    stage.search.rows = (stage.rows[0].ref,)
    async with deck(stage, start="incidents") as d:
        await d.press(*TO_TOKENS, "down", "down", "enter")
        await d.type("no hash")
        await d.press("enter")
        assert "no hashed_token" in d.text()
        await d.press("ctrl+u")
        await d.type("A" * 43 + "=")
        await d.press("enter")
        assert "held by 1 row" in d.text()
        await d.press("enter")
    assert scope_of(stage).found_by.startswith("GitHub's hashed_token")
    assert stage.search.looked_for == ["00" * 32]


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
        await d.press("enter")
        assert "CloudTrail names the row (v2). That is a fact." in told(d)
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
