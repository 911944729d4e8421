"""Which tokens is a job to be about? Those under one key, every envelope, or all that is unprotected."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from textual.content import Content

from crypto_core.envelope import Format
from crypto_core.keys.status import KeyShare, Status
from crypto_core.reencryption.plan import Selection
from crypto_core.values.clean_text import shortened
from crypto_core.values.key_names import same_key
from screens.facts import ScreenFacts
from screens.widgets.cells import fit, fit_middle
from screens.widgets.choice_dialog import ChoiceDialog
from screens.widgets.line_list import Line, line

_NUMBER, _NOTE = 10, 14


@dataclass(frozen=True, slots=True)
class Chosen:
    """The chosen tokens: the selection, and its number if counted."""

    selection: Selection
    tokens: int
    words: str


class ChooseTokens(ChoiceDialog[Chosen]):
    """Returns the choice, None if the operator went back."""

    def __init__(self, facts: ScreenFacts) -> None:
        about = (
            "A job re-encrypts many tokens. For others, filter and mark them on Connections, then press e."
        )
        super().__init__("New job: which tokens?", about)
        self._facts = facts

    def on_mount(self) -> None:
        known = self._facts.status.value
        if known is not None:
            self._show(known)
        else:
            take = self._facts.services.status.take_census
            self.ask_for("Counting tokens…", lambda cancelled: take(cancelled=cancelled), self._show)

    def _show(self, answer: Status) -> None:
        choices = choices_of(answer, self._facts)
        if choices:
            self.offer(choices, _line)
        else:
            self.say(Content("No tokens to write."))


def choices_of(status: Status, facts: ScreenFacts) -> list[tuple[Chosen, tuple[str, str]]]:
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


def under(key_arn: str, status: Status | None, facts: ScreenFacts) -> Chosen:
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


def _line(choice: tuple[Chosen, tuple[str, str]], width: int) -> Line:
    chosen, (words, style) = choice
    room = max(width - _NUMBER - _NOTE - 3, 16)
    return line(
        " ",
        (fit_middle(chosen.words, room), "bold"),
        fit(f"{chosen.tokens:,}", _NUMBER, right=True),
        "  ",
        (fit(words, _NOTE), style),
        target=chosen,
    )
