"""What a token can do, on the connection and in an incident: asked with a consent, shown with its time."""

from __future__ import annotations

import pytest

from crypto_core.errors import DatabaseUnreachableError
from crypto_core.providers.answers import ByHand
from crypto_core.references import TokenRef
from screens.connections.abilities import AskAbilities
from screens.incidents.order_dialog import OrderDialog
from tests.screens.deck import LARGE, SMALL, deck
from tests.screens.incident_scene import at_step, staged
from tests.screens.stage import Stage
from tests.screens.stage_abilities import told

HOSTILE = "[/red]\x1b]0;owned\x07\u202e"


async def test_a_provider_is_asked_with_a_consent_and_the_answer_stands_on_the_connection() -> None:
    stage = Stage()
    stage.abilities.not_asked = (ByHand(TokenRef("t", "c", "1"), "jira", HOSTILE),)
    stage.abilities.more = {"places": (HOSTILE,), "whose": HOSTILE}
    async with deck(stage, start="connections", size=LARGE) as d:
        await d.press("a")
        assert isinstance(d.app.screen, AskAbilities)
        says = " ".join(d.says().split())
        assert "Opens 1 token and sends each to its own provider alone: api.github.com." in says
        assert "nothing changed yet" in d.text()
        # Whoever only presses Enter asks nobody.
        await d.press("enter")
        assert not isinstance(d.app.screen, AskAbilities)
        assert stage.abilities.answers == {}
        assert "abilities" not in d.text()

        await d.press("a", "right", "enter")
        await d.tick(2)
        says = d.says()
        assert "Not known: admin: its repositories are not all known." in " ".join(says.split())
        assert "\x1b" not in says
        await d.press("enter")
        await d.tick(5)
        assert "admin: not known, writes, reads private" in " ".join(d.text().split())
        assert "at least 3 public, 130 private" in " ".join(d.text().split())
        await d.press("a")
        assert isinstance(d.app.screen, AskAbilities)


async def test_leaving_stops_it() -> None:
    stage = Stage()
    stage.hold("ask abilities")
    async with deck(stage, start="connections", size=SMALL) as d:
        await d.press("a", "right", "enter")
        await d.until(lambda: "what was answered is kept" in " ".join(d.says().split()))
        await d.press("escape")
        await d.until(lambda: not stage.waiting)
        assert stage.abilities.answers == {}


async def test_trouble_is_told_where_the_answers_would_stand() -> None:
    stage = Stage()
    stage.faults["ask abilities"] = DatabaseUnreachableError("The database does not answer.")
    async with deck(stage, start="connections", size=LARGE) as d:
        await d.press("a", "right", "enter")
        await d.tick(2)
        assert "The database does not answer." in d.says()


@pytest.mark.parametrize("size", [SMALL, LARGE])
async def test_the_tokens_of_an_incident_stand_in_the_order_in_which_to_revoke_them(
    size: tuple[int, int],
) -> None:
    stage = staged(at_step("disable"))
    for number, admin in ((1, False), (2, True)):
        ref = TokenRef("gh_connection", "access_token", f"gh-{number}")
        stage.abilities.answers[ref] = told(
            ref, admin=admin, places=("acme",), places_whole=True, not_known=()
        )
    async with deck(stage, start="incidents", size=size) as d:
        await d.press("enter", "w")
        assert isinstance(d.app.screen, OrderDialog)
        await d.tick(2)
        says = d.says()
        assert "Of 2 of 3 tokens it is known what they can do." in says
        assert "A gap." in says
        places = [says.find(name) for name in ("never asked", "gh-2", "gh-1")]
        assert places == sorted(places)
        assert min(places) >= 0
        assert "It administers what it reaches (fact, 40)." in " ".join(says.split())
        await d.press("enter")
        assert not isinstance(d.app.screen, OrderDialog)
