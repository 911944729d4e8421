"""An operator who works through an incident in the real console, and whose keys are counted."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from sqlalchemy import Engine
from textual.pilot import Pilot
from textual.screen import Screen
from textual.widgets import Button

from console.application.app import KeydeckApp
from console.sandbox import access_keys
from console.sandbox.sandbox import Sandbox
from console.sandbox.world import World
from crypto_core.envelope import EnvelopeV1, serialise
from crypto_core.incidents.model import CheckResult, IncidentView, StepView
from crypto_core.keyring.cipher import TokenCipher
from crypto_core.keyring.kms_keyring import KmsKeyring
from crypto_core.values.references import TokenRef
from crypto_core.values.secret import DataKey, Secret
from screens.incidents.choices import ChooseAnswer
from screens.incidents.incident_screen import IncidentScreen
from screens.incidents.report_dialog import ReportDialog
from screens.incidents.step_dialog import StepDialog
from screens.incidents.step_runs import runs_of
from screens.services import Services
from screens.widgets.line_list import LineList
from tests.platform_rows import connect_slack, put
from tests.screens.deck import LARGE, drawn

PATIENCE = 400
"""Seconds that anything may take on a machine that is busy with something else."""


@dataclass
class Operator:
    """Presses keys and looks at the screen. What is typed to confirm something is not among `keys`."""

    app: KeydeckApp
    pilot: Pilot[None]
    keys: list[str] = field(default_factory=list)

    @property
    def screen(self) -> Screen[object]:
        return self.app.screen

    @property
    def page(self) -> IncidentScreen:
        assert isinstance(self.screen, IncidentScreen), self.text()
        return self.screen

    @property
    def view(self) -> IncidentView:
        view = self.page.view
        assert view is not None
        return view

    def text(self) -> str:
        return "\n".join("".join(s.text for s in strip) for strip in self.screen._compositor.render_strips())

    async def press(self, *keys: str) -> None:
        for key in keys:
            self.keys.append(key)
            await self.pilot.press(key)

    async def confirm(self, words: str) -> None:
        await self.pilot.press(*("space" if c == " " else c for c in words), "enter")

    async def until(self, true: Callable[[], object], what: str = "") -> None:
        try:
            async with asyncio.timeout(PATIENCE):
                while not true():
                    # Not at once again: others have work to do on this machine meanwhile.
                    await asyncio.sleep(0.05)
        except TimeoutError:
            raise AssertionError(f"Waited in vain {what}:\n{self.text()}") from None

    async def dialog(self, kind: type[Screen[object]], ready: str) -> None:
        await self.until(lambda: drawn(self.screen, kind, ready), f"for {kind.__name__}")

    # On the incident's page

    async def at(self, step: str) -> StepView:

        def ready() -> bool:
            screen = self.screen
            if not isinstance(screen, IncidentScreen) or screen.view is None:
                return False
            held, current = screen.step_in_hand, screen.view.current
            at_it = held is not None and current is not None and held.step.id == current.step.id == step
            return at_it and not self._running(step)

        await self.until(ready, f"for step {step}")
        return self.view.step(step)

    async def ended(self, step: str) -> StepView:

        def over() -> bool:
            if not isinstance(self.screen, IncidentScreen):
                return False
            if self.view.step(step).state.ended:
                return True
            outcome = runs_of(self.app.facts).outcomes.get((self.page.incident, step))
            trouble = outcome.trouble if outcome is not None else None
            assert trouble is None or self._running(step), f"{step}: {trouble}"
            return False

        await self.until(over, f"for the end of step {step}")
        return self.view.step(step)

    async def finish(self, step: str) -> StepView:
        await self.at(step)
        await self.press("enter")
        return await self.ended(step)

    async def agree(self, step: str) -> None:
        await self.at(step)
        await self.press("enter")
        await self.dialog(StepDialog, "#confirm")
        assert self.screen.focused is not self.screen.query_one("#confirm"), "one key away"
        if self.screen.query_one("#confirm", Button).disabled:
            dialog = self.screen
            assert isinstance(dialog, StepDialog)
            assert dialog._plan is not None
            await self.confirm(dialog._plan.confirmation)
        else:
            await self.press("right", "enter")
        await self.until(lambda: isinstance(self.screen, IncidentScreen), "for the page")
        await self.until(lambda: not self._running(step), f"for the action of step {step}")

    async def answer(self, step: str, choice: str) -> None:
        await self.at(step)
        await self.press("enter")
        await self.dialog(ChooseAnswer, "#choices")
        answers = self.screen.query_one("#choices", LineList)
        await self.until(lambda: answers.current is not None and self.screen.focused is answers)
        choices = [line.target for line in answers.written]
        way = choices.index(choice) - answers.cursor
        await self.press(*["down" if way > 0 else "up"] * abs(way), "enter")
        await self.ended(step)

    def seen(self, step: str) -> CheckResult | None:
        return self.page._seen.get(step) if isinstance(self.screen, IncidentScreen) else None

    async def write_report(self) -> str:
        await self.press("enter")
        await self.dialog(ReportDialog, "#path")
        await self.until(lambda: self.screen.focused is self.screen.query_one("#path"))
        await self.press("enter")
        await self.until(lambda: not self.screen.query_one("#write").display, "for the report")
        return self.text()

    def _running(self, step: str) -> bool:
        number = next((s.incident for s in self.app.screen_stack if isinstance(s, IncidentScreen)), 0)
        return (number, step) in runs_of(self.app.facts).running


@asynccontextmanager
async def operator(services: Services) -> AsyncIterator[Operator]:
    app = KeydeckApp(services)
    async with app.run_test(size=LARGE, notifications=True) as pilot:
        works = Operator(app, pilot)
        await works.until(lambda: app.facts.status.value is not None, "for the status")
        yield works


def put_under(
    engine: Engine, world: World, keyring: KmsKeyring, refs: Iterable[TokenRef], key: str | None = None
) -> None:
    """Store tokens of the world sealed anew, as the platform does when they are connected again.

    `engine` is the platform's, `key` None the keyring's own.
    """
    cipher = TokenCipher(keyring)
    for ref in refs:
        put(engine, ref, cipher.encrypt(world.token_for(ref), key, ref=ref).stored)


def connect(engine: Engine, sandbox: Sandbox, key: str, token: str) -> TokenRef:
    """Make a connection as the platform does that was started with this key: its role asks for a data key."""
    made = sandbox.client("kms", access_keys.PLATFORM).generate_data_key(KeyId=key, KeySpec="AES_256")
    envelope = EnvelopeV1.seal(Secret.of(token), DataKey(made["Plaintext"]), made["CiphertextBlob"])
    (ref,) = connect_slack(engine, serialise(envelope))
    return ref
