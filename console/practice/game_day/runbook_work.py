"""A scripted operator at a runbook: each step is done by its defaults, or skipped with the reason."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from threading import Event
from typing import TYPE_CHECKING, ClassVar

from console.capabilities import not_installed
from console.container import Container
from console.host.runners import GRACE_SECONDS
from console.lazy_services import if_made
from console.sandbox.audit_logs import ATLASSIAN_ORG
from console.sandbox.endpoint import ACCOUNT
from console.settings import load
from crypto_core.guard.consent import Consent, Danger, Subject
from crypto_core.incidents.model import StepView
from crypto_core.incidents.runbooks.catalogue import ActionKind, CheckKind
from crypto_core.incidents.steps.step_contracts import InputField
from crypto_core.keys.policy.least_privilege import Role
from crypto_core.values.cancellation import stop_if
from crypto_core.values.clean_text import clean
from crypto_core.values.counts import counted
from crypto_core.values.errors import InterruptedRunError, InvalidReferenceError, KeydeckError
from crypto_core.values.references import TokenRef, parse_reference
from crypto_core.values.secret import Secret

if TYPE_CHECKING:
    from console.sandbox.platform_part import PlatformPart
    from console.sandbox.sandbox import Sandbox
    from crypto_core.incidents.service import IncidentService
    from crypto_core.keys.changes.change import KeyChange
    from crypto_core.keys.changes.plan import ChangeResult

_MOST_STEPS = 200
_MOST_RUNS = 60
"""So often an action is run that does one token at a time."""
_BLOCKS = 3
_MOST_LINES = 6
_LOOKS = 3
_BETWEEN_LOOKS = 0.5
"""Seconds."""
_JOBS = ("job", "encrypt_job")
_LOGS = timedelta(days=8)
"""How far back providers' audit logs are fetched."""


class RunbookWork:
    """Works through runbooks with `container`'s services, made anew once the platform has another key."""

    SKIPS: ClassVar[bool] = True
    """Whether any step that fails is skipped with the reason, or only one that needs a missing capability."""

    def __init__(
        self,
        container: Container,
        sandbox: Sandbox,
        platform: PlatformPart,
        tell: Callable[[str], None],
        cancelled: Event | None = None,
    ) -> None:
        self.container = container
        self.sandbox = sandbox
        self.platform = platform
        self.tell = tell
        self._cancelled = cancelled
        self._new_key = ""

    @property
    def incidents(self) -> IncidentService:
        return self.container.services.incidents

    def work(self, number: int, outcome: str) -> None:
        """Do every step of an incident and close it. Raises KeydeckError, InterruptedRunError."""
        for _ in range(_MOST_STEPS):
            stop_if(self._cancelled)
            current = self.incidents.show(number).current
            if current is None:
                self.incidents.close(number, outcome)
                self.tell("The incident is closed.")
                return
            self.tell(f"{current.number}. {clean(current.step.title, 200)}")
            try:
                self.do_step(number, current)
            except KeydeckError as error:
                tools = (current.step.check, *current.step.captures)
                skips = self.SKIPS or any(not_installed(str(tool), "step") for tool in tools)
                if not skips or isinstance(error, InterruptedRunError):
                    raise
                self.tell(f"   not done: {clean(error.message, 300)}")
                if not self._ended(number, current):
                    self.incidents.skip(number, current.step.id, f"It goes on without: {error.message}")
            new_key = self.incidents.show(number).incident.values.get("new_key", "")
            if new_key and new_key != self._new_key:
                self._write_under(new_key)
        raise KeydeckError(f"The runbook has more than {_MOST_STEPS} steps.")

    def elsewhere(self, number: int, view: StepView) -> None:
        """Do what a step says that is done elsewhere, before its action and its check."""

    def do_step(self, number: int, view: StepView) -> None:
        step = view.step
        if step.choices:
            self.incidents.answer(number, step.id, step.undecided or step.choices[0])
            return
        self.elsewhere(number, view)
        # Whom the first block's events make a suspect is blocked with the next one.
        for _ in range(_BLOCKS if step.action is ActionKind.BLOCK_SUSPECTS else 1):
            if step.action is not None and not self._ended(number, view):
                self._act(number, view)
        if self._ended(number, view):
            return
        if step.check is CheckKind.PLATFORM_SWITCHED and self._new_key:
            self.platform.writes_under(self._new_key)
            self.platform.connect_account(self.container.keyring)
            self.sandbox.control.deliver()
            self.container.services.event_puller.pull_events("s3", cancelled=self._cancelled)
        if step.check is CheckKind.PROVIDER_EVENTS_COVERED:
            self._fetch_logs()
        self._finish(number, step.id, 1 if step.check is CheckKind.KEY_QUIET else _LOOKS)

    def close(self) -> None:
        """End the processes that steps have started, and the connections."""
        processes = if_made(self.container.tokens.processes)
        if processes is not None:
            processes.leave()
            processes.wait(GRACE_SECONDS)
        self.container.close()

    def _write_under(self, key_arn: str) -> None:
        settings = self.container.settings
        trusted = tuple(dict.fromkeys((*settings.trusted_keys, self.sandbox.world.current_key.arn)))
        self.close()
        self._new_key = key_arn
        self.container = Container(load({"write_key": key_arn, "trusted_keys": trusted}).settings)
        self.platform.writes_under(key_arn)

    def _ended(self, number: int, view: StepView) -> bool:
        return self.incidents.show(number).step(view.step.id).state.ended

    def _fetch_logs(self) -> None:
        puller = self.container.services.named("log_puller")
        if puller is None:
            return
        since = self.sandbox.world.now - _LOGS
        for provider, name in (("github", "all"), ("slack", ""), ("atlassian", ATLASSIAN_ORG)):
            token = Secret.of(self.container.settings.audit_token(provider))
            puller.pull(provider, name, token, since=since, cancelled=self._cancelled)

    def _finish(self, number: int, step: str, looks: int) -> None:
        for left in reversed(range(looks)):
            stop_if(self._cancelled)
            try:
                self.incidents.finish(number, step, cancelled=self._cancelled)
            except KeydeckError as error:
                if not left or isinstance(error, InterruptedRunError):
                    raise
                time.sleep(_BETWEEN_LOOKS)
            else:
                return

    def _act(self, number: int, view: StepView) -> None:
        """Run a step's action; where it does one token at a time, until it has nothing more to do."""
        step, cancelled = view.step.id, self._cancelled
        for run in range(_MOST_RUNS if view.step.action is ActionKind.ENTER_TOKEN else 1):
            inputs = self._inputs(number, step)
            plan = self.incidents.plan_action(number, step, inputs, cancelled=cancelled)
            result = self.incidents.run_action(number, step, plan, agreed(plan), inputs, cancelled=cancelled)
            self._tell_lines(result.lines, _MOST_LINES if run == 0 else 1)
            self._join(result.values)
            if result.complete or self._ended(number, view):
                return

    def _tell_lines(self, lines: Sequence[str], most: int) -> None:
        for line in lines[:most]:
            self.tell(f"   {clean(line, 200)}")
        more = len(lines) - most
        if more > 0:
            self.tell(f"   … and {counted(more, 'line')} more.")

    def _join(self, values: Mapping[str, str]) -> None:
        for name in _JOBS:
            if (job := values.get(name, "")).isdecimal():
                self.container.services.jobs.join_job(int(job), cancelled=self._cancelled)
                stop_if(self._cancelled)

    def _inputs(self, number: int, step: str) -> dict[str, str | Secret]:
        """Fill in what an action asks for: what it offers, or, where a token is asked for, a new one."""
        inputs: dict[str, str | Secret] = {}
        for _ in range(3):  # what is asked for may depend on what was entered
            fields = self.incidents.fields(number, step, inputs, cancelled=self._cancelled)
            missing = [field for field in fields if field.name not in inputs]
            if not missing:
                break
            for field in missing:
                inputs[field.name] = self._filled(field, inputs)
        return inputs

    def _filled(self, field: InputField, inputs: Mapping[str, str | Secret]) -> str | Secret:
        if field.secret:
            return self.platform.new_token(_reference_in(inputs))
        return field.proposed


