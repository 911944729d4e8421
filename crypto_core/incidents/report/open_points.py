"""What a reader of the report has to know that isn't well: left, left out, not proved, or not known."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from crypto_core.findings.severity import Severity
from crypto_core.incidents.model import CheckState, IncidentView, StepState, StepView
from crypto_core.incidents.report.exhibits import Exhibit
from crypto_core.incidents.report.parts import OpenPoint, TokensPart
from crypto_core.incidents.steps.evidence_sanitising import joined
from crypto_core.text.counting import counted

BY_HAND_SHOWN = 100
"""Tokens that are named one by one; the rest is counted."""

_OF_CHECK = {
    CheckState.FAILED: Severity.HIGH,
    CheckState.UNKNOWN: Severity.MEDIUM,
    CheckState.NOT_YET: Severity.MEDIUM,
}


def of_steps(view: IncidentView) -> Iterator[OpenPoint]:
    """Steps that are open, were skipped, or ended without their proof."""
    not_begun = [step for step in view.steps if step.state is StepState.TODO]
    if not_begun:
        named = "; ".join(f"{step.number}, {step.step.title}" for step in not_begun)
        yield OpenPoint(Severity.LOW, f"{counted(len(not_begun), 'step')} not begun", named)
    for step in view.steps:
        about = f"Step {step.number}, {step.step.title}"
        if step.state is StepState.SKIPPED:
            yield OpenPoint(Severity.MEDIUM, about, f"Skipped: {step.reason or 'no reason given'}")
        elif step.state is StepState.BEGUN:
            why = f": {step.trouble}" if step.trouble else "."
            yield OpenPoint(Severity.LOW, about, f"Begun, not ended{why}")
        elif step.state is StepState.DONE and step.step.check is not None:
            yield from _unproved(step, about)


def _unproved(step: StepView, about: str) -> Iterator[OpenPoint]:
    why = f" Reason given: {step.reason}" if step.reason else ""
    if step.check is None:
        yield OpenPoint(Severity.MEDIUM, about, f"Ended without its check.{why}")
    elif not step.check.passed:
        said = joined(step.check.lines)
        yield OpenPoint(_OF_CHECK[step.check.state], about, f"Check: {step.check.state.value}. {said}{why}")


def of_evidence(exhibits: Iterable[Exhibit]) -> Iterator[OpenPoint]:
    """Evidence that is not what was captured, or doesn't cover all."""
    for exhibit in exhibits:
        piece = exhibit.evidence
        about = f"Evidence {piece.id}, {piece.title}"
        if not exhibit.agrees:
            yield OpenPoint(Severity.CRITICAL, about, exhibit.trouble)
        elif exhibit.trouble:
            yield OpenPoint(Severity.MEDIUM, about, exhibit.trouble)
        for gap in exhibit.gaps:
            yield OpenPoint(Severity.MEDIUM, about, f"Not whole: {gap}")


def of_tokens(tokens: TokensPart, by_hand: Mapping[str, str]) -> Iterator[OpenPoint]:
    """Tokens that are alive, of which nothing is known, or that a person has to revoke."""
    if tokens.alive:
        verb = "is" if tokens.alive == 1 else "are"
        yield OpenPoint(Severity.HIGH, "Tokens", f"{counted(tokens.alive, 'token')} {verb} still alive.")
    if tokens.not_known:
        unknown = f"Of {counted(tokens.not_known, 'token')} nobody has said whether it is alive."
        yield OpenPoint(Severity.MEDIUM, "Tokens", unknown)
    for reference, how in sorted(by_hand.items())[:BY_HAND_SHOWN]:
        yield OpenPoint(Severity.HIGH, reference, f"To be revoked by hand: {how or 'how was not recorded'}")
    more = len(by_hand) - BY_HAND_SHOWN
    if more > 0:
        yield OpenPoint(Severity.HIGH, "Tokens", f"{counted(more, 'more token')} to be revoked by hand.")
