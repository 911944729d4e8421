"""Whose token is this: asked unseen, told with what that leaves open, and the ways on from there."""

from __future__ import annotations

import pytest
from textual.widgets import Button

from crypto_core.forensics.token_search.result import UnopenedToken
from screens.connections.screen import ConnectionsScreen
from screens.forensics.whose_dialog import WhoseDialog
from screens.incidents.declare import DeclareDialog
from screens.widgets.line_input import SecretInput
from tests.screens.deck import LARGE, SMALL, Deck, deck
from tests.screens.forensics.stage import looked_for, paste, search_of
from tests.screens.hostile import assert_harmless
from tests.screens.incident_scene import TOKEN
from tests.screens.samples import HOSTILE
from tests.screens.stage import Stage


def told(d: Deck) -> str:
    """What the dialog says, whatever the breaks of its lines and whatever lies behind it."""
    lines = [line.split("│") for line in d.text().splitlines()]
    return " ".join(" ".join(parts[1] for parts in lines if len(parts) > 2).split())


@pytest.mark.parametrize("size", [SMALL, pytest.param(LARGE, marks=pytest.mark.deep)])
async def test_a_token_leads_to_its_connection_or_to_an_incident_and_is_never_shown(
    size: tuple[int, int],
) -> None:
    stage = Stage()
    search_of(stage).rows = tuple(row.ref for row in stage.rows[:2])
    search_of(stage).unopened = (UnopenedToken(stage.rows[5].ref, HOSTILE[0]),)
    async with deck(stage, start="connections", size=size) as d:
        await d.press("colon", *"whose", "enter")
        assert isinstance(d.app.screen, WhoseDialog)
        gate = await looked_for(d, stage, told)
        gate.set()
        await d.settle()
        assert "held by 2 rows, which share it" in told(d)
        assert "1 stored token could not be opened" in told(d)
        assert "2 rows found. Enter leads to the connection." in told(d)
        assert_harmless(d, size)
        await d.press("down", "enter")
        await d.settle()
        assert isinstance(d.app.screen, ConnectionsScreen)
        assert str(stage.rows[1].ref) in d.text()
        assert "reference:" in d.app.screen.pane.feed.shown.filter
        await d.press("O")
        paste(d, TOKEN)
        await d.press("enter")
        await d.settle()
        d.app.screen.query_one("#declare", Button).press()
        await d.settle()
        assert isinstance(d.app.screen, DeclareDialog)
        assert TOKEN not in "".join((d.text(), *d.toasts()))
    assert search_of(stage).looked_for == [TOKEN, TOKEN]


async def test_what_is_not_found_is_proved_absent_or_not_and_what_is_no_token_is_refused() -> None:
    stage = Stage()
    async with deck(stage, start="connections") as d:
        await d.press("O")
        paste(d, TOKEN)
        await d.press("enter")
        await d.settle()
        assert "No row holds it." in told(d)
        search_of(stage).gaps = ("gh_connection.refresh_token can't be read",)
        paste(d, TOKEN)
        await d.press("enter")
        await d.settle()
        assert "Not found, and not proved absent" in told(d)
        assert not d.app.screen.query("#declare")
        for wrong in ("[/red]", f"{TOKEN} {TOKEN}1", "x" * 300_000 + " y"):
            paste(d, wrong)
            await d.press("enter")
            await d.settle()
            assert d.app.screen.query_one(SecretInput).value == ""
            assert TOKEN not in d.text()
        assert search_of(stage).looked_for == [TOKEN, TOKEN]
        await d.press("escape")
        assert isinstance(d.app.screen, ConnectionsScreen)
