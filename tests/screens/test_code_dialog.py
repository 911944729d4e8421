"""The dialog for an MFA code."""

from __future__ import annotations

import pytest
from syrupy.assertion import SnapshotAssertion
from textual.widgets import Button

from crypto_core.aws.mfa_codes import CodeQuestion
from crypto_core.values.clean_text import clean
from crypto_core.values.secret import Secret
from screens.context import CodeDialog
from tests.left_out import needs
from tests.screens.deck import LARGE, SMALL, Deck, deck
from tests.screens.test_pictures import DARK, LIGHT, Looks, album

QUESTION = CodeQuestion(
    clean("prod-operator"),
    clean("arn:aws:iam::123456789012:mfa/ana.silva"),
    clean("MultiFactorAuthentication failed with invalid MFA one time pass code."),
)
LOOKS: Looks = {"small": (SMALL, DARK), "large": (LARGE, DARK), "light": (SMALL, LIGHT)}


async def shown(d: Deck, question: CodeQuestion = QUESTION) -> list[Secret | None]:
    answers: list[Secret | None] = []
    d.app.push_screen(CodeDialog(question), answers.append)
    await d.settle()
    return answers


@needs("evidence")
async def test_it_is_calm(picture: SnapshotAssertion) -> None:
    async with album(picture) as a:
        await shown(a.d)
        await a.d.type("492817")
        await a.take(LOOKS)


async def test_enter_returns_what_was_typed_and_shows_it_nowhere() -> None:
    async with deck() as d:
        answers = await shown(d)
        assert d.app.screen.query_one("#sign-in", Button).disabled
        await d.press("enter")
        assert answers == []
        await d.type("492 817")
        assert "492" not in d.text()
        await d.press("enter")
        assert [a.reveal() if a else None for a in answers] == ["492 817"]


@pytest.mark.parametrize("keys", [("escape",), ("tab", "enter")])
async def test_esc_and_the_safe_button_give_up(keys: tuple[str, ...]) -> None:
    async with deck() as d:
        answers = await shown(d)
        await d.press(*keys)
        assert answers == [None]


async def test_foreign_text_in_it_is_text() -> None:
    hostile = CodeQuestion(*(clean(f"[red]x[/]\x1b[31m\u202e{n}") for n in "abc"))
    async with deck() as d:
        await shown(d, hostile)
        for n in "abc":
            assert f"[red]x[/][31m{n}" in d.text()
        assert "\x1b" not in d.text()
