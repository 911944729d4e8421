"""What a new key shall be like, and for whom."""

from __future__ import annotations

from textual import on
from textual.app import ComposeResult
from textual.containers import Horizontal, VerticalScroll
from textual.content import Content
from textual.widgets import Button, Checkbox, Input, Static

from crypto_core.keys.changes.change import DEFAULT_PERIOD_DAYS, ChangeKind, KeyChange
from crypto_core.keys.policy.least_privilege import Role
from screens.widgets.dialog import Dialog, buttons, framed
from screens.widgets.line_input import LineInput

_FIELDS = (
    ("alias", "alias/tokens-2"),
    ("description", "What the key is for"),
    ("rotation", "Days between rotations, empty for none"),
)
_ROLES = (Role.PLATFORM, Role.OPERATOR, Role.INSPECTOR, Role.RESPONDER, Role.ADMINISTRATOR)


class Choice(Checkbox):
    """A checkbox that shows what is chosen by a sign, not by a colour alone."""

    BUTTON_INNER = " "

    def watch_value(self) -> None:
        """Show the choice."""
        self.BUTTON_INNER = "X" if self.value else " "
        super().watch_value()
        self.refresh()


class CreateDialog(Dialog[KeyChange | None]):
    """Returns the key to make, None if the operator went back. What is wrong with it the preview says."""

    DEFAULT_CSS = """
    CreateDialog .field { height: 1; }
    CreateDialog .field > Static { width: 15; color: $muted; }
    CreateDialog .field > Input { width: 1fr; }
    CreateDialog #said { color: $warning; }
    CreateDialog Checkbox { background: $surface; border: none; padding: 0; }
    """

    def compose(self) -> ComposeResult:
        """The fields, one line each, and the ways on and back."""
        with framed("New key: nothing changed yet"):
            yield Static(
                Content("Each role gets the least it needs. ARNs, separated by commas."),
                classes="about",
            )
            with VerticalScroll(classes="body", can_focus=False):
                for name, hint in _FIELDS:
                    yield from self._field(name, hint)
                for role in _ROLES:
                    yield from self._field(role.value, "arn:aws:iam::123456789012:role/name")
                yield Choice(Content("multi-Region: can be replicated"), id="multi-region", compact=True)
            yield Static(id="said")
            yield buttons(("Cancel", "cancel"), ("Preview", "preview"))

    def _field(self, name: str, hint: str) -> ComposeResult:
        with Horizontal(classes="field"):
            yield Static(Content(name))
            value = str(DEFAULT_PERIOD_DAYS) if name == "rotation" else ""
            yield LineInput(value, placeholder=hint, id=name, compact=True)

    def on_mount(self) -> None:
        """The alias first."""
        self.query_one("#alias").focus()

    @on(Input.Submitted)
    def next_field(self) -> None:
        """On to the next field."""
        self.focus_next()

    @on(Button.Pressed, "#preview")
    def go_on(self) -> None:
        """Return the key to make."""
        days = self._given("rotation")
        if days and not (days.isascii() and days.isdecimal() and len(days) <= 5):
            self.query_one("#rotation").focus()
            self.query_one("#said", Static).update(
                Content("Enter the rotation period in days, or leave it empty.")
            )
            return
        arns = {role: tuple(self._given(role.value).replace(",", " ").split()) for role in _ROLES}
        self.dismiss(
            KeyChange(
                ChangeKind.CREATE,
                alias=self._given("alias"),
                description=self._given("description"),
                period_days=int(days) if days else None,
                principals={role: given for role, given in arns.items() if given},
                multi_region=self.query_one("#multi-region", Choice).value,
            )
        )

    def _given(self, name: str) -> str:
        return self.query_one(f"#{name}", Input).value.strip()
