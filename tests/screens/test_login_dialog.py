"""A profile that is signed out is signed in from the context dialog."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

from syrupy.assertion import SnapshotAssertion
from textual.widgets import Button

from crypto_core.aws.device_login import DeviceCode
from crypto_core.errors import KmsUnreachableError, RefusedError, SettingsError, SignInError
from crypto_core.text.cleaning import clean
from screens.context.screen import ContextDialog, LoginDialog
from screens.status.screen import StatusScreen
from tests.screens.deck import LARGE, SMALL, Deck, deck
from tests.screens.stage import Stage
from tests.screens.test_context import StageContexts, StageSignIn
from tests.screens.test_pictures import DARK, LIGHT, Looks, album

LOOKS: Looks = {
    "small": (SMALL, DARK),
    "large": (LARGE, DARK),
    "vast": ((200, 50), DARK),
    "light": (SMALL, LIGHT),
}


def signed_out() -> tuple[Stage, StageContexts]:
    stage = Stage()
    contexts = StageContexts(stage, signed_out=("audit",))
    stage.contexts = contexts
    return stage, contexts


async def choose_audit(d: Deck) -> None:
    """Choose the profile in the context dialog."""
    await d.press("c")
    await d.type("audit")
    assert "SSO, signed out" in d.text()
    await d.press("enter")


@asynccontextmanager
async def signing_in() -> AsyncIterator[tuple[Deck, StageContexts]]:
    stage, contexts = signed_out()
    async with deck(stage, size=LARGE) as d:
        await choose_audit(d)
        assert isinstance(d.app.screen, LoginDialog)
        yield d, contexts
        contexts.login.confirmed.set()


async def test_it_shows_the_address_and_the_code_and_is_calm(picture: SnapshotAssertion) -> None:
    stage, contexts = signed_out()
    # Behind a dialog panes are arranged anew only once it closes: the log has none.
    async with album(picture, stage, start="log") as a:
        await choose_audit(a.d)
        await a.take(LOOKS)
        contexts.login.confirmed.set()


async def test_the_context_says_who_is_signed_out(picture: SnapshotAssertion) -> None:
    stage, _ = signed_out()
    async with album(picture, stage) as a:
        await a.d.press("c")
        await a.take({"large": (LARGE, DARK)})


async def test_the_profile_is_switched_to_once_it_is_confirmed() -> None:
    async with signing_in() as (d, contexts):
        assert "MPTL-QKRD" in d.text()
        assert "https://device.sso.eu-west-1.amazonaws.com/" in d.text()
        contexts.login.confirmed.set()
        await d.until(lambda: isinstance(d.app.screen, StatusScreen))
        assert contexts.now.profile == "audit"


async def test_o_opens_the_address_with_the_code_and_says_if_there_is_no_browser() -> None:
    async with signing_in() as (d, contexts):
        await d.press("o")
        assert contexts.opened == [contexts.login.code.link]
        assert "opened; waiting" in d.text()
        d.stage.faults["browser"] = RefusedError("This machine has no browser to open it in.")
        await d.press("o")
        assert "no browser" in d.text()
        assert "MPTL-QKRD" in d.text()


async def test_esc_cancels_the_wait_and_changes_nothing() -> None:
    async with signing_in() as (d, contexts):
        await d.press("escape")
        await d.until(lambda: contexts.login.cancelled)
        assert isinstance(d.app.screen, ContextDialog)
        assert contexts.now.profile == ""


async def test_a_sign_in_that_ends_without_a_token_says_why() -> None:
    async with signing_in() as (d, contexts):
        contexts.login.ends = SignInError("Profile audit is not signed in. It was denied in the browser.")
        contexts.login.confirmed.set()
        await d.until(lambda: "denied in the browser" in d.text())
        assert d.app.screen.query_one("#open", Button).disabled
        await d.press("escape")
        assert contexts.now.profile == ""


async def test_without_an_answer_of_aws_there_is_no_code_to_wait_for() -> None:
    stage, contexts = signed_out()
    contexts.login.begins = KmsUnreachableError("No answer from AWS.")
    async with deck(stage, size=LARGE) as d:
        await d.press("c")
        await d.type("audit")
        await d.press("enter")
        assert "No answer from AWS." in d.text()
        await d.press("o")
        assert contexts.opened == []


async def test_foreign_text_in_it_is_text() -> None:
    stage, contexts = signed_out()
    hostile = DeviceCode(clean("https://x/[red]\x1b[31m\u202e"), clean("[bold]\x1b]0;owned\x07A"))
    contexts.login = replace(StageSignIn(), code=hostile)
    async with deck(stage, size=LARGE) as d:
        await choose_audit(d)
        assert "https://x/[red][31m" in d.text()
        assert "[bold]]0;ownedA" in d.text()
        contexts.login.confirmed.set()


async def test_a_profile_that_is_gone_from_the_files_by_now_is_told() -> None:
    stage, contexts = signed_out()
    contexts.no_login = SettingsError("Profile audit does not sign in by IAM Identity Center.")
    async with deck(stage, size=LARGE) as d:
        await d.press("c")
        await d.type("audit")
        await d.press("enter")
        assert "does not sign in" in d.text()
