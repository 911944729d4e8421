"""The left of an incident's page: phases and steps, each with how it ended, when and by whom."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime

from textual.content import Content

from crypto_core.incidents.model import IncidentView, StepState, StepView
from crypto_core.text.cleaning import shortened
from screens.actions.action import Action
from screens.ages import local
from screens.identities import person
from screens.incidents.words import OPEN, step_sign
from screens.main_screen import MainScreen
from screens.signs import Sign
from screens.widgets.cells import cut, fit
from screens.widgets.line_list import Line, LineList, line

ROOMY = 34
"""Cells from which on there is room for when and by whom."""
_WHEN = 12
_LEAD = 5
"""Sign and number before a title."""


@dataclass(frozen=True, slots=True)
class AtStep:
    """A step of the incident that is shown: what Enter is pressed on."""

    step: str


class StepList(LineList):
    """The steps. A page up or down is one of the step that is shown beside them."""

    def do_page_up(self) -> None:
        self._page_step(-1)

    def do_page_down(self) -> None:
        self._page_step(1)

    def _page_step(self, pages: int) -> None:
        turn: Callable[[int], None] | None = getattr(self.screen, "page_step", None)
        if turn is not None:
            turn(pages)

    def possible(self, action: Action) -> bool | None:
        """What Enter does depends on the step: the page says it."""
        if action.name == "open" and isinstance(self.screen, MainScreen):
            return True if self.current is not None else None
        return super().possible(action)


def phase_lines(view: IncidentView, width: int, now: datetime, running: frozenset[str]) -> Iterator[Line]:
    """Yield each phase with its steps; `running` are those for which this console does something now."""
    by_id = {step.step.id: step for step in view.steps}
    current = view.current
    for phase in view.runbook.phases:
        yield line((cut(phase.title, width), "$muted"))
        for step in phase.steps:
            found = by_id.get(step.id)
            if found is not None:
                sign = OPEN if step.id in running else step_sign(found, current)
                now_due = current is not None and current.number == found.number
                waits = view.undecided(found) is not None
                title, *more = _step(found, sign, width, now, now_due=now_due, waits=waits)
                yield Line(title, AtStep(step.id))
                yield from map(Line, more)


def _step(
    step: StepView, sign: Sign, width: int, now: datetime, *, now_due: bool, waits: bool
) -> Iterator[Content]:
    end = ""
    if width >= ROOMY:
        end = fit("undecided", _WHEN, right=True) if waits else _end(step, now)
    room = max(width - _LEAD - (len(end) + 1 if end else 0), 6)
    style = "bold" if now_due else "$muted" if step.state.ended or step.state is StepState.TODO else ""
    first, *more = Content(step.step.title).wrap(room)
    yield Content.assemble(
        sign,
        (f" {step.number:>2} ", "$muted"),
        (fit(first.plain, room), style),
        (f" {end}" if end else "", "$muted"),
    )
    for part in more:
        yield Content.assemble(" " * _LEAD, (fit(part.plain, room), style))


def _end(step: StepView, now: datetime) -> str:
    """When it ended and by whom, or the word for how."""
    if step.state in (StepState.SKIPPED, StepState.NOT_NEEDED):
        return fit(step.state.value, _WHEN, right=True)
    if step.ended_at is None:
        return fit("begun", _WHEN, right=True) if step.state is StepState.BEGUN else ""
    who = shortened(person(step.by), 60) if step.by else ""
    return fit(f"{local(step.ended_at, now):%H:%M} {who}".strip(), _WHEN, right=True)
