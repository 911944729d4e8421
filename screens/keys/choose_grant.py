"""Which grant? Those of one key, as KMS lists them."""

from __future__ import annotations

from textual import on
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.widgets import Static

from crypto_core.keys.grants import Grant
from crypto_core.keys.policy.actions import in_words
from crypto_core.keys.policy.reading import KeyPolicy
from crypto_core.text.cleaning import shortened
from screens.ages import day
from screens.asking import ask
from screens.blocking import Trouble
from screens.facts import Facts
from screens.routes import Followed
from screens.widgets.cells import cut, fit
from screens.widgets.dialog import Dialog, button
from screens.widgets.line_list import Line, LineList
from screens.widgets.notice import trouble_content


class ChooseGrant(Dialog[str | None]):
    """Returns the chosen grant's id, None if the operator went back."""

    def __init__(self, facts: Facts, key_arn: str) -> None:
        super().__init__()
        self._facts = facts
        self._key_arn = key_arn

    def compose(self) -> ComposeResult:
        """The grants and the way back."""
        with Vertical(classes="frame") as frame:
            frame.border_title = Content("Which grant?")
            yield Static(Content("Asking KMS for grants…"), id="state")
            yield LineList(id="grants")
            with Horizontal(classes="buttons"):
                yield button("Cancel", "cancel")

    def on_mount(self) -> None:
        """Ask for the grants."""
        self.query_one("#grants").display = False
        self.query_one("#cancel").focus()
        read = self._facts.services.policies.read
        ask(self, lambda _: read(self._key_arn), self._show, group="grants")

    def _show(self, answer: KeyPolicy | Trouble) -> None:
        if not self.is_mounted:
            return
        state = self.query_one("#state", Static)
        if isinstance(answer, Trouble):
            state.update(trouble_content(answer))
        elif answer.missing:
            told = "; ".join(f"{part}: {why}" for part, why in answer.missing.items())
            state.update(Content(f"Not seen: {told}"))
        elif not answer.grants:
            state.update(Content("The key has no grant."))
        else:
            state.display = False
            grants = self.query_one("#grants", LineList)
            grants.display = True
            grants.styles.height = min(len(answer.grants), 10)
            grants.write(lambda size: [self._line(grant, size.width) for grant in answer.grants])
            grants.focus()

    def _line(self, grant: Grant, width: int) -> Line:
        since = f", since {day(grant.created_at, self._facts.clock())}" if grant.created_at else ""
        named = f' "{shortened(grant.name, 60)}"' if grant.name else ""
        words = f"{grant.grantee.name} may {in_words(grant.operations)}{since}{named}"
        content = Content.assemble(" ", (fit(f"{grant.grant_id[:8]}…", 11), "$muted"), cut(words, width - 12))
        return Line(content, grant)

    @on(Followed)
    def choose(self, event: Followed) -> None:
        """Go on with the chosen grant."""
        event.stop()
        if isinstance(event.target, Grant):
            self.dismiss(event.target.grant_id)
