"""What is to be done after an incident, by whom and until when."""

from __future__ import annotations

from datetime import date

from textual import on
from textual.app import ComposeResult
from textual.content import Content
from textual.widgets import Button, Input, Label, Static

from crypto_core.incidents.people import FollowUp
from screens.asking import ask
from screens.blocking import Trouble
from screens.facts import Facts
from screens.incidents.work import incident_work
from screens.widgets.dialog import Dialog, buttons, framed
from screens.widgets.line_input import LineInput
from screens.widgets.notice import trouble_content

_FIELDS = (("what", "What"), ("owner", "By whom"), ("due", "Until when, as 2026-12-31"))


class FollowUpDialog(Dialog[FollowUp | None]):
    """Returns what was kept, None if the operator went back. An error keeps what was typed."""

    DEFAULT_CSS = "FollowUpDialog Label { color: $muted; }"

    def __init__(self, facts: Facts, incident: int) -> None:
        super().__init__()
        self._facts, self._incident = facts, incident

    def compose(self) -> ComposeResult:
        """The three lines, what is wrong with them, and the ways on and back."""
        with framed(f"Follow-up of INC-{self._incident}"):
            yield Static(
                Content("Kept with the incident and in its report. Never write a token here."),
                classes="about",
            )
            for id_, words in _FIELDS:
                yield Label(Content(words))
                yield LineInput(id=id_, compact=True)
            yield Static(id="wrong")
            yield buttons(("Cancel", "cancel"), ("Keep", "keep"))

    def on_mount(self) -> None:
        """The first line first."""
        self.query_one("#what").focus()

    @on(Input.Submitted)
    @on(Button.Pressed, "#keep")
    def keep(self) -> None:
        """Keep it, or say what is missing."""
        what, owner, until = (self.query_one(f"#{id_}", Input).value.strip() for id_, _ in _FIELDS)
        try:
            due = date.fromisoformat(until) if until else None
        except ValueError:
            self._say(Content("Write the day as 2026-12-31, or leave it empty."), "#due")
            return
        if not what:
            self._say(Content("Say what is to be done."), "#what")
            return
        service = incident_work(self._facts)
        ask(self, lambda _: service.follow_up(self._incident, what, owner, due), self._kept, group="write")

    def _kept(self, answer: FollowUp | Trouble) -> None:
        if isinstance(answer, Trouble):
            self._say(trouble_content(answer), "#what")
        else:
            self.dismiss(answer)

    def _say(self, words: Content, at: str) -> None:
        self.query_one("#wrong", Static).update(words)
        self.query_one(at).focus()
