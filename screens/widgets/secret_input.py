"""One line to type or paste a secret in: masked, gone once it is taken, and in no message."""

from __future__ import annotations

from textual.message import Message
from textual.widgets import Input

from crypto_core.values.secret import Secret
from screens.widgets.line_input import LineInput


class SecretInput(LineInput):
    """What is in it is taken once, as a Secret; messages about it tell only that it changed."""

    def __init__(self, *, placeholder: str = "", id: str | None = None) -> None:  # noqa: A002 - Textual's name
        super().__init__(placeholder=placeholder, password=True, id=id, compact=True)

    def post_message(self, message: Message) -> bool:
        """Send a message without the text: messages are logged, and kept longer than the field."""
        if isinstance(message, Input.Changed | Input.Submitted):
            message.value = ""
        return super().post_message(message)

    def take(self) -> Secret | None:
        """Return the entered text without blanks around it and empty the field; None if it is empty."""
        text = self.value.strip()
        self.clear()
        return Secret.of(text) if text else None

    def action_copy(self) -> None:
        """What is masked goes to no clipboard."""

    def action_cut(self) -> None:
        """What is masked goes to no clipboard."""
