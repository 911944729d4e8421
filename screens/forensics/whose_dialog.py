"""Whose token is this? A masked field, what holds the token, and the ways on from there."""

from __future__ import annotations

from collections.abc import Callable

from textual import on, work
from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.content import Content
from textual.geometry import Size
from textual.timer import Timer
from textual.widgets import Button, Input, Static

from crypto_core.forensics.token_search.leak_reader import read_leak
from crypto_core.forensics.token_search.result import TokenSearchResult
from crypto_core.forensics.token_search.search import TokenSearch
from crypto_core.forensics.token_search.target_tokens import wipe
from crypto_core.reencryption.plan import RunProgress
from crypto_core.values.cancellation import Cancellation
from crypto_core.values.counts import counted
from crypto_core.values.errors import InvalidTokenError
from crypto_core.values.references import TokenRef
from crypto_core.values.secret import Secret
from screens.blocking_calls import Failure
from screens.event_filters import term
from screens.facts import ScreenFacts
from screens.incidents.about import About
from screens.incidents.declare import begin_incident
from screens.main_screen import MainScreen
from screens.routes import Followed, TokensRoute
from screens.widgets.cells import fit
from screens.widgets.dialog import Dialog, button, buttons, framed
from screens.widgets.line_input import SecretInput
from screens.widgets.line_list import Line, LineList, line
from screens.widgets.notice import trouble_content
from screens.worker_calls import ask

_ASKED = (
    "Paste a token, or GitHub's hashed_token of one. It is masked, and forgotten once it was looked for. "
    "Stored tokens are opened and compared; nothing changes. A file of many: keydeck whose --file FILE."
)
_LOOKING = "Opening the stored tokens to compare them. Esc stops it."
_SEARCH_SECONDS = 3_600.0
_PROGRESS_SECONDS = 0.25
_MOST_ROWS = 8


class WhoseDialog(Dialog[TokenRef | About | None]):
    """Returns the row to show or what an incident is to be about, None for nothing."""

    AUTO_FOCUS = "#wanted"
    DEFAULT_CSS = """
    WhoseDialog LineList { height: auto; }
    WhoseDialog #said { height: auto; margin-top: 1; }
    """

    def __init__(self, facts: ScreenFacts) -> None:
        super().__init__()
        self._facts = facts
        self._progress: RunProgress | None = None
        self._ticking: Timer | None = None
        self._found: TokenSearchResult | None = None

    def compose(self) -> ComposeResult:
        with framed("Whose token is this?"):
            with VerticalScroll(classes="body", can_focus=False):
                yield Static(Content(_ASKED), id="about")
            yield SecretInput(placeholder="paste it; masked, forgotten once used", id="wanted")
            yield LineList(id="rows")
            yield Static(id="said")
            yield buttons(("Cancel", "cancel"))

    def on_mount(self) -> None:
        self.query_one("#rows").display = False
        self.query_one("#said").display = False

    @on(Input.Submitted)
    def find(self, event: Input.Submitted) -> None:
        event.stop()
        entered = self.query_one("#wanted", SecretInput).take()
        if entered is None or (self._asked is not None and self._asked.waiting):
            return
        facts = self._facts
        self._progress = None
        self._say(Content(_LOOKING))
        self._asked = ask(
            self,
            lambda cancelled: _search(facts, entered, self._note_progress, cancelled),
            self._take_found,
            group="whose",
            limit=_SEARCH_SECONDS,
        )
        self._ticking = self.set_interval(_PROGRESS_SECONDS, self._tell_progress)

    def _note_progress(self, progress: RunProgress) -> None:
        """Note how far the search is. Called from its own threads."""
        self._progress = progress

    def _tell_progress(self) -> None:
        done = self._progress
        if done is not None:
            through = done.done + done.poisoned
            self._say(Content(f"{_LOOKING} {through:,} of {done.total:,}, {done.per_second:,.0f} a second."))

    def _take_found(self, answer: TokenSearchResult | Failure) -> None:
        if self._ticking is not None:
            self._ticking.stop()
        if isinstance(answer, Failure):
            self._say(trouble_content(answer))
            return
        self._found = answer
        self.query_one("#about", Static).update(Content("\n").join(map(Content, answer.lines)))
        refs = answer.references
        rows = self.query_one("#rows", LineList)
        rows.display = bool(refs)
        self.query_one("#wanted").display = not refs
        if not refs:
            sure = answer.certain and not answer.decoys
            sign = ("● ", "$success") if sure else ("▲ ", "$warning")
            missed = "Not found, and not proved absent" if not answer.decoys else "It is a decoy's"
            self._say(Content.assemble(sign, "No row holds it." if sure else f"{missed}: read above."))
            return
        rows.styles.height = min(len(refs), _MOST_ROWS)
        rows.write(lambda size: _row_lines(refs, size))
        rows.focus()
        self._say(Content(f"{counted(len(refs), 'row')} found. Enter leads to the connection."))
        if not self.query("#declare"):
            self.query_one(".buttons").mount(button("Declare incident", "declare"))

    @on(Followed)
    def show_row(self, event: Followed) -> None:
        event.stop()
        if isinstance(event.target, TokenRef):
            self.dismiss(event.target)

    @on(Button.Pressed, "#declare")
    def declare(self) -> None:
        found = self._found
        if found is not None:
            references = tuple(map(str, found.references))
            origin = f"a leaked token: {found.summary}"
            self.dismiss(About(origin=origin, references=references, fitting=("token-compromise",)))

    def _say(self, content: Content) -> None:
        said = self.query_one("#said", Static)
        said.display = True
        said.update(content)


def _search(
    facts: ScreenFacts, entered: Secret, progress: Callable[[RunProgress], None], cancelled: Cancellation
) -> TokenSearchResult:
    """Look for one token, which is wiped. Raises InvalidTokenError, KmsError, DatabaseError."""
    with entered:
        leak = read_leak(entered)
    wanted = leak.wanted
    try:
        if len({one.number for one in wanted}) > 1:
            raise InvalidTokenError("One token at a time.", remedy="Many: keydeck whose --file FILE.")
        search: TokenSearch = facts.services.added["token_search"]
        return search.find_rows(wanted, unread=leak.unread, progress=progress, cancelled=cancelled)
    finally:
        wipe(wanted)


@work(exclusive=True, group="write")
async def ask_whose(screen: MainScreen) -> None:
    """Ask for a token, and go where the operator wants next."""
    wanted = await screen.app.push_screen_wait(WhoseDialog(screen.facts))
    if isinstance(wanted, TokenRef):
        screen.post_message(Followed(TokensRoute(term("reference", str(wanted)))))
    elif wanted is not None:
        await begin_incident(screen, wanted)


def _row_lines(refs: tuple[TokenRef, ...], size: Size) -> list[Line]:
    return [line(" ", (fit(str(ref), max(size.width - 2, 8)), "bold"), target=ref) for ref in refs]
