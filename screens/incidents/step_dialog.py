"""A step's action: its inputs, then the plan, then the confirmation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

from textual import on
from textual.content import Content
from textual.widgets import Button

from crypto_core.guard.consent import Consent, Danger
from crypto_core.incidents.model import StepView
from crypto_core.incidents.steps.step_contracts import ActionPlan, InputField
from crypto_core.values.cancellation import Cancellation
from crypto_core.values.clean_text import shortened
from crypto_core.values.secret import Secret
from screens.blocking_calls import Failure
from screens.facts import ScreenFacts
from screens.incidents.inputs import InputsForm
from screens.incidents.words import action_lines
from screens.incidents.work import incident_work
from screens.styled_text import BLANK
from screens.widgets.cells import painted
from screens.widgets.dialog import button
from screens.widgets.notice import trouble_content
from screens.widgets.plan_dialog import LOOKING, PlanDialog
from screens.worker_calls import ask

_ROUNDS = 5
"""How often an answer may lead to further fields."""


@dataclass(frozen=True, slots=True)
class Agreed:
    plan: ActionPlan
    consent: Consent
    inputs: Mapping[str, str | Secret]


class StepDialog(PlanDialog[ActionPlan, Agreed]):
    """Returns the plan with the operator's consent, else None. The inputs are erased then.

    Where the inputs lead to no plan, the form comes back as it was filled in, with what is wrong.
    """

    DEFAULT_CSS = """
    StepDialog #typed { width: 48; }
    StepDialog.-choosing > .frame { width: 110; }
    """
    LOOKING: ClassVar[str] = "Loading what is needed…"

    def __init__(self, facts: ScreenFacts, incident: int, step: StepView, *, everything: bool) -> None:
        """Asks for the required inputs only or, with `everything`, for all of them."""
        super().__init__(facts, shortened(step.step.title, 60))
        self._incident = incident
        self._step = step.step.id
        self._everything = everything
        self._inputs: dict[str, str | Secret] = {}
        self._fields: dict[str, InputField] = {}
        """All fields so far, by their names."""
        self._rounds = 0

    def on_unmount(self) -> None:
        """Erase the inputs, unless they were handed on: the receiver erases them then."""
        if not self._agreed:
            for value in self._inputs.values():
                if isinstance(value, Secret):
                    value.wipe()

    # What it has to be told

    def begin(self) -> None:
        self._rounds += 1
        fields, inputs = incident_work(self.facts).fields, dict(self._inputs)
        self._asked = ask(
            self,
            lambda cancelled: fields(self._incident, self._step, inputs, cancelled=cancelled),
            self._show_fields,
            group="plan",
            limit=self.LIMIT_SECONDS,
        )

    def _show_fields(self, answer: tuple[InputField, ...] | Failure) -> None:
        if isinstance(answer, Failure):
            self._return_to_form(answer)
            return
        open_ = [field for field in answer if field.name not in self._inputs]
        self._fields |= {field.name: field for field in open_}
        if not open_ or self._rounds > _ROUNDS:
            self.tell("", Content(LOOKING))
            super().begin()
        elif self._everything or any(field.undecided for field in open_):
            self.query_one(".body").display = False
            self._ask_for(open_)
        else:
            self._inputs.update({field.name: field.proposed for field in open_})
            self.begin()

    def _ask_for(self, fields: Sequence[InputField], refused: str = "", why: Failure | None = None) -> None:
        form = InputsForm(fields, refused, why)
        self.query_one(".frame").mount(form, before=self.query_one(".buttons"))
        self.query_one(".buttons").mount(button("Preview", "preview"))

    def _show(self, answer: ActionPlan | Failure) -> None:
        if isinstance(answer, Failure):
            self._return_to_form(answer)
        else:
            super()._show(answer)

    def _return_to_form(self, trouble: Failure) -> None:
        """Say what is wrong, with what was entered; secrets have to be entered again.

        It is said below the field that it is about, above the form where it is about none of them.
        """
        refused = trouble.field if trouble.field in self._fields else ""
        self.tell("", Content("") if refused else trouble_content(trouble))
        self.query_one(".body").display = not refused
        if not self._fields:
            return
        entered, self._inputs, self._rounds = self._inputs, {}, 0
        fields = []
        for field in self._fields.values():
            value = entered.get(field.name, field.default)
            if isinstance(value, Secret):
                value.wipe()
            fields.append(replace(field, default=value if isinstance(value, str) else ""))
        self._ask_for(fields, refused, trouble)

    @on(InputsForm.Filled)
    @on(Button.Pressed, "#preview")
    async def preview(self) -> None:
        for form in self.query(InputsForm):
            taken = form.take_inputs()
            if taken is None:
                return
            self._inputs.update(taken)
            self.tell("", Content(LOOKING))
            self.query_one("#cancel").focus()
            await form.remove()
            await self.query("#preview").remove()
            self.begin()

    # What would happen

    def make(self, cancelled: Cancellation) -> ActionPlan:
        plan = incident_work(self.facts).plan_action
        return plan(self._incident, self._step, dict(self._inputs), cancelled=cancelled)

    def content(self, plan: ActionPlan) -> Content:
        return plan_content(plan)

    def heading(self, plan: ActionPlan) -> str:
        return shortened(plan.title, 80)

    def label(self, plan: ActionPlan) -> str:
        return shortened(plan.title, 40)

    def go_on(self, plan: ActionPlan, consent: Consent) -> None:
        self.dismiss(Agreed(plan, consent, self._inputs))


def plan_content(plan: ActionPlan) -> Content:
    lines = [*action_lines(plan)]
    if plan.danger is Danger.NONE:
        lines += [BLANK, (("It changes nothing.", "$muted"),)]
    elif plan.danger is Danger.TYPED:
        words = f"This takes more than a press: type {plan.confirmation} below."
        lines += [BLANK, ((words, "bold"),)]
    return painted(lines or [("Nothing to do.",)])


class LossDialog(PlanDialog[ActionPlan, Agreed]):
    """Returns the plan with the operator's consent, else None."""

    LOOKING: ClassVar[str] = "Opening each token that is left…"

    def __init__(self, facts: ScreenFacts, incident: int, reason: str) -> None:
        super().__init__(facts, "Accept as unrecoverable")
        self._incident, self._reason = incident, reason

    def make(self, cancelled: Cancellation) -> ActionPlan:
        """Ask for the plan: KMS is asked about each token."""
        plan = incident_work(self.facts).plan_accept_lost
        return plan(self._incident, self._reason, cancelled=cancelled)

    def content(self, plan: ActionPlan) -> Content:
        return plan_content(plan)

    def heading(self, plan: ActionPlan) -> str:
        return shortened(plan.title, 80)

    def label(self, plan: ActionPlan) -> str:
        return "Accept as lost"

    def go_on(self, plan: ActionPlan, consent: Consent) -> None:
        self.dismiss(Agreed(plan, consent, {}))
