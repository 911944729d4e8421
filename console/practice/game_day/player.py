"""Somebody who has never seen the console: accepts every default, and types what a confirmation demands.

Declares an incident from the first finding in the list, and does what the runbook says. Of the scenario the
player knows what the briefing tells: the key in question, and which runbook fits.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from console.container import Container
from console.practice.game_day.runbook_work import RunbookWork
from console.practice.game_day.scenario import Act, Scenario
from console.practice.game_day.story_text import briefing_lines
from console.settings import load
from crypto_core.findings.finding import Finding
from crypto_core.incidents.model import IncidentScope, StepView
from crypto_core.incidents.runbooks.catalogue import ActionKind, CheckKind, SubjectKind
from crypto_core.values.counts import counted
from crypto_core.values.errors import InterruptedRunError, KeydeckError
from crypto_core.values.references import TokenRef, parse_reference
from screens.incidents.about import About, about_finding
from screens.signs import SIGNS

if TYPE_CHECKING:
    from console.practice.game_day.game import Game
    from console.practice.game_day.score import Score

PATIENCE = 600.0
"""Seconds that the intruder may take for its moves."""
_BASELINE = timedelta(days=10)
_WINDOW = timedelta(hours=26)
"""What is examined: the last day, and a little more, so that a night ago is inside at any hour."""
_DECLARES_KEY = "key-incident"
"""The step that says to declare an incident of the key."""
_KEY_COMPROMISE = "key-compromise"
_OUTCOME = "Played to its end by its defaults."


class Player(RunbookWork):
    def __init__(self, game: Game, tell: Callable[[str], None]) -> None:
        super().__init__(Container(load().settings), game.sandbox, game.platform, tell)
        self._game = game
        self._about = About()

    def play(self) -> Score:
        for line in briefing_lines(self._game.scenario):
            self.tell(line)
        self._game.begin(0)
        try:
            self._game.intruder.played.wait(PATIENCE)
            try:
                self._respond()
            except InterruptedRunError:
                raise
            except KeydeckError as error:
                self.tell(f"The runbook could not be worked through: {error}")
            self.tell("")
            return self._game.finish(self.container.services.incidents)
        finally:
            self.close()

    def _respond(self) -> None:
        self.tell("── What CloudTrail shows")
        scenario = self._game.scenario
        try:
            self._look(scenario)
        except InterruptedRunError:
            raise
        except KeydeckError as error:
            self.tell(f"The events could not be examined: {error}")
        self.tell("── The runbook")
        self._declare_and_work(scenario.runbook, scenario.title)

    def _look(self, scenario: Scenario) -> None:
        """Fetch the events, and tell the first finding and those that concern the intruder."""
        services, now = self.container.services, datetime.now(UTC)
        self.sandbox.control.deliver()
        report = services.event_puller.pull_events("s3", since=now - _BASELINE)
        self.tell(f"{counted(report.new, 'event')} from the trail's bucket.")
        if any(move.act is Act.BLIND for move in scenario.moves):
            # A trail that was stopped delivers nothing; CloudTrail's event history goes on.
            report = services.event_puller.pull_events("lookup", since=now - timedelta(minutes=30))
            self.tell(f"{counted(report.new, 'event')} more from CloudTrail's event history.")
        found = services.trail_rules.examine_events(now - _WINDOW).findings
        if found:
            self._about = about_finding(found[0])
        for finding in found:
            if finding is found[0] or concerns(finding, scenario):
                self.tell(f"{SIGNS[finding.severity].text} {finding.severity.value:8} {finding.title}")
        if missed := set(scenario.findings) - {finding.rule for finding in found}:
            self.tell(f"Not found by the rules: {', '.join(sorted(missed))}")

    def _declare_and_work(self, runbook: str, title: str) -> None:
        # `declare` refuses a runbook that isn't there, and says what there is.
        about = (one.subject for one in self.incidents.runbooks() if one.id == runbook)
        subject = next(about, SubjectKind.KEY)
        number = self.incidents.declare(runbook, self._scope(subject), title)
        self.tell(f"Declared {self.incidents.show(number).incident.name} by the runbook {runbook}.")
        self.work(number, _OUTCOME)

    def _scope(self, subject: SubjectKind) -> IncidentScope:
        """What the dialog fills in from the finding; where that names no key, the briefing's."""
        scope = self._about.scope(subject)
        if subject is SubjectKind.KEY and not scope.key:
            return replace(scope, key=self.sandbox.world.current_key.arn)
        if subject is SubjectKind.TOKENS and not (scope.references or scope.filter):
            # CloudTrail doesn't name v1 tokens, so the principal may have opened any: all are in scope.
            return replace(scope, filter="reference:*")
        return scope

    def elsewhere(self, number: int, view: StepView) -> None:
        """Let owners revoke tokens at their providers; declare the key's incident where a step says so."""
        incident = self.incidents.show(number).incident
        if view.step.check is CheckKind.TOKENS_DEAD and view.step.action is ActionKind.ASK_LIVENESS:
            refs = map(parse_reference, incident.scope.references)
            self.platform.revoke_as_owners([ref for ref in refs if isinstance(ref, TokenRef)])
        if view.step.id == _DECLARES_KEY:
            self._declare_and_work(_KEY_COMPROMISE, f"Comes from {incident.name}")


def concerns(finding: Finding, scenario: Scenario) -> bool:
    """Return whether a finding names one of the intruder's identities."""
    return any(
        named in text
        for persona in scenario.personas
        for named in (persona.arn, f"{persona.kind}/{persona.name}")
        for text in (finding.subject, finding.title, finding.evidence)
    )
