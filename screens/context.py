"""Where the console works: choose another AWS profile or database without a restart; and the code of an MFA
device, without which a profile gets no credentials.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from textual import on
from textual.app import ComposeResult
from textual.content import Content
from textual.geometry import Size
from textual.widgets import Button, Input, Static

from crypto_core.aws.mfa_codes import CodeQuestion
from crypto_core.values.secret import Secret
from screens.blocking_calls import Failure
from screens.routes import Followed
from screens.services import Context, Contexts, Offered
from screens.widgets.cells import cut, fit
from screens.widgets.dialog import Dialog, buttons, framed
from screens.widgets.line_input import LineInput, SecretInput
from screens.widgets.line_list import Line, LineList
from screens.widgets.notice import trouble_content
from screens.worker_calls import ask


@dataclass(frozen=True, slots=True)
class ContextChange:
    """One change of the context; None keeps what is."""

    profile: str | None = None
    database: str | None = None
    estate: str | None = None


class ContextDialog(Dialog[ContextChange | None]):
    """Returns the choice, None if all stays as it is."""

    DEFAULT_CSS = """
    ContextDialog LineList { height: auto; max-height: 20; }
    ContextDialog #search { margin-bottom: 1; }
    """

    def __init__(self, contexts: Contexts) -> None:
        super().__init__()
        self._contexts = contexts
        self._current: Context = contexts.current()
        self._offered: Offered | None = None

    def compose(self) -> ComposeResult:
        with framed("Context: where to work", "Enter switches, Esc changes nothing"):
            yield LineInput(placeholder="Part of a name: profile or database", id="search")
            yield Static(id="trouble")
            yield LineList()
            yield buttons(("Cancel", "cancel"))

    def on_mount(self) -> None:
        self.query_one("#trouble").display = False
        self.query_one(LineList).write(lambda _: [Line(Content.assemble((" reading…", "$muted")))])
        ask(self, lambda _: self._contexts.offered(), self._show, group="contexts")

    def _show(self, answer: Offered | Failure) -> None:
        trouble = self.query_one("#trouble", Static)
        if isinstance(answer, Failure):
            trouble.display = True
            trouble.update(trouble_content(answer))
            return
        self._offered = answer
        if answer.trouble:
            trouble.display = True
            trouble.update(Content.assemble(("▲ ", "$warning"), answer.trouble))
        self._write()

    @on(Input.Changed, "#search")
    def _write(self) -> None:
        lines = self.query_one(LineList)
        lines.write(self._lines)
        at = next((i for i in range(lines.line_count()) if lines.selectable(i)), 0)
        lines.move_to(at)

    @on(Input.Submitted, "#search")
    def take_first(self) -> None:
        """Enter in the search goes to the list; where one name is left, it is taken."""
        lines = [line for line in self._lines(self.size) if isinstance(line.target, ContextChange)]
        if len(lines) == 1:
            self.dismiss(lines[0].target)  # type: ignore[arg-type]
        else:
            self.query_one(LineList).focus()

    def _lines(self, size: Size) -> Sequence[Line]:
        return list(self._sections(size.width))

    def _sections(self, width: int) -> Iterator[Line]:
        offered, now = self._offered, self._current
        if offered is None:
            return
        sought = self.query_one("#search", Input).value.strip().lower()
        sections: list[tuple[str, list[tuple[str, str, bool, ContextChange]]]] = [
            (
                "database",
                [
                    (d.name, d.url, d.name == now.database, ContextChange(database=d.name))
                    for d in offered.databases
                ],
            ),
            (
                "AWS profile",
                [(p or "(none)", "", p == now.profile, ContextChange(profile=p)) for p in offered.profiles],
            ),
        ]
        for title, choices in sections:
            found = [c for c in choices if sought in c[0].lower()]
            if found:
                yield Line(Content.assemble((f" {title}", "bold")))
            for name, about, chosen, choice in found:
                words = Content.assemble(
                    "   ",
                    ("● " if chosen else "  ", "$accent"),
                    (fit(name, 24), "bold" if chosen else ""),
                    (cut(about, max(width - 32, 8)), "$muted"),
                )
                yield Line(words, choice)

    @on(Followed)
    def choose(self, event: Followed) -> None:
        event.stop()
        if isinstance(event.target, ContextChange):
            self.dismiss(event.target)


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
