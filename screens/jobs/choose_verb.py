"""Re-encrypt or rewrap? The choice that decides whether a compromise is recovered from."""

from __future__ import annotations

from textual import on
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.widgets import Static

from crypto_core.reencryption.plan import Verb
from screens.plan_words import ABOUT
from screens.routes import Followed
from screens.widgets.cells import cut, fit
from screens.widgets.dialog import Dialog, button
from screens.widgets.line_list import LineList, line

_FOR: dict[Verb, str] = {
    Verb.REENCRYPT: "new data keys: also after a compromise",
    Verb.REWRAP: "the same data keys: to move without an incident",
}
_NAME = 14


class ChooseVerb(Dialog[Verb | None]):
    """Returns the verb, None if the operator went back."""

    def __init__(self, what: str) -> None:
        """`what` is which tokens."""
        super().__init__()
        self._what = what

    def compose(self) -> ComposeResult:
        """Both verbs, and what rewrap does not do."""
        with Vertical(classes="frame") as frame:
            frame.border_title = Content(cut(f"New job: {self._what}", 70))
            yield LineList(id="verbs")
            yield Static(
                Content.assemble("\n", ABOUT[Verb.REENCRYPT], "\n", ("▲ ", "$warning"), ABOUT[Verb.REWRAP])
            )
            with Horizontal(classes="buttons"):
                yield button("Cancel", "cancel")

    def on_mount(self) -> None:
        """The way to recover is under the cursor."""
        verbs = self.query_one("#verbs", LineList)
        verbs.styles.height = len(_FOR)
        verbs.write(
            lambda size: [
                line(
                    " ",
                    (fit(verb.words, _NAME), "bold"),
                    fit(words, max(size.width - _NAME - 2, 8)),
                    target=verb,
                )
                for verb, words in _FOR.items()
            ]
        )
        verbs.focus()

    @on(Followed)
    def choose(self, event: Followed) -> None:
        """Go on with the verb."""
        event.stop()
        if isinstance(event.target, Verb):
            self.dismiss(event.target)
