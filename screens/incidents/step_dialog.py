"""A step's action: what it has to be told, then the plan, then the question whether it should run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from textual import on
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.content import Content
from textual.widgets import Button, Input, Static

from crypto_core.guard.consent import Consent, Danger, agrees
from crypto_core.incidents.model import StepView
from crypto_core.incidents.step_contracts import ActionPlan, InputField
from crypto_core.secret import Secret
from crypto_core.text.cleaning import clean
from screens.asking import PendingCall, ask
from screens.blocking import Trouble
from screens.facts import Facts
from screens.incidents.inputs import InputsForm, defaults, needs_input
from screens.incidents.work import incident_work
from screens.widgets.dialog import Dialog, button
from screens.widgets.line_input import LineInput
from screens.widgets.notice import trouble_content

_LONG = 600.0
_ROUNDS = 5
"""How often an answer may lead to further fields."""


@dataclass(frozen=True, slots=True)
class Agreed:
    """What was agreed to, and what the action was told."""

    plan: ActionPlan
    consent: Consent
    inputs: Mapping[str, str | Secret]


class StepDialog(Dialog[Agreed | None]):
    """Returns the plan with the operator's consent to it, else None. What was entered is gone then."""

    DEFAULT_CSS = """
    StepDialog #typed { width: 48; height: 1; margin-top: 1; padding: 0 1; border: none; background: $panel; }
    """

    def __init__(self, facts: Facts, incident: int, step: StepView, *, everything: bool) -> None:
        """Asked is for what the action can't do without, or, `everything`, for all it can be told."""
        super().__init__()
        self._facts = facts
        self._incident = incident
        self._step = step
        self._everything = everything
        self._inputs: dict[str, str | Secret] = {}
        self._plan: ActionPlan | None = None
        self._asked: PendingCall[tuple[InputField, ...]] | PendingCall[ActionPlan] | None = None
        self._rounds = 0
        self._kept = False
        """True once the inputs are handed on: whoever has them then wipes them."""

    def compose(self) -> ComposeResult:
        """The safe button has the focus from the start."""
        with Vertical(classes="frame") as frame:
            title = clean(self._step.step.title, 60)
            frame.border_title = Content(f"{title}: nothing has been changed yet")
            with VerticalScroll(classes="body", can_focus=False):
                yield Static(Content("Looking at what is needed…"), id="plan")
            with Horizontal(classes="buttons"):
                yield button("Cancel", "cancel")

    def on_mount(self) -> None:
        """Ask what the action has to be told."""
        self.query_one("#cancel").focus()
        self._ask_fields()

    def on_unmount(self) -> None:
        """Nobody waits any more, and nothing that was entered stays."""
        if self._asked is not None:
            self._asked.drop()
        if not self._kept:
            for value in self._inputs.values():
                if isinstance(value, Secret):
                    value.wipe()

    # What it has to be told

    def _ask_fields(self) -> None:
        self._rounds += 1
        fields, incident, step, inputs = (
            incident_work(self._facts).fields,
            self._incident,
            self._step.step.id,
            dict(self._inputs),
        )
        self._asked = ask(
            self,
            lambda cancelled: fields(incident, step, inputs, cancelled=cancelled),
            self._show_fields,
            group="plan",
            limit=_LONG,
        )

    def _show_fields(self, answer: tuple[InputField, ...] | Trouble) -> None:
        if not self.is_mounted:
            return
        if isinstance(answer, Trouble):
            self._show_trouble(answer)
            return
        open_ = [field for field in answer if field.name not in self._inputs]
        if not open_ or self._rounds > _ROUNDS:
            self._ask_plan()
        elif self._everything or any(needs_input(field) for field in open_):
            self._body.display = False
            self.query_one(".frame").mount(InputsForm(open_), before=self.query_one(".buttons"))
            self.query_one(".buttons").mount(button("Preview", "preview"))
        else:
            self._inputs.update(defaults(open_))
            self._ask_fields()

    @on(InputsForm.Filled)
    @on(Button.Pressed, "#preview")
    async def preview(self) -> None:
        """Take what was entered, and go on."""
        for form in self.query(InputsForm):
            taken = form.take()
            if taken is None:
                return
            self._inputs.update(taken)
            self._body.display = True
            self.query_one("#plan", Static).update(Content("Looking at what would happen…"))
            self.query_one("#cancel").focus()
            await form.remove()
            await self.query("#preview").remove()
            self._ask_fields()

    # What would happen

    def _ask_plan(self) -> None:
        self.query_one("#plan", Static).update(Content("Looking at what would happen…"))
        plan, incident, step, inputs = (
            incident_work(self._facts).plan,
            self._incident,
            self._step.step.id,
            dict(self._inputs),
        )
        self._asked = ask(
            self,
            lambda cancelled: plan(incident, step, inputs, cancelled=cancelled),
            self._show_plan,
            group="plan",
            limit=_LONG,
        )

    def _show_plan(self, answer: ActionPlan | Trouble) -> None:
        if not self.is_mounted:
            return
        if isinstance(answer, Trouble):
            self._show_trouble(answer)
            return
        self._plan = answer
        self.query_one("#plan", Static).update(plan_content(answer))
        title = clean(answer.title, 80)
        self.query_one(".frame").border_title = Content(f"{title}: nothing has been changed yet")
        confirm = button(clean(answer.title, 40), "confirm")
        self.query_one(".buttons").mount(confirm)
        if answer.danger is Danger.TYPED:
            confirm.disabled = True
            typed = LineInput(
                placeholder=f"Type {clean(answer.confirmation, 200)} to go on", id="typed", compact=True
            )
            self.query_one(".frame").mount(typed, before=self.query_one(".buttons"))
            typed.focus()

    def _show_trouble(self, trouble: Trouble) -> None:
        self._body.display = True
        self.query_one("#plan", Static).update(trouble_content(trouble))

    @property
    def _body(self) -> VerticalScroll:
        return self.query_one(".body", VerticalScroll)

    @on(Input.Changed, "#typed")
    def typed(self) -> None:
        """Offer to go on once what has to be typed is typed."""
        self.query_one("#confirm", Button).disabled = self._consent() is None

    @on(Input.Submitted, "#typed")
    @on(Button.Pressed, "#confirm")
    def confirm(self) -> None:
        """Go on with the plan."""
        consent = self._consent()
        if self._plan is not None and consent is not None:
            self._kept = True
            self.dismiss(Agreed(self._plan, consent, self._inputs))

    def _consent(self) -> Consent | None:
        """What the operator has agreed to by now, None if not yet."""
        if self._plan is None:
            return None
        if self._plan.danger is not Danger.TYPED:
            return Consent.pressed(self._plan)
        written = self.query_one("#typed", Input).value
        return Consent.typed(self._plan, written) if agrees(written, self._plan.confirmation) else None

    @on(Button.Pressed, "#cancel")
    def cancel(self) -> None:
        """Go back; nothing was changed."""
        self.dismiss(None)


def plan_content(plan: ActionPlan) -> Content:
    """Return what an action would do and would not, and what to beware of."""
    lines = [Content(f"• {clean(text, 1_000)}") for text in plan.does]
    lines += [Content.assemble(("◦ ", "$muted"), clean(text, 1_000)) for text in plan.does_not]
    if plan.warnings:
        lines.append(Content(""))
    lines += [Content.assemble(("▲ ", "$warning"), clean(text, 1_000)) for text in plan.warnings]
    if plan.danger is Danger.NONE:
        lines += [Content(""), Content.assemble(("It changes nothing.", "$muted"))]
    elif plan.danger is Danger.TYPED:
        words = f"This takes more than a press: type {clean(plan.confirmation, 200)} below."
        lines += [Content(""), Content.assemble((words, "bold"))]
    return Content("\n").join(lines or [Content("Nothing would be done.")])
