"""Declaring an incident by what leaked of its tokens: one itself, or GitHub's hash of one."""

from __future__ import annotations

import pytest
from textual.widgets import Button

from crypto_core.forensics.token_search.result import UnopenedToken
from crypto_core.values.errors import KmsUnreachableError
from screens.incidents.declare import DeclareDialog
from screens.incidents.incident_screen import IncidentScreen
from screens.incidents.screen import IncidentsScreen
from screens.widgets.line_input import SecretInput
from tests.screens.deck import LARGE, SMALL, Deck, deck
from tests.screens.forensics.stage import looked_for, paste, search_of
from tests.screens.hostile import assert_harmless
from tests.screens.incident_scene import TOKEN
from tests.screens.samples import HOSTILE
from tests.screens.stage import Stage
from tests.screens.test_declare_tokens import TO_TOKENS, scope_of, told


async def to_leaked(d: Deck) -> None:
    await d.press(*TO_TOKENS, "down", "enter")
    assert isinstance(d.app.screen.focused, SecretInput)


@pytest.mark.parametrize("size", [SMALL, pytest.param(LARGE, marks=pytest.mark.deep)])
async def test_a_leaked_token_is_looked_for_and_only_its_rows_are_kept(size: tuple[int, int]) -> None:
    stage = Stage()
    search_of(stage).rows = tuple(row.ref for row in stage.rows[:2])
    search_of(stage).unopened = (UnopenedToken(stage.rows[5].ref, HOSTILE[0]),)
    async with deck(stage, start="incidents", size=size) as d:
        await to_leaked(d)
        gate = await looked_for(d, stage, told)
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
    assert scope.references == tuple(map(str, search_of(stage).rows))
    assert (
        scope.found_by
        == "a leaked token: 1 of 1 token found; 11,990 stored tokens compared, 1 could not be opened"
    )
    assert search_of(stage).looked_for == [TOKEN]


async def test_what_is_not_found_opens_nothing_and_claims_no_more_than_it_knows() -> None:
    stage = Stage()
    async with deck(stage, start="incidents", size=SMALL) as d:
        await to_leaked(d)
        paste(d)
        await d.press("enter")
        assert "No token was found: there is nothing to declare." in told(d)
        assert "The token: held by no row." in told(d)
        assert d.app.screen.query_one(SecretInput).value == ""
        search_of(stage).unopened = (UnopenedToken(stage.rows[5].ref, "denied"),)
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
    search_of(stage).rows = (stage.rows[0].ref,)
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
    search_of(stage).rows = (stage.rows[0].ref,)
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
    assert search_of(stage).looked_for == ["00" * 32]
