"""What Enter does on a step, and its label."""

from __future__ import annotations

from crypto_core.incidents.model import IncidentState, IncidentView, StepState, StepView


def next_thing(view: IncidentView, step: StepView, *, failed: bool, proved: bool) -> str:
    """Return the action for a step: its id, or "incident.go" to go to the step that is to be done now.

    A step that waits for a decision leads to that, "incident.decision"; a skipped decision can be made yet.
    `failed` is whether the last call for it ended in trouble, left a part undone, or waits for approval;
    `proved` whether its check passed when it was last looked at.
    """
    if view.incident.state is IncidentState.CLOSED:
        return "incident.report"
    if view.undecided(step) is not None:
        return "incident.decision"
    if step.state.ended:
        if step.state is StepState.SKIPPED and step.step.choices and view.left_undecided:
            return "incident.answer"
        return "incident.go" if view.current is not None else "incident.close"
    # What an action left to a job is done once the check says so, whatever the action itself came to.
    acted = step.state is StepState.BEGUN and (proved or not (failed or step.trouble))
    if step.step.action is not None and not acted:
        return "incident.act"
    if step.step.choices and not step.answer:
        return "incident.answer"
    return "incident.finish"


def hint(
    view: IncidentView, step: StepView, *, running: bool, failed: bool, proved: bool, read_only: bool = False
) -> str:
    """Return what Enter does on a step, and what else can be done there; see `next_thing`."""
    if running:
        return "Running. It continues if you leave this page; X stops it."
    thing = next_thing(view, step, failed=failed, proved=proved)
    if read_only and thing not in ("incident.report", "incident.go", "incident.decision"):
        return "Read-only mode: no actions here. v runs the check."
    match thing:
        case "incident.report":
            return "Enter: write the report to a file."
        case "incident.close":
            return "Every step has ended. Enter: close the incident."
        case "incident.go":
            current = view.current
            return f"Enter: to step {current.number}. o: reopen this one." if current else ""
        case "incident.decision":
            decision = view.undecided(step)
            at = f"step {decision.number}, " if decision else ""
            return f"Enter: to {at}the decision that this step waits for."
        case "incident.act":
            action = step.step.action.does.words if step.step.action is not None else ""
            words = f"Enter: {action}; you see the plan first."
            # Nothing proves such a step: whoever has done the rest elsewhere ends it.
            begun = step.state is StepState.BEGUN and step.step.check is None
            return f"{words} f: end the step as it is." if begun else words
        case "incident.answer":
            return "Enter: decide it now." if step.state is StepState.SKIPPED else "Enter: decide."
        case _:
            pass
    if step.step.captures:
        return "Enter: capture the evidence, run the check, and end the step."
    return "Enter: run the check, and end the step." if step.step.check else "Enter: end the step."
