"""A revocation asked for on one console, approved on a second, and only read on a third."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from textual.widgets import Button

from console.container import Container
from console.sandbox.sandbox import Sandbox
from console.sandbox.world import World
from console.settings import load
from crypto_core.incidents.model import IncidentScope
from crypto_core.providers.answers import Liveness
from crypto_core.values.errors import ApprovalNeededError
from screens.incidents.approvals_screen import ApprovalNeeded, ApprovalsScreen, DecideDialog
from screens.incidents.declare import DeclareDialog
from screens.incidents.incident_screen import IncidentScreen
from screens.incidents.step_dialog import StepDialog
from tests.console.incident_flows.operation import (
    Stored,
    agree,
    console,
    dialog,
    ended,
    leaked,
    page,
    patiently,
    provider_says,
    said,
)
from tests.screens.deck import Deck
from tests.screens.test_token_timeline import go_to

ANA, BEN = "ASIATESTOFINCIDENTSA", "ASIATESTOFINCIDENTSB"


async def decide(deck: Deck) -> str:
    """Approve what waits on the page of approvals; returns what was shown of it."""
    assert isinstance(deck.app.screen, ApprovalsScreen)
    await patiently(deck, lambda: "revoke tokens" in deck.text())
    await go_to(deck, "revoke tokens")
    await deck.press("enter")
    await dialog(deck, DecideDialog)
    plan = deck.says()
    deck.app.screen.query_one("#approve", Button).focus()
    await deck.press("enter")
    return plan


@pytest.mark.deep
async def test_a_second_console_approves_a_revocation_and_a_third_only_reads(
    sandbox: Sandbox,
    services: Container,
    world: World,
    stored: Stored,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    credentials = tmp_path / "credentials"
    for key, name in ((ANA, "ana"), (BEN, "ben")):
        sandbox.control.add_principal(key, "keydeck-oncall", "role", name)
        with credentials.open("a") as file:
            file.write(f"[{name}]\naws_access_key_id = {key}\naws_secret_access_key = x\n")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(credentials))
    monkeypatch.setenv("KEYDECK_APPROVALS", "revoke")
    refs = leaked(world)
    refs = {name: refs[name] for name in ("v1", "slack")}
    ana, ben, reader = (
        Container(load({"profile": name, "read_only": read_only}).settings)
        for name, read_only in (("ana", False), ("ben", False), ("ana", True))
    )
    number = ana.services.incidents.declare(
        "token-compromise", IncidentScope(references=tuple(map(str, refs.values())))
    )
    for step in ("scope", "block", "evidence", "abilities"):
        ana.services.incidents.skip(number, step, "Not what this is about.")

    async def approve() -> str:
        """What Ben sees and does on his console."""
        async with console(ben.services, start="incidents") as deck:
            await patiently(deck, lambda: "1 request for approval" in deck.text())
            await deck.press("H")
            assert isinstance(deck.app.screen, ApprovalsScreen)
            plan = await decide(deck)
            await patiently(
                deck, lambda: isinstance(deck.app.screen, ApprovalsScreen) and "approved" in deck.text()
            )
            return plan

    async with console(ana.services, start="incidents") as deck:
        await deck.press("enter")
        await patiently(deck, lambda: page(deck).view and page(deck).step_in_hand)
        await deck.press("enter")
        await dialog(deck, StepDialog, "#confirm")
        await deck.type("2")
        await deck.press("enter")
        await dialog(deck, ApprovalNeeded)
        waits = " ".join(deck.says().split())
        assert "needs the approval of a second person. Nothing was done" in waits
        assert "Somebody other than arn:aws:sts::123456789012:assumed-role/keydeck-oncall/ana runs:" in waits
        assert "Or in their console, not in yours: 5, then H." in waits
        await deck.press("enter")
        assert "Waits for a second identity" in said(deck)

        # Ana can't be her own second person.
        await deck.press("H")
        await decide(deck)
        await patiently(deck, lambda: any("you can't approve your own" in toast for toast in deck.toasts()))
        await deck.press("escape")

        plan = await asyncio.to_thread(asyncio.run, approve())
        for told in ("Revoke 2 tokens at github, slack", *map(str, refs.values()), "keydeck-oncall/ana"):
            assert told in plan
        await patiently(deck, lambda: "Approved by ben" in said(deck))
        assert not [call for call in sandbox.providers.calls() if "revoke" in call.path]
        await deck.press("enter")
        await dialog(deck, StepDialog, "#confirm")
        await agree(deck, "2")
        await ended(deck, "revoke")
        for ref in refs.values():
            assert provider_says(sandbox, ref, world.token_for(ref)) is Liveness.DEAD
        await deck.press("H")
        await patiently(deck, lambda: "✔ revoke tokens" in deck.text())
        assert "used" in deck.line_with("✔ revoke tokens")
    (used,) = ana.approvals.requests(pending=False)
    with pytest.raises(ApprovalNeededError):
        ana.approvals.require(used.action, used.summary, used.digest, used.plan)

    # Who may only read sees all of it, and changes nothing.
    assert ana.services.incidents is not None
    before = ana.services.incidents.show(number)
    entries = len(ana.journal.entries())
    async with console(reader.services, start="incidents") as deck:
        assert "[RO]" in deck.text()
        await deck.press("n")
        assert not isinstance(deck.app.screen, DeclareDialog)
        await deck.press("enter")
        await patiently(deck, lambda: page(deck).view and page(deck).step_in_hand)
        assert "Revoke by hand what is left, and prove every token dead" in said(deck)
        assert "5 Revoke the tokens" in deck.text()
        for key in ("enter", "a", "d", "f", "s", "n", "x", "C", "o", "up", "o", "C"):
            await deck.press(key)
            assert isinstance(deck.app.screen, IncidentScreen), key
        assert "proved dead 1" not in said(deck)
        assert "Providers' answers about 2 tokens" in said(deck)
        await deck.press("e")
        await go_to(deck, "Providers' answers about 2 tokens")
        await deck.press("enter")
        await patiently(deck, lambda: '"liveness": "dead"' in deck.text())
    assert ana.services.incidents.show(number) == before
    assert len(ana.journal.entries()) == entries
    for container in (ana, ben, reader):
        container.close()
