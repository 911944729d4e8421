"""An incident, its steps and its budgets in signs and words, alike in the list and on the page."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from textual.content import Content

from crypto_core.database.state.incident_records import Present
from crypto_core.incidents import model
from crypto_core.incidents.runbooks import placeholders
from crypto_core.incidents.steps.step_contracts import ActionPlan
from screens.facts import ScreenFacts
from screens.identities import person
from screens.moments import span
from screens.routes import IncidentRoute
from screens.signs import Sign
from screens.styled_text import BLANK, StyledLine, effect_lines
from screens.widgets.cells import cut, fit
from screens.widgets.line_list import Line

PRESENT_SECONDS = 60
"""An operator active within this time counts as present."""
NEARLY = 0.8
"""From which part of its budget on a step is nearly over."""


def step_sign(step: model.StepView, current: model.StepView | None) -> Sign:
    """Return a step's sign: how it ended, whether it is the one to do now, or neither."""
    if step.state.ended:
        return STEPS[step.state]
    if step.trouble:
        return NEARLY_LATE
    if step.state is model.StepState.BEGUN or (current is not None and step.number == current.number):
        return OPEN
    return STEPS[model.StepState.TODO]


def there(present: Iterable[Present], now: datetime) -> str:
    """Return the operators at work on an incident: "ana + ben", "" for none."""
    near = [p for p in present if (now - p.seen_at).total_seconds() <= PRESENT_SECONDS]
    return " + ".join(dict.fromkeys(person(p.actor) for p in near))


def subject(scope: model.IncidentScope, facts: ScreenFacts) -> str:
    """Return what an incident is about, a key by the name that it goes by."""
    return facts.key_words.long(scope.key) if scope.key else str(scope)


def runbook_words(view: model.IncidentView) -> str:
    return f"{view.runbook.id} {view.runbook.version}"


def through(view: model.IncidentView) -> str:
    """Return which step it is at: "6 of 11"; the ended ones do not count twice."""
    current = view.current
    total = len(view.steps)
    return f"{current.number} of {total}" if current is not None else f"all {total}"


def at_step(view: model.IncidentView) -> str:
    if view.incident.state is model.IncidentState.CLOSED:
        return view.incident.outcome or "closed"
    current = view.current
    return f"{through(view)} {current.step.title}" if current else f"{through(view)} done: close it"


def elapsed(incident: model.Incident, now: datetime) -> str:
    """Return how long it has been open, or was, as 00:14:31, with days in front from one on."""
    until = incident.closed_at or now
    seconds = max(int((until - incident.declared_at).total_seconds()), 0)
    days, rest = divmod(seconds, 86_400)
    clock = f"{rest // 3_600:02}:{rest // 60 % 60:02}:{rest % 60:02}"
    return f"{days} d {clock}" if days else clock


@dataclass(frozen=True, slots=True)
class Budget:
    """How a step stands in its time: the words, and the sign that says how well."""

    words: str
    sign: Sign


def budget(view: model.IncidentView, step: model.StepView, now: datetime) -> Budget | None:
    """Return a step's time against its budget; None without a budget before it has started."""
    since = step.begun_at
    limit = step.step.budget_seconds
    allowed = span(timedelta(seconds=limit))
    if since is None:
        return Budget(f"budget {allowed}", Sign(" ", "$muted")) if limit else None
    taken = ((step.ended_at or view.incident.closed_at or now) - since).total_seconds()
    words = span(timedelta(seconds=taken))
    if not limit:
        return Budget(words, Sign(" ", "$muted"))
    words = f"{words} of {allowed}"
    if taken > limit:
        return Budget(f"{words}, over by {span(timedelta(seconds=taken - limit))}", LATE)
    if step.state.ended:
        return Budget(words, WELL)
    if taken > limit * NEARLY:
        return Budget(f"{words}, nearly over", NEARLY_LATE)
    return Budget(words, WELL)


def incident_sign(view: model.IncidentView, now: datetime) -> Sign:
    if view.incident.state is model.IncidentState.CLOSED:
        return Sign("○", "$muted")
    current = view.current
    at = budget(view, current, now) if current is not None else None
    return at.sign if at is not None and at.sign in (LATE, NEARLY_LATE) else OPEN


def action_lines(plan: ActionPlan) -> Iterator[StyledLine]:
    yield from effect_lines(plan.does, plan.does_not)
    if plan.warnings:
        yield BLANK
        yield from effect_lines(warnings=plan.warnings)


def filled(text: str, incident: model.Incident, facts: ScreenFacts) -> Content:
    """Return a runbook's line, filled in: keys by their names, whole ARNs in commands, which stand out."""
    values = _values(incident, facts)
    arns = {"key": values["key"], "new_key": values["new_key"]}
    names = values | {name: facts.key_words.long(arn) for name, arn in arns.items() if arn}
    parts = placeholders.filled_parts(text, values, names)
    return Content.assemble(*((part, "bold" if command else "") for part, command in parts))


def commands_of(step: model.StepView, incident: model.Incident, facts: ScreenFacts) -> tuple[str, ...]:
    """Return the commands and settings lines that a step tells to run, whole, each once."""
    values = _values(incident, facts)
    lines = step.step.lines_for(incident.scope.providers)
    return tuple(dict.fromkeys(c for text in lines for c in placeholders.commands_in(text, values)))


def _values(incident: model.Incident, facts: ScreenFacts) -> dict[str, str]:
    key = facts.key_words.find(incident.scope.key) if incident.scope.key else None
    alias = incident.scope.alias or (key.aliases[0] if key is not None and key.aliases else "")
    return {**incident.placeholders, placeholders.ALIAS: alias}


OPEN = Sign("▶", "$accent")
LATE = Sign("✖", "$error")
NEARLY_LATE = Sign("▲", "$warning")
WELL = Sign("●", "$success")

STEPS: Mapping[model.StepState, Sign] = {
    model.StepState.TODO: Sign("·", "$muted"),
    model.StepState.BEGUN: OPEN,
    model.StepState.DONE: Sign("✔", "$success"),
    model.StepState.SKIPPED: Sign("»", "$warning"),
    model.StepState.NOT_NEEDED: Sign("○", "$muted"),
}
CHECKS: Mapping[model.CheckState, Sign] = {
    model.CheckState.PASSED: WELL,
    model.CheckState.NOT_YET: NEARLY_LATE,
    model.CheckState.FAILED: LATE,
    model.CheckState.UNKNOWN: Sign("?", "$warning"),
}


def open_lines(views: Sequence[model.IncidentView], width: int, facts: ScreenFacts) -> list[Line]:
    """Return open incidents as the first lines of Status: each is Enter away from its page."""
    now, lines = facts.clock(), []
    for view in views:
        sign, incident, current = incident_sign(view, now), view.incident, view.current
        step = f"{through(view)} {current.step.title}" if current is not None else "every step has ended"
        content = Content.assemble(
            sign,
            " ",
            (fit("incident", 9), sign.style),
            (f" {incident.name} ", "bold"),
            (cut(incident.title, max(width // 3, 12)), "bold"),
            ("  " + cut(f"open {elapsed(incident, now)} · step {step}", max(width // 2 - 14, 12)), "$muted"),
        )
        hint = f"Enter: the incident. {incident.scope!s}"
        lines.append(Line(content.truncate(width, ellipsis=True), IncidentRoute(incident.id), hint))
    return lines
