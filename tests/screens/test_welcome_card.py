"""The card that a demonstration opens with."""

from __future__ import annotations

import pytest
from syrupy.assertion import SnapshotAssertion

from screens.actions.registry import ACTIONS
from screens.memory import Memory
from screens.welcome_card import FIRST_KEYS, WelcomeCard
from tests.left_out import needs
from tests.screens.deck import LARGE, SMALL, deck
from tests.screens.test_pictures import DARK, LIGHT, Looks, album

LOOKS: Looks = {"small": (SMALL, DARK), "light": (LARGE, LIGHT)}


def test_its_keys_are_the_consoles_own() -> None:
    keys = {action.name: action.keys.split(",") for action in ACTIONS if action.id.startswith("everywhere.")}
    assert len(FIRST_KEYS) == 3
    for first in FIRST_KEYS:
        assert first.key in keys[first.command]


@needs("evidence")
async def test_it_is_calm(picture: SnapshotAssertion) -> None:
    async with album(picture, start="log", welcomes=True) as a:
        await a.d.settle()
        await a.take(LOOKS)


@pytest.mark.parametrize(
    ("key", "leads_to"),
    [("7", "Findings ›"), ("question_mark", "what can be done here"), ("escape", "Status ›")],
)
async def test_a_key_closes_it_and_leads_on(key: str, leads_to: str) -> None:
    async with deck(welcomes=True) as d:
        assert isinstance(d.app.screen, WelcomeCard)
        await d.press(key)
        assert not isinstance(d.app.screen, WelcomeCard)
        assert leads_to in d.text()


async def test_it_is_shown_once() -> None:
    saved: list[dict[str, object]] = []
    async with deck(welcomes=True, memory=Memory(save=lambda content: saved.append(dict(content)))) as d:
        assert "Welcome to Keydeck" in d.text()
    async with deck(welcomes=True, memory=Memory(saved[-1])) as d:
        assert "Welcome to Keydeck" not in d.text()
    async with deck() as d:
        assert "Welcome to Keydeck" not in d.text()
