"""The incident that the demo opens on: one leaked token, revoked, replaced and proved dead.

It is worked through while the sandbox starts, by the services that the console works with: every call,
proof and piece of evidence in its report is real.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from threading import Event
from typing import TYPE_CHECKING

from console.game_day.measures import agreed
from console.sandbox.provider_tokens import Style
from crypto_core.cancelling import stop_if
from crypto_core.errors import RefusedError
from crypto_core.incidents.model import IncidentScope, StepView
from crypto_core.keys.changes.change import ChangeKind, KeyChange
from crypto_core.secret import Secret

if TYPE_CHECKING:
    from console.container import Container
    from console.game_day.platform_part import PlatformPart
    from console.sandbox.world import World
    from crypto_core.incidents.service import IncidentService
    from crypto_core.references import TokenRef

TITLE = "A GitHub token in a support ticket"
OUTCOME = "The token was revoked and replaced before anybody used it; its key was rotated."
_SINCE = timedelta(hours=1)
_WEEK = timedelta(days=7)
_NOTES = {
    "scope": "A customer pasted the token into a support ticket. Support saw it, nobody else.",
    "access": "The ticket is deleted. Nobody but the platform and the console called Decrypt since.",
}
_ANSWERS = {"key": "rotate the key"}


@dataclass(frozen=True, slots=True)
class ClosedIncident:
    """Declares the incident and works through its runbook. Raises KeydeckError."""

    container: Container
    world: World
    platform: PlatformPart

    def declare(self) -> int:
        """Declare it and return its number."""
        scope = IncidentScope(
            references=(str(self._leaked()),),
            since=self.world.now - _SINCE,
            origin="support ticket 4711",
        )
        return self._incidents.declare("token-compromise", scope, TITLE)

    def work(self, number: int, cancelled: Event) -> None:
        """Do every step and close it. Raises InterruptedRunError once `cancelled` is set."""
        for view in self._steps(number):
            stop_if(cancelled)
            self._do(number, view, cancelled)
        self._incidents.close(number, OUTCOME)

    def _steps(self, number: int) -> Iterator[StepView]:
        """Yield one step after another, each once the one before has ended."""
        for _ in self._incidents.show(number).steps:
            current = self._incidents.show(number).current
            if current is not None:
                yield current

    def _do(self, number: int, view: StepView, cancelled: Event) -> None:
        incidents, step = self._incidents, view.step
        if step.id in _NOTES:
            incidents.note(number, _NOTES[step.id], step.id)
        if step.id in _ANSWERS:
            incidents.answer(number, step.id, _ANSWERS[step.id])
            return
        if step.id == "rotate":
            self._rotate()
        if step.id == "use":
            self._fetch_logs(cancelled)
        if step.id == "enter":
            # The owner connects again through the platform: the best way, as the step says.
            self.platform.reconnect((self._leaked(),), self.container.keyring)
        elif step.action is not None:
            plan = incidents.plan_action(number, step.id, cancelled=cancelled)
            incidents.run_action(number, step.id, plan, agreed(plan), cancelled=cancelled)
        if not incidents.show(number).step(step.id).state.ended:
            incidents.finish(number, step.id, cancelled=cancelled)

    def _fetch_logs(self, cancelled: Event) -> None:
        """Fetch GitHub's audit log of the last week."""
        from crypto_core.provider_logs.pulling import LogPuller

        settings = self.container.settings
        token = Secret.of(settings.audit_token("github"))
        puller = LogPuller(self.container.token_uses.log, settings.endpoints)
        puller.pull("github", "all", token, since=self.world.now - _WEEK, cancelled=cancelled)

    def _rotate(self) -> None:
        changes = self.container.key_changes
        plan = changes.plan_change(KeyChange(ChangeKind.ROTATE, self.world.current_key.arn))
        changes.make_change(plan, agreed(plan))

    def _leaked(self) -> TokenRef:
        """A GitHub token of a person that opens, so that its provider can be asked about it."""
        key = self.world.current_key.arn
        for token in self.world.tokens.values():
            if token.style is Style.GITHUB_USER and token.key_arn == key and token.corruption is None:
                return token.ref
        raise RefusedError("There is no GitHub token of a person that opens.")

    @property
    def _incidents(self) -> IncidentService:
        incidents = self.container.services.incidents
        if incidents is None:
            raise RefusedError("Incidents can't be kept here.")
        return incidents
