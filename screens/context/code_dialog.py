"""Asks for the code of an MFA device, without which a profile gets no credentials."""

from __future__ import annotations

from textual import on
from textual.app import ComposeResult
from textual.content import Content
from textual.widgets import Button, Input, Static

from crypto_core.aws.mfa_codes import CodeQuestion
from crypto_core.values.secret import Secret
from screens.widgets.dialog import Dialog, buttons, framed
from screens.widgets.secret_input import SecretInput


class CodeDialog(Dialog[Secret | None]):
    """Returns the code as it was entered, None if the operator gave up."""

    DEFAULT_CSS = "CodeDialog SecretInput { width: 24; }"

    def __init__(self, question: CodeQuestion) -> None:
        super().__init__()
        self._question = question

    def compose(self) -> ComposeResult:
        question = self._question
        with framed(f"MFA code for profile {question.profile}", "Enter signs in, Esc goes on without"):
            about = Content.assemble("The code that this device shows now:\n", (question.device, "$muted"))
            yield Static(about, classes="about")
            if question.trouble:
                yield Static(Content.assemble(("▲ ", "$warning"), question.trouble), classes="about")
            yield SecretInput(placeholder="six digits", id="code")
            yield buttons(("Cancel", "cancel"), ("Sign in", "sign-in"))

    def on_mount(self) -> None:
        self.query_one("#code").focus()
        self.show_ready()

    @on(Input.Changed, "#code")
    def show_ready(self) -> None:
        self.query_one("#sign-in", Button).disabled = not self.query_one(SecretInput).value.strip()

    @on(Input.Submitted, "#code")
    @on(Button.Pressed, "#sign-in")
    def sign_in(self) -> None:
        code = self.query_one(SecretInput).take()
        if code is not None:
            self.dismiss(code)
