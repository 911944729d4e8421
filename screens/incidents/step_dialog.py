"""A step's action: its inputs, then the plan, then the confirmation.

Each input is a field: a line, a choice, several choices, or a secret.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.content import Content
from textual.message import Message
from textual.widget import Widget
from textual.widgets import Button, Input, Static

from crypto_core.guard.consent import Consent, Danger
from crypto_core.incidents.model import StepView
from crypto_core.incidents.steps.step_contracts import ActionPlan, InputField
from crypto_core.values.cancellation import Cancellation
from crypto_core.values.clean_text import shortened
from crypto_core.values.secret import Secret
from screens.blocking_calls import Failure
from screens.facts import ScreenFacts
from screens.incidents.words import action_lines
from screens.routes import Followed
from screens.styled_text import BLANK
from screens.widgets.cells import fit, painted
from screens.widgets.dialog import button
from screens.widgets.line_input import LineInput, SecretInput
from screens.widgets.line_list import Line, LineList, line
from screens.widgets.notice import trouble_content
from screens.widgets.plan_dialog import LOOKING, PlanDialog
from screens.worker_calls import ask

_MOST_CHOICES = 6
_MOST_LINES = 8


@dataclass(frozen=True, slots=True)
class FieldChoice:
    """One of the choices of a field: what a line leads to."""

    field: str
    value: str


class InputsForm(VerticalScroll, can_focus=False):
    """The fields. Enter goes to the next one, and from the last one on."""

    DEFAULT_CSS = """
    InputsForm { height: auto; max-height: 58vh; scrollbar-size-vertical: 1; }
    InputsForm .field { height: auto; margin-bottom: 1; }
    InputsForm .field > Static { width: 100%; color: $muted; }
    InputsForm Input { width: 1fr; }
    InputsForm .field > .wrong { color: $warning; display: none; }
    """

    class Filled(Message):
        """Enter was pressed in the last field."""

    def __init__(self, fields: Sequence[InputField], refused: str = "", why: Failure | None = None) -> None:
        """`refused` is the name of the field that is not taken as it is, and `why`."""
        super().__init__()
        self._fields = tuple(fields)
        self._refused, self._why = refused, why

    def compose(self) -> ComposeResult:
        for number, field in enumerate(self._fields):
            with Vertical(classes="field"):
                optional = "" if field.required or field.choices else "  (may be left empty)"
                if field.several and field.choices:
                    optional = "  (space chooses)"
                masked = "  (masked; forgotten once it is used)" if field.secret else ""
                yield Static(Content(f"{field.label}{optional}{masked}"))
                widget = self._widget(number, field)
                yield widget
                if isinstance(widget, Checklist):
                    others = LineInput(widget.others, id=f"{widget.id}-others", compact=True)
                    others.placeholder = "others, as ARNs with commas between"
                    yield others
                yield Static(classes="wrong")

    def _widget(self, number: int, field: InputField) -> Widget:
        id_ = f"field-{number}"
        if field.secret:
            return SecretInput(placeholder="paste or type it", id=id_)
        if field.several and field.choices:
            return Checklist(field, id=id_)
        if field.choices:
            return LineList(id=id_)
        return LineInput(field.default, id=id_, compact=True)

    def on_mount(self) -> None:
        """Defaults are chosen; the first field has the focus."""
        for number, field in enumerate(self._fields):
            if field.choices and not field.secret and not field.several:
                self._offer(self.query_one(f"#field-{number}", LineList), field)
        self.screen.set_class(any(field.several for field in self._fields), "-choosing")
        self.styles.max_height = max(self.app.size.height * 58 // 100, 3)
        # A single choice is made already: what is pasted first is for the field behind it.
        undecided = (
            n
            for n, field in enumerate(self._fields)
            if field.secret or field.several or len(field.choices) != 1
        )
        self.query_one(f"#field-{next(undecided, 0)}").focus()
        for number, field in enumerate(self._fields):
            if field.name == self._refused and self._why is not None:
                self._say(number, trouble_content(self._why))

    def _say(self, number: int, words: Content) -> None:
        for place, said in enumerate(self.query(".field > .wrong").results(Static)):
            said.display = place == number
            if place == number:
                said.update(words)
        self.query_one(f"#field-{number}").focus()
        self.call_after_refresh(self.query(".field")[number].scroll_visible, animate=False)

    def _offer(self, choices: LineList, field: InputField) -> None:
        choices.styles.height = min(len(field.choices), _MOST_CHOICES)

        def lines(width: int) -> list[Line]:
            return [
                line(" ", fit(words or value, max(width - 2, 8)), target=FieldChoice(field.name, value))
                for value, words in field.choices
            ]

        choices.write(lambda size: lines(size.width))
        values = [value for value, _ in field.choices]
        if field.default in values:
            choices.move_to(values.index(field.default))

    @on(Input.Submitted)
    @on(Followed)
    def go_on(self, event: Input.Submitted | Followed) -> None:
        event.stop()
        ids = [widget.id for widget in self.query(".field > *") if widget.id]
        focused = self.screen.focused
        at = ids.index(focused.id) if focused is not None and focused.id in ids else len(ids) - 1
        if at + 1 < len(ids):
            self.query_one(f"#{ids[at + 1]}").focus()
        else:
            self.post_message(self.Filled())

    def take_inputs(self) -> Mapping[str, str | Secret] | None:
        """Return the entered values, None if one is missing. Secret fields are emptied."""
        replaced = {field.instead_of for number, field in enumerate(self._fields) if self._is_filled(number)}
        for number, field in enumerate(self._fields):
            if field.name in replaced:
                continue
            widget = self.query_one(f"#field-{number}")
            empty = isinstance(widget, Input) and not widget.value.strip()
            if field.required and (empty or (isinstance(widget, Checklist) and not self._chosen(widget))):
                self._say(number, Content(f"Missing: {field.label}"))
                return None
        taken: dict[str, str | Secret] = {}
        for number, field in enumerate(self._fields):
            widget = self.query_one(f"#field-{number}")
            if isinstance(widget, SecretInput):
                secret = widget.take()
                if secret is not None:
                    taken[field.name] = secret
            elif isinstance(widget, Checklist):
                taken[field.name] = ", ".join(self._chosen(widget))
            elif isinstance(widget, LineList):
                target = widget.current.target if widget.current is not None else None
                taken[field.name] = target.value if isinstance(target, FieldChoice) else ""
            elif isinstance(widget, Input):
                taken[field.name] = widget.value.strip()
        return taken

    def _is_filled(self, number: int) -> bool:
        widget = self.query_one(f"#field-{number}")
        return isinstance(widget, Input) and bool(widget.value.strip())

    def _chosen(self, widget: Checklist) -> tuple[str, ...]:
        others = self.query_one(f"#{widget.id}-others", Input).value
        return tuple(dict.fromkeys((*widget.chosen, *listed(others))))

    def forget(self) -> None:
        for field in self.query(SecretInput):
            field.clear()


class Checklist(LineList):
    """The choices of a field, those of its default chosen. Suspects are red, and marked as such."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("space", "choose", "Choose", tooltip="Choose what is under the cursor, or take it back"),
    ]

    def __init__(self, field: InputField, *, id: str) -> None:  # noqa: A002 - Textual's name
        super().__init__(id=id)
        self._field = field
        given = listed(field.default)
        values = [value for value, _ in field.choices]
        self._chosen = {value for value in values if value in given}
        self.others = ", ".join(value for value in given if value not in values)
        """What the default names besides."""

    def on_mount(self) -> None:
        """As high as there are choices; the cursor is on the first that is chosen."""
        self.styles.height = min(len(self._field.choices), _MOST_LINES)
        self._paint()
        chosen = (n for n, (value, _) in enumerate(self._field.choices) if value in self._chosen)
        self.move_to(next(chosen, 0))

    @property
    def chosen(self) -> tuple[str, ...]:
        return tuple(value for value, _ in self._field.choices if value in self._chosen)

    def action_choose(self) -> None:
        if self.current is not None and isinstance(self.current.target, str):
            self._chosen ^= {self.current.target}
            self._paint()

    def _paint(self) -> None:
        self.write(
            lambda size: [self._line(value, words, size.width) for value, words in self._field.choices]
        )

    def _line(self, value: str, words: str, width: int) -> Line:
        box = "[x]" if value in self._chosen else "[ ]"
        suspect = value in self._field.suspects
        mark = "▲ " if suspect else "  "
        style = "$error" if suspect else "bold" if value in self._chosen else ""
        return line(f" {box} ", (f"{mark}{fit(words or value, max(width - 7, 8))}", style), target=value)


def listed(text: str) -> tuple[str, ...]:
    return tuple(part for one in text.split(",") if (part := one.strip()))


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
        fields, inputs = self.facts.services.incidents.fields, dict(self._inputs)
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
        plan = self.facts.services.incidents.plan_action
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
        plan = self.facts.services.incidents.plan_accept_lost
        return plan(self._incident, self._reason, cancelled=cancelled)

    def content(self, plan: ActionPlan) -> Content:
        return plan_content(plan)

    def heading(self, plan: ActionPlan) -> str:
        return shortened(plan.title, 80)

    def label(self, plan: ActionPlan) -> str:
        return "Accept as lost"

    def go_on(self, plan: ActionPlan, consent: Consent) -> None:
        self.dismiss(Agreed(plan, consent, {}))
