"""Re-encrypt or rewrap? The choice that decides whether a compromise is recovered from."""

from __future__ import annotations

from textual.content import Content

from crypto_core.reencryption.plan import Verb
from screens.plan_words import ABOUT
from screens.widgets.cells import cut, fit
from screens.widgets.choice_dialog import ChoiceDialog
from screens.widgets.line_list import Line, line

_FOR: dict[Verb, str] = {
    Verb.REENCRYPT: "new data keys: also after a compromise",
    Verb.REWRAP: "the same data keys: to move without an incident",
}
_NAME = 14


class ChooseVerb(ChoiceDialog[Verb]):
    """Returns the verb, None if the operator went back. Says what rewrap does not do."""

    def __init__(self, what: str) -> None:
        """`what` is which tokens."""
        below = Content.assemble("\n", ABOUT[Verb.REENCRYPT], "\n", ("▲ ", "$warning"), ABOUT[Verb.REWRAP])
        super().__init__(cut(f"New job: {what}", 70), below=below)

    def on_mount(self) -> None:
        """The way to recover is under the cursor."""
        self.offer(tuple(_FOR), _line)


def _line(verb: Verb, width: int) -> Line:
    words = fit(_FOR[verb], max(width - _NAME - 2, 8))
    return line(" ", (fit(verb.words, _NAME), "bold"), words, target=verb)
