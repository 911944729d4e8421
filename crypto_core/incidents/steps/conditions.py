"""Which steps an answer makes needed, and which not."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from crypto_core.database.state.incident_changes import StepRow
from crypto_core.incidents.model import StepState
from crypto_core.incidents.runbooks.runbook import Runbook, RunbookStep


def consequences(
    runbook: Runbook, decided: str, row: Callable[[str], StepRow]
) -> Iterator[tuple[RunbookStep, StepState]]:
    """Yield the steps that change with a decision, and their new state: TODO or NOT_NEEDED.

    `row` gives where each step stands, the decided one as it stands now. What was begun or done stays what it
    is; a decision that was skipped leaves open what hangs on it: nobody said that it isn't needed.
    """
    states: dict[str, StepState] = {}

    def state(step_id: str) -> StepState:
        return states.get(step_id, StepState(row(step_id).state))

    touched = {decided}
    for step in runbook.steps:
        condition = step.only_if
        if condition is None or condition.step not in touched:
            continue
        touched.add(step.id)
        before = state(step.id)
        if before not in (StepState.TODO, StepState.NOT_NEEDED):
            continue
        above = state(condition.step)
        answered = above is StepState.DONE
        unmet = answered and row(condition.step).answer != condition.answer
        after = StepState.NOT_NEEDED if unmet or above is StepState.NOT_NEEDED else StepState.TODO
        if after is not before:
            states[step.id] = after
            yield step, after
