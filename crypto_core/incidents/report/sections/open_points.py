"""What a reader of the report has to know that isn't well: left, left out, not proved, or not known."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import ClassVar, Self

from crypto_core.findings.finding import Severity
from crypto_core.incidents.model import CheckState, IncidentView, StepState, StepView
from crypto_core.incidents.report.exhibits import Exhibit
from crypto_core.incidents.report.section import ReportSection, Signed, Sources
from crypto_core.incidents.report.sections.actions import ActionsSection
from crypto_core.incidents.report.sections.harm import LossesSection
from crypto_core.incidents.report.sections.tokens import TokensSection, said_of
from crypto_core.incidents.steps.evidence_text import joined
from crypto_core.lists.tone import Tone
from crypto_core.reports.cells import Cell, ShownSection, table
from crypto_core.values.counts import counted

BY_HAND_SHOWN = 100
"""Tokens that are named one by one; the rest is counted."""

_OF_CHECK = {
    CheckState.PASSED: Severity.NONE,
    CheckState.FAILED: Severity.HIGH,
    CheckState.UNKNOWN: Severity.MEDIUM,
    CheckState.NOT_YET: Severity.MEDIUM,
}

_SEVERITY_TONE = {
    Severity.CRITICAL: Tone.BAD,
    Severity.HIGH: Tone.BAD,
    Severity.MEDIUM: Tone.WARNING,
    Severity.LOW: Tone.QUIET,
    Severity.NONE: Tone.QUIET,
}


@dataclass(frozen=True, slots=True)
class ReportPoint:
    """What is left, was left out, or can't be known."""

    severity: Severity
    about: str
    text: str


@dataclass(frozen=True, slots=True)
class OpenPointsSection(ReportSection):
    PLACE: ClassVar = 20
    WIDTHS: ClassVar = """\
#open-points th:nth-child(1) { width: 5.5rem; }
#open-points th:nth-child(2) { width: 30%; }
"""
    open_points: tuple[ReportPoint, ...]

    @classmethod
    def read(cls, sources: Sources) -> Self:
        points = [*_of_steps(sources.view), *_of_evidence(sources.exhibits), *_of_tokens(sources)]
        points += [ReportPoint(Severity.HIGH, "Journal", remark) for remark in sources.remarks]
        if more := sources.section(ActionsSection).actions_left_out:
            left_out = f"{more:,} entries from this period, which don't name the incident, are left out."
            points.append(ReportPoint(Severity.LOW, "Journal", left_out))
        return cls(tuple(sorted(points, key=lambda point: point.severity.rank)))

    def show(self, signed: Signed) -> ShownSection:
        rows = (
            (Cell(point.severity.value, _SEVERITY_TONE[point.severity]), point.about, point.text)
            for point in self.open_points
        )
        return ShownSection(
            "open-points",
            "Open points",
            tables=(table("Open points", "Severity|About|What", rows, "No open points."),),
        )


def _of_steps(view: IncidentView) -> Iterator[ReportPoint]:
    not_begun = [step for step in view.steps if step.state is StepState.TODO]
    if not_begun:
        named = "; ".join(f"{step.number}, {step.step.title}" for step in not_begun)
        yield ReportPoint(Severity.LOW, f"{counted(len(not_begun), 'step')} not begun", named)
    for step in view.steps:
        about = f"Step {step.number}, {step.step.title}"
        if step.state is StepState.SKIPPED:
            yield ReportPoint(Severity.MEDIUM, about, f"Skipped: {step.reason or 'no reason given'}")
        elif step.state is StepState.BEGUN:
            why = f": {step.trouble}" if step.trouble else "."
            yield ReportPoint(Severity.LOW, about, f"Begun, not ended{why}")
        elif step.state is StepState.DONE and step.step.check is not None:
            yield from _unproved(step, about)


def _unproved(step: StepView, about: str) -> Iterator[ReportPoint]:
    why = f" Reason given: {step.reason}" if step.reason else ""
    if step.check is None:
        yield ReportPoint(Severity.MEDIUM, about, f"Ended without its check.{why}")
    elif not step.check.passed:
        said = joined(step.check.lines)
        yield ReportPoint(_OF_CHECK[step.check.state], about, f"Check: {step.check.state.value}. {said}{why}")


def _of_evidence(exhibits: Iterable[Exhibit]) -> Iterator[ReportPoint]:
    for exhibit in exhibits:
        piece = exhibit.evidence
        about = f"Evidence {piece.id}, {piece.title}"
        if not exhibit.agrees:
            yield ReportPoint(Severity.CRITICAL, about, exhibit.trouble)
        elif exhibit.trouble:
            yield ReportPoint(Severity.MEDIUM, about, exhibit.trouble)
        for gap in exhibit.gaps:
            yield ReportPoint(Severity.MEDIUM, about, f"Not whole: {gap}")


def _of_tokens(sources: Sources) -> Iterator[ReportPoint]:
    if given_up := sources.section(LossesSection).accepted_losses:
        number = counted(len(given_up), "token")
        lost = f"{number} can't be opened by anybody: accepted as unrecoverable. Their owners connect again."
        yield ReportPoint(Severity.HIGH, "Tokens", lost)
    tokens, (_, by_hand) = sources.section(TokensSection).tokens, said_of(sources.exhibits)
    if tokens.alive:
        verb = "is" if tokens.alive == 1 else "are"
        yield ReportPoint(Severity.HIGH, "Tokens", f"{counted(tokens.alive, 'token')} {verb} still alive.")
    if tokens.not_known:
        unknown = f"{counted(tokens.not_known, 'token')}: whether alive is not known."
        yield ReportPoint(Severity.MEDIUM, "Tokens", unknown)
    for reference, how in sorted(by_hand.items())[:BY_HAND_SHOWN]:
        yield ReportPoint(Severity.HIGH, reference, f"To be revoked by hand: {how or 'how was not recorded'}")
    more = len(by_hand) - BY_HAND_SHOWN
    if more > 0:
        yield ReportPoint(Severity.HIGH, "Tokens", f"{counted(more, 'more token')} to be revoked by hand.")
