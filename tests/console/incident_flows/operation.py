"""Consoles on which incidents are worked through: what is waited for, agreed to and read there."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from textual.widgets import Button, Static

from console.application.app import KeydeckApp
from console.sandbox.provider_tokens import Style
from console.sandbox.sandbox import Sandbox
from console.sandbox.world import World
from crypto_core.incidents.model import IncidentView, StepState
from crypto_core.providers.answers import Liveness
from crypto_core.providers.liveness_checks import ask
from crypto_core.providers.messages import Target
from crypto_core.providers.transport import Clock, Transport
from crypto_core.values.references import TokenRef
from crypto_core.values.secret import Secret
from screens.incidents.incident_screen import IncidentScreen, StepPane
from screens.incidents.report_dialog import ReportDialog
from screens.incidents.step_runs import runs_of
from tests.screens.deck import LARGE, Deck, drawn
from tests.screens.stage import Stage

Stored = Callable[[TokenRef], str]


class Watched(Deck):
    """A console on which certain texts must never be seen; looked for after every key."""

    unseen: Sequence[str] = ()

    async def settle(self) -> None:
        await super().settle()
        shown = self.text()
        assert not [canary for canary in self.unseen if canary in shown]


@asynccontextmanager
async def console(services: Any, *, start: str, **more: Any) -> AsyncIterator[Watched]:
    app = KeydeckApp(services, start_screen=start, **more)
    async with app.run_test(size=LARGE, notifications=True) as pilot:
        deck = Watched(app, pilot, Stage())
        await deck.settle()
        yield deck


def page(deck: Deck) -> IncidentScreen:
    screen = deck.app.screen
    assert isinstance(screen, IncidentScreen), deck.text()
    return screen


def view(deck: Deck) -> IncidentView:
    """Where the incident on screen stands, as the database has it."""
    number = next(s.incident for s in deck.app.screen_stack if isinstance(s, IncidentScreen))
    work = deck.facts.services.incidents
    assert work is not None
    return work.show(number)


def said(deck: Deck) -> str:
    step = page(deck).query_one(StepPane).query_one("#step", Static)
    return " ".join(str(step.content).split())


async def ended(deck: Deck, step: str, state: StepState = StepState.DONE) -> None:

    def there() -> bool:
        screen = deck.app.screen
        if not isinstance(screen, IncidentScreen) or screen.view is None:
            return False
        at = screen.step_in_hand
        return screen.view.step(step).state is state and (at is None or at.step.id != step)

    await patiently(deck, there)


async def patiently(deck: Deck, there: Callable[[], object]) -> None:
    """Wait for something; what the screen shows is told where it does not come."""
    try:
        await deck.until(lambda: bool(there()))
    except TimeoutError:
        raise AssertionError(deck.text()) from None


async def dialog(deck: Deck, kind: type, has: str = "") -> Any:
    await patiently(deck, lambda: drawn(deck.app.screen, kind, has))
    return deck.app.screen


async def at_rest(deck: Deck) -> None:
    await patiently(
        deck, lambda: isinstance(deck.app.screen, IncidentScreen) and not runs_of(deck.facts).running
    )


async def agree(deck: Deck, typed: str = "") -> None:
    confirm = deck.app.screen.query_one("#confirm", Button)
    if typed:
        await deck.type(typed)
        await deck.press("enter")
    else:
        confirm.focus()
        await deck.press("enter")
    await at_rest(deck)


def provider_says(sandbox: Sandbox, ref: TokenRef, token: str) -> Liveness:
    provider = {"gh_connection": "github", "slack_connection": "slack", "jira_connection": "jira"}[ref.table]
    base = f"{sandbox.endpoint_url}/_providers/{'atlassian' if provider == 'jira' else provider}"
    with Transport(Clock()) as transport:
        return ask(transport, Target(ref, provider, base), Secret.of(token)).liveness


async def write_reports(deck: Deck, folder: Path) -> dict[str, str]:
    """Write the report in each form, chosen by hand; returns the texts by their endings."""
    number = view(deck).incident.id
    for downs in range(3):
        await deck.press("E")
        shown = await dialog(deck, ReportDialog)
        shown.query_one("#forms").focus()
        await deck.press(*["down"] * downs, "enter", "enter")
        await patiently(deck, lambda: "Only you may read it." in deck.says())
        await deck.press("enter")
    files = {file.suffix: file for file in folder.glob(f"keydeck-INC-{number}-*")}
    assert set(files) == {".html", ".md", ".json"}
    assert {file.stat().st_mode & 0o777 for file in files.values()} == {0o600}
    return {ending: file.read_text("utf-8") for ending, file in files.items()}


def leaked(world: World) -> dict[str, TokenRef]:
    """Tokens that leak: GitHub's in v1 and (to be) v2, one of Slack in plaintext, one of Jira."""
    sealed = world.sealed_under(world.current_key)
    gh = [r for r in sealed if world.tokens[r].style is Style.GITHUB_USER]
    return {
        "v1": gh[0],
        "v2": gh[1],
        "slack": next(r for r in world.plaintext_refs if r.table == "slack_connection"),
        "jira": next(r for r in sealed if world.tokens[r].style is Style.ATLASSIAN_OAUTH),
    }
