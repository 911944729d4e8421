"""Signing in to IAM Identity Center: the address and the code, until it is confirmed in a browser."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.widgets import Button, Static

from screens.asking import PendingCall, ask
from screens.blocking import Trouble
from screens.services import Contexts, SignIn
from screens.widgets.dialog import Dialog, buttons, framed
from screens.widgets.notice import trouble_content

if TYPE_CHECKING:
    from crypto_core.aws.device_login import DeviceCode

LIMIT_SECONDS = 3_600.0
"""Longer than any code is valid: AWS says when it has expired."""


class LoginDialog(Dialog[bool]):
    """Returns True once the profile is signed in, False if the operator went back."""

    DEFAULT_CSS = "LoginDialog #state { margin-top: 1; }"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("o", "open", "Open in a browser", tooltip="Open the address in this machine's browser"),
    ]

    def __init__(self, contexts: Contexts, profile: str) -> None:
        super().__init__()
        self._contexts = contexts
        self._profile = profile
        self._code: DeviceCode | None = None
        self._waiting: PendingCall[bool] | None = None

    def compose(self) -> ComposeResult:
        """What is to be opened and compared, how far it is, and the ways on and back."""
        with framed(f"Sign in: profile {self._profile}", "o opens the address, Esc goes back"):
            yield Static(id="code")
            yield Static(id="state")
            yield buttons(("Cancel", "cancel"), ("Open in a browser", "open"))

    def on_mount(self) -> None:
        """Ask AWS for a code."""
        self.query_one("#cancel").focus()
        self.query_one("#open", Button).disabled = True
        self._say(Content.assemble(("asking AWS for a code…", "$muted")))
        ask(self, lambda _: self._begin(), self._begun, group="sign-in")

    def on_unmount(self) -> None:
        """Wait for nothing more."""
        if self._waiting is not None:
            self._waiting.drop()

    def _begin(self) -> tuple[SignIn, DeviceCode]:
        login = self._contexts.sign_in(self._profile)
        return login, login.begin()

    def _begun(self, answer: tuple[SignIn, DeviceCode] | Trouble) -> None:
        if isinstance(answer, Trouble):
            self._say(trouble_content(answer))
            return
        login, code = answer
        self._code = code
        self.query_one("#code", Static).update(
            Content.assemble(
                "Open this address, on any device:\n",
                (code.address, "$accent"),
                "\n\nConfirm there, only if it shows this code:\n",
                (code.code, "bold"),
            )
        )
        self._say(Content.assemble(("waiting until it is confirmed…", "$muted")))
        self.query_one("#open", Button).disabled = False
        self._waiting = ask(
            self,
            lambda cancelled: login.wait(code, cancelled),
            self._ended,
            group="sign-in",
            limit=LIMIT_SECONDS,
        )

    def _ended(self, answer: bool | Trouble) -> None:
        if isinstance(answer, Trouble):
            self._code = None
            self.query_one("#open", Button).disabled = True
            self._say(trouble_content(answer))
        else:
            self.dismiss(answer)

    @on(Button.Pressed, "#open")
    def action_open(self) -> None:
        """Open the address in the operator's browser."""
        code = self._code
        if code is not None:
            link = str(code.link or code.address)
            ask(self, lambda _: self._contexts.open_address(link), self._opened, group="browser")

    def _opened(self, answer: Trouble | None) -> None:
        if isinstance(answer, Trouble):
            self._say(trouble_content(answer))
        else:
            self._say(Content.assemble(("opened; waiting until it is confirmed…", "$muted")))

    def _say(self, words: Content) -> None:
        self.query_one("#state", Static).update(words)

    def action_leave(self) -> None:
        """Go back, signed in or not as before."""
        self.dismiss(False)