def _reference_in(inputs: Mapping[str, str | Secret]) -> TokenRef | None:
    for value in inputs.values():
        if isinstance(value, str):
            try:
                ref = parse_reference(value)
            except InvalidReferenceError:
                continue
            if isinstance(ref, TokenRef):
                return ref
    return None


ROLES = {
    Role.ADMINISTRATOR: (f"arn:aws:iam::{ACCOUNT}:role/keydeck-deployment",),
    Role.PLATFORM: (f"arn:aws:iam::{ACCOUNT}:role/keydeck-platform",),
    Role.RESPONDER: (f"arn:aws:iam::{ACCOUNT}:role/keydeck-oncall",),
}
"""Whom keys are for. The account as a whole is not among them: its IAM policies let the intruder in."""


class MeasureFailedError(KeydeckError):
    """A measure had not the effect that it must have."""


def agreed(plan: Subject) -> Consent:
    """Return a consent to a plan, in the way that its danger demands."""
    return Consent.typed(plan, plan.confirmation) if plan.danger is Danger.TYPED else Consent.pressed(plan)


def change_key(container: Container, change: KeyChange, losing: int | None = None) -> ChangeResult:
    """Plan a change, agree to it, make it and read it back. Raises KeydeckError.

    With `losing` it costs so many tokens at most.
    """
    plan = container.services.key_changes.plan_change(change)
    lost = plan.tokens.at_most_known if plan.tokens is not None else 0
    if losing is not None and lost > losing:
        raise MeasureFailedError(f"{plan.title}: {counted(lost, 'token')} would be lost.")
    result = container.services.key_changes.make_change(plan, agreed(plan))
    if not result.verified:
        why = result.stopped_by or result.unverified or "its effect could not be confirmed"
        raise MeasureFailedError(f"{plan.title}: {why}")
    return result
