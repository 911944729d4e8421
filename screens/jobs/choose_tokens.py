"""Which tokens is a job to be about? Those under one key, every envelope, or all that is unprotected."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from textual import on
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.widgets import Static

from crypto_core.envelope import Format
from crypto_core.key_names import same_key
from crypto_core.keys.status import KeyShare, Status
from crypto_core.reencryption.plan import Selection
from crypto_core.text.cleaning import shortened
from screens.asking import ask
from screens.blocking import Trouble
from screens.facts import Facts
from screens.routes import Followed
from screens.widgets.cells import fit, fit_middle
from screens.widgets.dialog import Dialog, button
from screens.widgets.line_list import Line, LineList
from screens.widgets.notice import trouble_content

_NUMBER, _NOTE = 10, 14


@dataclass(frozen=True, slots=True)
class Chosen:
    """What was chosen: the selection, and how many tokens it has as far as they were counted."""

    selection: Selection
    tokens: int
    words: str


class ChooseTokens(Dialog[Chosen | None]):
    """Returns what was chosen, None if the operator went back."""

    def __init__(self, facts: Facts) -> None:
        super().__init__()
        self._facts = facts

    def compose(self) -> ComposeResult:
        """The ways to select, and the way back."""
        with Vertical(classes="frame") as frame:
            frame.border_title = Content("New job: which tokens?")
            yield Static(
                Content(
                    "A job re-encrypts many tokens. For others, filter and mark them on "
                    "Connections, then press e."
                ),
                classes="about",
            )
            yield Static(Content("Counting tokens…"), id="state")
            yield LineList(id="choices")
            with Horizontal(classes="buttons"):
                yield button("Cancel", "cancel")

    def on_mount(self) -> None:
        """Offer what is known, else count first."""
        self.query_one("#choices").display = False
        self.query_one("#cancel").focus()
        known = self._facts.status.value
        if known is not None:
            self._show(known)
        else:
            take = self._facts.services.status.take_census
            ask(self, lambda cancelled: take(cancelled=cancelled), self._show, group="tokens")

    def _show(self, answer: Status | Trouble) -> None:
        state = self.query_one("#state", Static)
        if isinstance(answer, Trouble):
            state.update(trouble_content(answer))
            return
        choices = choices_of(answer, self._facts)
        if not choices:
            state.update(Content("No tokens to write."))
            return
        state.display = False
        shown = self.query_one("#choices", LineList)
        shown.display = True
        shown.styles.height = min(len(choices), 10)
        shown.write(lambda size: [_line(chosen, note, size.width) for chosen, note in choices])
        shown.focus()

    @on(Followed)
    def choose(self, event: Followed) -> None:
        """Go on with what was chosen."""
        event.stop()
        if isinstance(event.target, Chosen):
            self.dismiss(event.target)


def choices_of(status: Status, facts: Facts) -> list[tuple[Chosen, tuple[str, str]]]:
    """Return what can be selected, each with a word on it and that word's style; most tokens first."""
    choices = [
        (under(share.key_arn, status, facts), _state_of(share))
        for share in _one_of_each(status.keys)
        if share.key_arn
    ]
    choices.sort(key=lambda choice: -choice[0].tokens)
    if status.protected:
        choices.append((Chosen(Selection(everything=True), status.protected, "every envelope"), ("", "")))
    bare = sum(status.by_format.get(f, 0) for f in (Format.PLAINTEXT, Format.DEV))
    if bare:
        words = "every token in plaintext or dev format"
        choices.append((Chosen(Selection(unprotected=True), bare, words), ("✖ unprotected", "$error")))
    return choices


def under(key_arn: str, status: Status | None, facts: Facts) -> Chosen:
    """Return the tokens under one key as a choice."""
    count = status.tokens_under(key_arn) if status is not None else 0
    words = f"every token under {facts.key_words.long(key_arn)}"
    return Chosen(Selection(under_key=key_arn), count, words)


def _one_of_each(shares: Sequence[KeyShare]) -> list[KeyShare]:
    """One share of each key, whichever replica tokens name."""
    found: list[KeyShare] = []
    for share in shares:
        if share.key_arn and not any(same_key(share.key_arn, one.key_arn or "") for one in found):
            found.append(share)
    return found


def _state_of(share: KeyShare) -> tuple[str, str]:
    if share.key_state == "Enabled":
        return "Enabled", "$muted"
    return f"▲ {shortened(share.key_state or 'unknown', 30)}", "$warning"


def _line(chosen: Chosen, note: tuple[str, str], width: int) -> Line:
    words, style = note
    room = max(width - _NUMBER - _NOTE - 3, 16)
    content = Content.assemble(
        " ",
        (fit_middle(chosen.words, room), "bold"),
        fit(f"{chosen.tokens:,}", _NUMBER, right=True),
        "  ",
        (fit(words, _NOTE), style),
    )
    return Line(content, chosen)
