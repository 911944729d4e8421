"""Tokens counted by what they have in common; Enter leads to those of a group."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from textual.content import Content

from crypto_core.database.tokens import token_groups
from crypto_core.database.tokens.inventory_expressions import FIELDS
from crypto_core.envelope import Format
from crypto_core.lists.filter_language import are_alternatives, parse_filter
from crypto_core.values.cancellation import Cancellation
from crypto_core.values.counts import counted
from screens.answer_screen import AnswerScreen
from screens.event_filters import term
from screens.facts import ScreenFacts
from screens.format_columns import FormatColumns
from screens.routes import TokensRoute
from screens.use.lines import prose
from screens.widgets.line_list import Line, line

WORDS = {
    token_groups.GroupBy.ORGANISATION: "organisation",
    token_groups.GroupBy.PROVIDER: "provider",
    token_groups.GroupBy.KEY: "key",
    token_groups.GroupBy.FORMAT: "format",
}
_WIDEST = 150
"""Cells beyond which a row is no easier to read."""
_NOT_ENCRYPTED = "format:" + ",".join(f.value for f in Format if not f.protected)
_HOW_KNOWN = (
    "Keys as KMS named them for one envelope of each key material (inferred), or for the envelope itself. "
    "Where its answers disagree, the key is not known."
)


class TokenGroupsScreen(AnswerScreen[token_groups.TokenGroups]):
    """The tokens of one filter, by one of the four at a time."""

    NAME = "token-groups"
    EVERY = 60.0
    ACTS: ClassVar[tuple[str, ...]] = ("groups",)
    ASKING = "Counting tokens…"

    def __init__(self, facts: ScreenFacts, expression: str, by: str) -> None:
        super().__init__(facts)
        self.expression = expression
        self.by = token_groups.GroupBy(by)

    @property
    def crumb(self) -> tuple[str, str]:
        return f"By {WORDS[self.by]}", ""

    def ask_for(self, cancelled: Cancellation) -> token_groups.TokenGroups:
        return self.facts.services.inventory.groups(self.by, self.expression, cancelled=cancelled)

    def do_next(self) -> None:
        order = list(token_groups.GroupBy)
        self.by = order[(order.index(self.by) + 1) % len(order)]
        self.stop_asking()
        self.ask_anew()

    def lines(self, answer: token_groups.TokenGroups, width: int) -> Iterator[Line]:
        yield _choice(answer)
        if not answer.rows:
            yield Line(Content("No token passes the filter: there is nothing to count."))
            return
        if answer.by is token_groups.GroupBy.KEY:
            yield from prose(_HOW_KNOWN, width, style="$muted")
        columns = FormatColumns(answer.by_format, min(width, _WIDEST))
        yield Line(columns.heading(f"by {WORDS[answer.by]}"))
        for group in answer.rows:
            target = self._target(answer.by, group)
            name = self._words_of(answer.by, group)
            yield Line(columns.row(name, group.by_format), target, f"Enter: these tokens. {group.shown}")
        if answer.others:
            words = f"… and {counted(answer.others, 'further group')} with {counted(answer.rest, 'token')}"
            yield line((words, "$muted"))
        else:
            yield Line(columns.row("all groups", answer.by_format, "bold"))

    def _words_of(self, by: token_groups.GroupBy, group: token_groups.TokenGroup) -> str:
        if by is not token_groups.GroupBy.KEY:
            return group.shown or f"no {WORDS[by]}"
        if group.value == token_groups.KEY_NOT_KNOWN:
            return "key not known"
        return self.facts.key_words.long(group.value) if group.value else "no KMS key: not encrypted"

    def _target(self, by: token_groups.GroupBy, group: token_groups.TokenGroup) -> TokensRoute | None:
        """The same tokens as a filter; None where there is no way to write it."""
        if len(group.value) >= token_groups.LONGEST_NAME:
            return None
        match by, group.value:
            case token_groups.GroupBy.KEY, "":
                narrower = _NOT_ENCRYPTED
            case token_groups.GroupBy.KEY, key if key == token_groups.KEY_NOT_KNOWN:
                narrower = "key:unknown"
            case _, "":
                narrower = f"{by}:/^$/"
            case _:
                narrower = term(by, group.value)
        return TokensRoute(f"{_as_one(self.expression)} {narrower}".strip())


def _as_one(expression: str) -> str:
    """The filter, to be narrowed by a term next to it."""
    alternatives = are_alternatives(parse_filter(expression, FIELDS))
    return f"({expression})" if alternatives else expression


def _choice(answer: token_groups.TokenGroups) -> Line:
    groups = len(answer.rows) + answer.others
    parts: list[str | tuple[str, str]] = [(counted(groups, "group"), "bold"), " by "]
    for by, word in WORDS.items():
        parts += [(word, "bold $accent") if by is answer.by else (word, "$muted"), "  "]
    return line(*parts, ("b: the next", "$muted"))
