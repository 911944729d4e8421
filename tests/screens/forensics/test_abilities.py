"""What a token can do, on the connection and in an incident: asked with a consent, shown with its time."""

from __future__ import annotations

from crypto_core.providers.answers import ByHand
from crypto_core.values.errors import DatabaseUnreachableError
from crypto_core.values.references import TokenRef
from screens.forensics.abilities import AskAbilities
from tests.screens.deck import LARGE, SMALL, deck
from tests.screens.stage import Stage

HOSTILE = "[/red]\x1b]0;owned\x07\u202e"


async def test_a_provider_is_asked_with_a_consent_and_the_answer_stands_on_the_connection() -> None:
    stage = Stage()
    stage.added["abilities"].not_asked = (ByHand(TokenRef("t", "c", "1"), "jira", HOSTILE),)
    stage.added["abilities"].more = {"places": (HOSTILE,), "whose": HOSTILE}
    async with deck(stage, start="connections", size=LARGE) as d:
        await d.press("a")
        assert isinstance(d.app.screen, AskAbilities)
        says = " ".join(d.says().split())
        assert "Opens 1 token and sends each to its own provider alone: api.github.com." in says
        assert "nothing changed yet" in d.text()
        # Whoever only presses Enter asks nobody.
        await d.press("enter")
        assert not isinstance(d.app.screen, AskAbilities)
        assert stage.added["abilities"].answers == {}
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
        assert stage.added["abilities"].answers == {}


async def test_trouble_is_told_where_the_answers_would_stand() -> None:
    stage = Stage()
    stage.faults["ask abilities"] = DatabaseUnreachableError("The database does not answer.")
    async with deck(stage, start="connections", size=LARGE) as d:
        await d.press("a", "right", "enter")
        await d.tick(2)
        assert "The database does not answer." in d.says()
