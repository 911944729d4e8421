"""The scripted responder at a runbook: every step is done, decided, or skipped with a reason."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING

from console.game_day.measures import Measures, agreed
from console.game_day.scenario import Scenario
from console.sandbox.audit_logs import ATLASSIAN_ORG, AUDIT_TOKEN
from crypto_core.errors import InvalidReferenceError, KeydeckError
from crypto_core.incidents.model import IncidentScope, StepView
from crypto_core.incidents.runbooks.catalogue import ActionKind, CheckKind, SubjectKind
from crypto_core.incidents.runbooks.runbook import Runbook
from crypto_core.incidents.steps.step_contracts import InputField
from crypto_core.provider_logs.pulling import LogPuller
from crypto_core.references import TokenRef, parse_reference
from crypto_core.secret import Secret
from crypto_core.text.cleaning import clean
from crypto_core.text.counting import counted

if TYPE_CHECKING:
    from console.game_day.game import Game
    from console.game_day.platform_part import PlatformPart
    from crypto_core.incidents.service import IncidentService

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
    """Declares an incident and works through its runbook with the services' `incidents`."""

    def __init__(
        self,
        game: Game,
        measures: Measures,
        platform: PlatformPart,
        tell: Callable[[str], None],
        answers: Sequence[str] | None = None,
    ) -> None:
        """`answers` are given where the runbook asks, else its default; None for the scenario's."""
        self._game = game
        self._measures = measures
        self._platform = platform
        self._tell = tell
        self._answers = game.scenario.answers if answers is None else answers

    def declare(self) -> int | None:
        """Declare an incident and return its number; None, after saying why, if that can't be done."""
        incidents = self._incidents
        if incidents is None:
            self._tell("Incidents can't be kept here: none is declared.")
            return None
        try:
            return self._declare(incidents)
        except KeydeckError as error:
            self._tell(f"No incident could be declared: {error}")
            return None

    def work(self, number: int) -> None:
        """Work through an incident's runbook, and print any trouble."""
        try:
            self._work_through(number)
        except KeydeckError as error:
            self._tell(f"The runbook could not be worked through: {error}")

    @property
    def _incidents(self) -> IncidentService | None:
        return self._measures.container.services.incidents

    @property
    def _at_work(self) -> IncidentService:
        incidents = self._incidents
        if incidents is None:
            raise KeydeckError("Incidents can't be kept any more.")
        return incidents

    def _declare(self, incidents: IncidentService) -> int:
        runbook = fitting(incidents.runbooks(), self._game.scenario)
        number = incidents.declare(runbook.id, self.scope(runbook), self._game.scenario.title)
        self._tell(f"Declared {incidents.show(number).incident.name} by the runbook {clean(runbook.title)}.")
        return number

    def by_hand(self, number: int) -> None:
        """Let owners revoke, at their providers, what no call revokes."""
        self._measures.revoke_by_hand()

    def before_finishing(self, number: int, view: StepView) -> None:
        """Do what a step says that is done elsewhere."""

    def scope(self, runbook: Runbook) -> IncidentScope:
        """Return what the incident is declared about."""
        origin = f"game day {self._game.scenario.id}"
        if runbook.subject is SubjectKind.KEY:
            return IncidentScope(key=self._game.sandbox.world.current_key.arn, origin=origin)
        opened = sorted(self._game.intruder.tokens or self._game.intruder.seals)
        return IncidentScope(references=tuple(str(ref) for ref in opened), origin=origin)

    def _work_through(self, number: int) -> None:
        for _ in range(_MOST_STEPS):
            current = self._at_work.show(number).current
            if current is None:
                self._at_work.close(number, "Played to its end by the scripted responder.")
                self._tell("The incident is closed.")
                return
            self._tell(f"{current.number}. {clean(current.step.title, 200)}")
            self._step(number, current)
            self._follow_the_key(number)
        raise KeydeckError(f"The runbook has more than {_MOST_STEPS} steps.")

    def _step(self, number: int, view: StepView) -> None:
        """Do one step; what can't be done is skipped, with what stood in the way as its reason."""
        step, incidents = view.step, self._at_work
        try:
            if step.choices:
                wanted = (c for c in step.choices if c in self._answers)
                incidents.answer(number, step.id, next(wanted, step.undecided or step.choices[0]))
                return
            if step.check is CheckKind.TOKENS_DEAD and step.action is ActionKind.ASK_LIVENESS:
                self.by_hand(number)
            # Whom the first block's events make a suspect is blocked with the next one.
            for _ in range(_BLOCKS if step.action is ActionKind.BLOCK_SUSPECTS else 1):
                if step.action is not None and not incidents.show(number).step(step.id).state.ended:
                    self._act(number, view)
            if incidents.show(number).step(step.id).state.ended:
                return
            if step.check is CheckKind.PLATFORM_SWITCHED and self._measures.new_key:
                self._platform.writes_under(self._measures.new_key)
                self._platform.connect_account(self._measures.container.keyring)
                self._game.sandbox.control.deliver()
                self._measures.container.services.event_puller.pull_events("s3")
            if step.check is CheckKind.PROVIDER_EVENTS_COVERED:
                self._fetch_logs()
            self.before_finishing(number, view)
            self._finish(number, step.id, 1 if step.check is CheckKind.KEY_QUIET else _LOOKS)
        except KeydeckError as error:
            self._tell(f"   not done: {clean(error.message, 300)}")
            if not incidents.show(number).step(step.id).state.ended:
                incidents.skip(number, step.id, f"The game continues without it: {error.message}")

    def _fetch_logs(self) -> None:
        """Fetch the audit logs of all providers."""
        container = self._measures.container
        puller = LogPuller(container.token_uses.log, container.settings.endpoints)
        since = self._game.sandbox.world.now - _LOGS
        for provider, name in (("github", "all"), ("slack", ""), ("atlassian", ATLASSIAN_ORG)):
            puller.pull(provider, name, Secret.of(AUDIT_TOKEN), since=since)

    def _finish(self, number: int, step: str, looks: int) -> None:
        for left in reversed(range(looks)):
            try:
                self._at_work.finish(number, step)
            except KeydeckError:
                if not left:
                    raise
                time.sleep(_BETWEEN_LOOKS)
            else:
                return

    def _act(self, number: int, view: StepView) -> None:
        """Run a step's action; where it does one token at a time, until it has nothing more to do."""
        incidents, step = self._at_work, view.step.id
        for run in range(_MOST_RUNS if view.step.action is ActionKind.ENTER_TOKEN else 1):
            inputs = self._inputs(incidents, number, step)
            plan = incidents.plan_action(number, step, inputs)
            result = incidents.run_action(number, step, plan, agreed(plan), inputs)
            self._tell_lines(result.lines, _MOST_LINES if run == 0 else 1)
            self._join(result.values)
            if result.complete or incidents.show(number).step(step).state.ended:
                return

    def _tell_lines(self, lines: Sequence[str], most: int) -> None:
        for line in lines[:most]:
            self._tell(f"   {clean(line, 200)}")
        more = len(lines) - most
        if more > 0:
            self._tell(f"   … and {counted(more, 'line')} more.")

    def _join(self, values: Mapping[str, str]) -> None:
        """Work on the job that an action has made, until it has ended."""
        jobs = self._measures.container.services.jobs
        for name in _JOBS:
            job = values.get(name, "")
            if jobs is not None and job.isdecimal():
                jobs.join_job(int(job))

    def _inputs(self, incidents: IncidentService, number: int, step: str) -> dict[str, str | Secret]:
        """Fill in what an action asks for: what it offers, or, where a token is asked for, a new one."""
        inputs: dict[str, str | Secret] = {}
        for _ in range(3):  # what is asked for may depend on what was entered
            missing = [f for f in incidents.fields(number, step, inputs) if f.name not in inputs]
            if not missing:
                break
            for field in missing:
                inputs[field.name] = self._filled(field, inputs)
        return inputs

    def _filled(self, field: InputField, inputs: Mapping[str, str | Secret]) -> str | Secret:
        if field.secret:
            return self._platform.new_token(_reference_in(inputs))
        return field.default or (field.choices[0][0] if field.choices and not field.several else "")

    def _follow_the_key(self, number: int) -> None:
        """Once the incident has a new key, the platform and the console are switched to it."""
        new_key = self._at_work.show(number).incident.values.get("new_key", "")
        if new_key and new_key != self._measures.new_key:
            self._measures.write_under(new_key)


def fitting(runbooks: tuple[Runbook, ...], scenario: Scenario) -> Runbook:
    """Return the scenario's runbook, else one about the same kind of subject. Raises KeydeckError."""
    for runbook in runbooks:
        if runbook.id == scenario.runbook:
            return runbook
    about = SubjectKind.TOKENS if scenario.runbook == "token-compromise" else SubjectKind.KEY
    for runbook in runbooks:
        if runbook.subject is about:
            return runbook
    raise KeydeckError(f"There is no runbook for {scenario.id}.", remedy="Add one about the same subject.")


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
