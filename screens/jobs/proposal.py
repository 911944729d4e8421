"""From a job's plan to its beginning: looked at in a worker, agreed to as its danger demands, then begun."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Generic, TypeVar

from textual import on
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.content import Content
from textual.widget import Widget
from textual.widgets import Button, Input, Static

from crypto_core.cancelling import Cancellation
from crypto_core.guard.consent import Consent, Danger, Subject, agrees
from crypto_core.text.cleaning import clean
from screens.asking import PendingCall, ask
from screens.blocking import Trouble, attempt
from screens.facts import Facts
from screens.services import JobProcesses
from screens.widgets.dialog import Dialog, button
from screens.widgets.line_input import LineInput
from screens.widgets.notice import trouble_content

P = TypeVar("P", bound=Subject)

LIMIT_SECONDS = 3_600.0
"""A plan over many tokens takes its time; the operator can leave it at any moment."""


@dataclass(frozen=True, slots=True)
class Begun:
    """A job that has begun; `trouble` is why nothing here works on it, "" where something does."""

    job: int
    trouble: str = ""


class Proposal(Dialog[Begun | None], Generic[P]):
    """Returns what has begun, None if nothing has, or nobody waited for it."""

    BODY = 42
    DEFAULT_CSS = """
    Proposal #typed { width: 36; height: 1; margin-top: 1; padding: 0 1; border: none; background: $panel; }
    """

    def __init__(self, facts: Facts, title: str) -> None:
        super().__init__()
        self.facts = facts
        self._title = title
        self._plan: P | None = None
        self._asked: PendingCall[P] | PendingCall[Begun] | None = None
        self._starting = False

    def make(self, cancelled: Cancellation) -> P:
        """Return the plan; called in a worker. Raises what the service raises."""
        raise NotImplementedError

    def content(self, plan: P) -> Content:
        """Return the plan in words."""
        raise NotImplementedError

    def settings(self) -> Iterable[Widget]:
        """Return what can be set before the job begins, shown once there is a plan."""
        return ()

    def chosen(self, plan: P) -> P | None:
        """Return the plan as it was set, None where that makes no sense."""
        return plan

    def begin(self, plan: P, consent: Consent) -> Begun:
        """Begin the job; called in a worker. Raises what the service raises."""
        raise NotImplementedError

    def label(self, plan: P) -> str:
        """Return what the button says that begins it, "" where there is nothing to begin."""
        raise NotImplementedError

    def compose(self) -> ComposeResult:
        """The plan when it is made; the safe button has the focus from the start."""
        with Vertical(classes="frame") as frame:
            frame.border_title = Content(f"{self._title}: nothing has been changed yet")
            with VerticalScroll(classes="body", can_focus=False):
                yield Static(Content("Looking at what would happen… Esc stops that."), id="plan")
            with Horizontal(classes="buttons"):
                yield button("Cancel", "cancel")

    def on_mount(self) -> None:
        """Make the plan."""
        self.query_one("#cancel").focus()
        self._asked = ask(self, self.make, self._show, group="plan", limit=LIMIT_SECONDS)

    def on_unmount(self) -> None:
        """Nobody waits any more: a plan is given up; a job that has begun by then is in the list."""
        if self._asked is not None:
            self._asked.drop()

    def _show(self, answer: P | Trouble) -> None:
        body = self.query_one("#plan", Static)
        if isinstance(answer, Trouble):
            body.update(trouble_content(answer))
            return
        body.update(self.content(answer))
        label = self.label(answer)
        if not label:
            return
        self._plan = answer
        buttons = self.query_one(".buttons")
        frame = self.query_one(".frame")
        for widget in self.settings():
            frame.mount(widget, before=buttons)
        confirm = button(label, "confirm")
        buttons.mount(confirm)
        if answer.danger is Danger.TYPED:
            confirm.disabled = True
            words = f"Type {clean(answer.confirmation, 40)} to go on"
            typed = LineInput(placeholder=words, id="typed", compact=True)
            frame.mount(typed, before=buttons)
            typed.focus()
        self.call_after_refresh(self._say_more)

    def on_resize(self) -> None:
        """The text may fit now, or no longer."""
        self.call_after_refresh(self._say_more)

    def _say_more(self) -> None:
        """Say how to see what is below, where there is something."""
        longer = self.query_one(".body").max_scroll_y > 0
        self.query_one(".frame").border_subtitle = (
            Content("PgUp PgDn: the rest of the text") if longer else None
        )

    @on(Input.Changed)
    def show_ready(self) -> None:
        """Offer to go on once what has to be typed is typed."""
        for confirm in self.query("#confirm"):
            confirm.disabled = self._agreement() is None

    @on(Input.Submitted, "#typed")
    @on(Button.Pressed, "#confirm")
    def go_on(self) -> None:
        """Begin the job."""
        agreement = self._agreement()
        if agreement is None or self._starting:
            return
        self._starting = True
        plan, consent = agreement
        for gone in self.query("#typed, #confirm, .setting"):
            gone.display = False
        cancel = self.query_one("#cancel", Button)
        cancel.label = Content(" Leave ")
        cancel.focus()
        self.query_one(".frame").border_title = Content(f"{self._title}: being begun")
        self.query_one("#plan", Static).update(
            Content(
                "Counting all tokens as they are before, and making the job… If you leave, it is in the list."
            )
        )
        self._asked = ask(self, lambda _: self.begin(plan, consent), self._end, group="begin", limit=600)

    def _end(self, answer: Begun | Trouble) -> None:
        if isinstance(answer, Begun):
            self.dismiss(answer)
            return
        self.query_one(".frame").border_title = Content(f"{self._title}: not begun")
        self.query_one("#plan", Static).update(trouble_content(answer))
        self.query_one("#cancel", Button).label = Content(" Close ")

    def _agreement(self) -> tuple[P, Consent] | None:
        """What the operator has agreed to by now, None if not yet."""
        plan = self.chosen(self._plan) if self._plan is not None else None
        if plan is None:
            return None
        if plan.danger is not Danger.TYPED:
            return plan, Consent.pressed(plan)
        typed = self.query("#typed").first(Input).value if self.query("#typed") else ""
        return (plan, Consent.typed(plan, typed)) if agrees(typed, plan.confirmation) else None

    @on(Button.Pressed, "#cancel")
    def cancel(self) -> None:
        """Go back."""
        self.dismiss(None)


def worked_on(processes: JobProcesses | None, job: int, number: int, *, trust: Iterable[str] = ()) -> Begun:
    """Let processes of this console work on a job that has been made; it is there whether they do or not."""
    if processes is None:
        return Begun(job, f"Nothing here works on it. It goes on with: keydeck jobs join {job}.")
    found = attempt(lambda: processes.work_on(job, number, trust=tuple(trust)))
    return Begun(job, str(found) if isinstance(found, Trouble) else "")
