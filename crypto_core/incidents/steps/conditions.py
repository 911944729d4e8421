"""Which steps an answer makes needed, and which not: no answer is none, however its decision ended."""

from __future__ import annotations

from collections.abc import Iterator

from crypto_core.incidents.model import StandsAt, StepState
from crypto_core.incidents.runbooks.runbook import Runbook, RunbookStep
from crypto_core.values.clean_text import clean
from crypto_core.values.errors import RefusedError


def consequences(runbook: Runbook, decided: str, stands: StandsAt) -> Iterator[tuple[RunbookStep, StepState]]:
    """Yield the steps that change with a decision, and their new state: TODO or NOT_NEEDED.

    What was begun or done stays what it is; a decision that was skipped leaves open what hangs on it: nobody
    said that it isn't needed.
    """
    for step in runbook.steps:
        conditions = runbook.conditions_of(step.id)
        before = StepState(stands(step.id).state)
        if decided not in {condition.step for condition in conditions}:
            continue
        if before not in (StepState.TODO, StepState.NOT_NEEDED):
            continue
        unneeded = any(stands(c.step).answer not in ("", c.answer) for c in conditions)
        after = StepState.NOT_NEEDED if unneeded else StepState.TODO
        if after is not before:
            yield step, after


def require_decided(runbook: Runbook, number: int, step_id: str, stands: StandsAt) -> None:
    """Raise RefusedError, naming the decision, unless every decision that a step hangs on was made for it."""
    steps = {step.id: step for step in runbook.steps}
    for condition in runbook.conditions_of(step_id):
        decision, at = steps[condition.step], stands(condition.step)
        if at.answer == condition.answer:
            continue
        how = f"was answered {clean(at.answer, 60)!r}" if at.answer else f"is {_undecided(at.state)}"
        raise RefusedError(
            f"Step {step_id} of INC-{number} is done only after the answer {condition.answer!r} "
            f"to step {decision.id}, which {how}.",
            remedy=(
                f"Decide first: keydeck incident next {number} --step {decision.id} --answer CHOICE; "
                f"choices: {', '.join(decision.choices)}."
                if not at.answer
                else f"If that has changed, reopen step {decision.id} with a reason and answer it again."
            ),
        )


def _undecided(state: str) -> str:
    return "not decided: it was skipped" if state == StepState.SKIPPED else "not decided yet"
