"""The scripted responder: plays a scenario's proper response as text, without a terminal."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from console.game_day.measures import Measures
from console.game_day.runbook_work import RunbookWork
from console.game_day.scenario import Act, End, Scenario
from console.game_day.story_text import briefing_lines
from crypto_core.errors import KeydeckError
from crypto_core.findings.finding import Finding
from crypto_core.text.counting import counted
from screens.signs import SIGNS

if TYPE_CHECKING:
    from console.container import Container
    from console.game_day.game import Game
    from console.game_day.score import Score

PATIENCE = 600.0
"""Seconds that the intruder may take for its moves."""
_BASELINE = timedelta(days=10)
_WINDOW = timedelta(hours=26)
"""What is examined: the last day, and a little more, so that a night ago is inside at any hour."""


class Player:
    """Plays one game. `tell` gets each line of the story."""

    def __init__(self, game: Game, tell: Callable[[str], None]) -> None:
        self._game = game
        self._tell = tell
        self._platform = game.platform
        self._measures = Measures(game, self._platform, tell)

    def play(self) -> Score:
        """Let the intruder make its moves, respond, and return the score. Raises DatabaseError."""
        for line in briefing_lines(self._game.scenario):
            self._tell(line)
        self._game.begin(0)
        try:
            self._game.intruder.played.wait(PATIENCE)
            self._respond()
            self._tell("")
            return self._game.finish(self._measures.container.services.incidents)
        finally:
            self._measures.close()

    def _respond(self) -> None:
        raise NotImplementedError


class Responder(Player):
    """Responds properly: what the rules find, the runbook, and whatever end is not reached by then."""

    def _respond(self) -> None:
        self._head("What CloudTrail shows")
        self._notice()
        runbook = RunbookWork(self._game, self._measures, self._platform, self._tell)
        incident = runbook.declare()
        self._head("Measures")
        # First of all: while the intruder gets in, whatever else is done is lost to it again.
        self._reach(End.SHUT_OUT)
        if incident is not None:
            self._head("The runbook")
            runbook.work(incident)
            self._head("What is left")
        for end in self._game.scenario.ends:
            if end is not End.SHUT_OUT:
                self._reach(end)

    def _reach(self, end: End) -> None:
        try:
            self._measures.reach(end)
        except KeydeckError as error:
            self._tell(f"{end.value}: {error}")

    def _head(self, title: str) -> None:
        self._tell("")
        self._tell(f"── {title}")

    def _notice(self) -> None:
        try:
            found = self.findings()
        except KeydeckError as error:
            self._tell(f"The events could not be fetched: {error}")
            return
        for finding in found:
            self._tell(f"{SIGNS[finding.severity].text} {finding.severity.value:8} {finding.title}")
        missed = set(self._game.scenario.findings) - {finding.rule for finding in found}
        if missed:
            self._tell(f"Not found by the rules: {', '.join(sorted(missed))}")

    def findings(self) -> tuple[Finding, ...]:
        """Return what the rules find about the intruder. Raises KmsError, TrailError."""
        found = noticed(self._game, self._measures.container, self._tell)
        return tuple(finding for finding in found if concerns(finding, self._game.scenario))


def noticed(game: Game, container: Container, tell: Callable[[str], None]) -> tuple[Finding, ...]:
    """Fetch the events, and return all that the rules find, in their order. Raises KmsError, TrailError."""
    services, now = container.services, datetime.now(UTC)
    game.sandbox.control.deliver()
    report = services.event_puller.pull_events("s3", since=now - _BASELINE)
    tell(f"{counted(report.new, 'event')} from the trail's bucket.")
    if any(move.act is Act.BLIND for move in game.scenario.moves):
        # A trail that was stopped delivers nothing; CloudTrail's event history goes on.
        report = services.event_puller.pull_events("lookup", since=now - timedelta(minutes=30))
        tell(f"{counted(report.new, 'event')} more from CloudTrail's event history.")
    return tuple(services.trail_rules.examine_events(now - _WINDOW).findings)


def concerns(finding: Finding, scenario: Scenario) -> bool:
    """Return whether a finding names one of the intruder's identities."""
    return any(
        named in text
        for persona in scenario.personas
        for named in (persona.arn, f"{persona.kind}/{persona.name}")
        for text in (finding.subject, finding.title, finding.evidence)
    )
