"""From a plan to the consent to it: looked at in a worker, shown whole, agreed to as its danger demands.

The safe button has the focus from the start, and what is dangerous has to be typed: pressing Enter alone
agrees to nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar, Generic, TypeVar

from textual import on
from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.content import Content
from textual.widget import Widget
from textual.widgets import Button, Input, Static

from crypto_core.guard.consent import Consent, Danger, Subject, agrees
from crypto_core.values.cancellation import Cancellation
from crypto_core.values.clean_text import shortened
from screens.blocking_calls import Failure
from screens.facts import ScreenFacts
from screens.widgets.dialog import Dialog, button, buttons, framed
from screens.widgets.line_input import LineInput
from screens.widgets.notice import trouble_content
from screens.worker_calls import ask

Plan = TypeVar("Plan", bound=Subject)
Result = TypeVar("Result")

WARNING = ("▲ ", "$warning")
LOOKING = "Working out what would happen…"
UNCHANGED = "nothing changed yet"


class PlanDialog(Dialog[Result | None], Generic[Plan, Result]):
    """Returns what `go_on` dismisses it with, None without consent."""

    DEFAULT_CSS = "PlanDialog #typed { width: 36; margin-top: 1; }"
    LOOKING: ClassVar[str] = LOOKING
    LIMIT_SECONDS: ClassVar[float] = 600.0

    def __init__(self, facts: ScreenFacts, title: str) -> None:
        super().__init__()
        self.facts = facts
        self._title = title
        self._plan: Plan | None = None
        self._agreed = False

    def make(self, cancelled: Cancellation) -> Plan:
        """Return the plan; called in a worker. Raises what the service raises."""
        raise NotImplementedError

    def content(self, plan: Plan) -> Content:
        raise NotImplementedError

    def label(self, plan: Plan) -> str:
        """Return what the button says that goes on, "" where there is nothing to do."""
        raise NotImplementedError

    def go_on(self, plan: Plan, consent: Consent) -> None:
        """Carry out the confirmed plan, or hand it on; called once."""
        raise NotImplementedError

    def heading(self, plan: Plan) -> str:
        return self._title

    def settings(self) -> Iterable[Widget]:
        """Return what can be set before it is done, shown once there is a plan."""
        return ()

    def chosen(self, plan: Plan) -> Plan | None:
        """Return the plan with the operator's settings, None if these are invalid."""
        return plan

    def compose(self) -> ComposeResult:
        with framed(f"{self._title}: {UNCHANGED}" if self._title else UNCHANGED.capitalize()):
            with VerticalScroll(classes="body", can_focus=False):
                yield Static(Content(self.LOOKING), id="plan")
            yield buttons(("Cancel", "cancel"))

    def on_mount(self) -> None:
        self.begin()

    def begin(self) -> None:
        self._asked = ask(self, self.make, self._show, group="plan", limit=self.LIMIT_SECONDS)

    def tell(self, title: str, content: Content, *, leave: str = "") -> None:
        """Show something else in the plan's place; `leave` is what the button back says."""
        if title:
            self.query_one(".frame").border_title = Content(title)
        self.query_one(".body").display = True
        self.query_one("#plan", Static).update(content)
        if leave:
            self.query_one("#cancel", Button).label = Content(f" {leave} ")
        self.call_after_refresh(self._say_more)

    def under_way(self, title: str, words: str) -> None:
        """Say that it is being done: there is nothing to be agreed to any more, and the way out stays."""
        for gone in self.query("#typed, #confirm, .setting"):
            gone.display = False
        self.query_one("#cancel").focus()
        self.tell(title, Content(words), leave="Leave")

    def _show(self, answer: Plan | Failure) -> None:
        if isinstance(answer, Failure):
            self.tell("", trouble_content(answer))
            return
        title = self.heading(answer)
        self.tell(f"{title}: {UNCHANGED}", self.content(answer))
        label = self.label(answer)
        if not label:
            return
        self._plan = answer
        self.changed()
        buttons = self.query_one(".buttons")
        frame = self.query_one(".frame")
        for widget in self.settings():
            frame.mount(widget, before=buttons)
        confirm = button(shortened(label, 60), "confirm")
        buttons.mount(confirm)
        if answer.danger is Danger.TYPED:
            confirm.disabled = True
            words = f"Type {answer.confirmation} to confirm"
            typed = LineInput(placeholder=words, id="typed", compact=True)
            frame.mount(typed, before=buttons)
            typed.focus()

    def on_resize(self) -> None:
        self.call_after_refresh(self._say_more)

    def _say_more(self) -> None:
        longer = self.query_one(".body").max_scroll_y > 0
        self.query_one(".frame").border_subtitle = (
            Content("PgUp PgDn: the rest of the text") if longer else None
        )

    @on(Input.Changed)
    def show_ready(self) -> None:
        for confirm in self.query("#confirm"):
            confirm.disabled = self._agreement() is None

    @on(Input.Submitted, "#typed")
    @on(Button.Pressed, "#confirm")
    def confirm(self) -> None:
        agreement = self._agreement()
        if agreement is not None and not self._agreed:
            self._agreed = True
            self.go_on(*agreement)

    def _agreement(self) -> tuple[Plan, Consent] | None:
        plan = self.chosen(self._plan) if self._plan is not None else None
        if plan is None:
            return None
        if plan.danger is not Danger.TYPED:
            return plan, Consent.pressed(plan)
        typed = self.query("#typed").first(Input).value if self.query("#typed") else ""
        return (plan, Consent.typed(plan, typed)) if agrees(typed, plan.confirmation) else None
