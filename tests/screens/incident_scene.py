"""An incident on the stage, and what its page says of the step in hand."""

from __future__ import annotations

from crypto_core.incidents.model import IncidentView, StepState
from screens.incidents.incident_screen import StepPane
from tests.screens.deck import Deck
from tests.screens.stage import Stage
from tests.screens.stage_incidents import key_compromise, with_steps

TOKEN = "ghp_" + "q7" * 18


def staged(view: IncidentView | None = None) -> Stage:
    stage = Stage()
    stage.incidents.add(view or key_compromise())
    return stage


def at_step(step: str, **states: StepState) -> IncidentView:
    view = key_compromise()
    ids = [one.step.id for one in view.steps]
    todo = dict.fromkeys(ids[ids.index(step) :], StepState.TODO)
    done = dict.fromkeys(ids[: ids.index(step)], StepState.DONE)
    return with_steps(view, **(done | todo | states))


def pane(d: Deck) -> str:
    return " ".join(str(d.app.screen.query_one(StepPane).query_one("#step").content).split())  # type: ignore[attr-defined]


def selected(d: Deck) -> str:
    step = d.app.screen.step_in_hand  # type: ignore[attr-defined]
    return step.step.id if step is not None else ""
