"""Where the console works: choose another AWS profile, Region or database without a restart."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.geometry import Size
from textual.widgets import Button, Input, Static

from screens.asking import PendingCall, ask
from screens.blocking import Trouble
from screens.routes import Followed
from screens.services import Context, Contexts, Offered, SignIn
from screens.widgets.cells import cut, fit
from screens.widgets.dialog import Dialog, buttons, framed
from screens.widgets.line_input import LineInput
from screens.widgets.line_list import Line, LineList
from screens.widgets.notice import trouble_content

if TYPE_CHECKING:
    from crypto_core.aws.device_login import DeviceCode

_REGIONS = 8
"""Regions shown before one is looked for by its name."""


_SIGNED_OUT = "SSO, signed out: Enter signs in"
LIMIT_SECONDS = 3_600.0
"""Longer than any code is valid: AWS says when it has expired."""


@dataclass(frozen=True, slots=True)
class ContextChange:
    """One change of the context; None keeps what is."""

    profile: str | None = None
    region: str | None = None
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
            yield LineInput(placeholder="Part of a name: profile, Region or database", id="search")
            yield Static(id="trouble")
            yield LineList()
            yield buttons(("Cancel", "cancel"))

    def on_mount(self) -> None:
        self.query_one("#search").focus()
        self.query_one("#trouble").display = False
        self.query_one(LineList).write(lambda _: [Line(Content.assemble((" reading…", "$muted")))])
        ask(self, lambda _: self._contexts.offered(), self._show, group="contexts")

    def _show(self, answer: Offered | Trouble) -> None:
        if not self.is_mounted:
            return
        trouble = self.query_one("#trouble", Static)
        if isinstance(answer, Trouble):
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
            self._take(lines[0].target)  # type: ignore[arg-type]
        else:
            self.query_one(LineList).focus()

    def _lines(self, size: Size) -> Sequence[Line]:
        return list(self._sections(size.width))

    def _sections(self, width: int) -> Iterator[Line]:
        offered, now = self._offered, self._current
        if offered is None:
            return
        sought = self.query_one("#search", Input).value.strip().lower()
        regions = offered.regions if sought else offered.regions[:_REGIONS]
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
                [
                    (
                        p or "(none)",
                        _SIGNED_OUT if p in offered.signed_out else "",
                        p == now.profile,
                        ContextChange(profile=p),
                    )
                    for p in offered.profiles
                ],
            ),
            ("Region", [(r, "", r == now.region, ContextChange(region=r)) for r in regions]),
        ]
        for title, choices in sections:
            found = [c for c in choices if sought in c[0].lower()]
            if found:
                more = len(offered.regions) - len(regions) if title == "Region" else 0
                note = f"  and {more} more: type a part of the name" if more else ""
                yield Line(Content.assemble((f" {title}", "bold"), (note, "$muted")))
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
            self._take(event.target)

    def _take(self, choice: ContextChange) -> None:
        """Return the choice; for a profile that is not signed in, once it is."""
        if self._offered is None or choice.profile not in self._offered.signed_out:
            self.dismiss(choice)
            return

        def ended(signed_in: bool | None) -> None:
            if signed_in:
                self.dismiss(choice)

        self.app.push_screen(LoginDialog(self._contexts, choice.profile or ""), ended)


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
        with framed(f"Sign in: profile {self._profile}", "o opens the address, Esc goes back"):
            yield Static(id="code")
            yield Static(id="state")
            yield buttons(("Cancel", "cancel"), ("Open in a browser", "open"))

    def on_mount(self) -> None:
        self.query_one("#cancel").focus()
        self.query_one("#open", Button).disabled = True
        self._say(Content.assemble(("asking AWS for a code…", "$muted")))
        ask(self, lambda _: self._begin(), self._begun, group="sign-in")

    def on_unmount(self) -> None:
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
        self.dismiss(False)
