"""Events by several fields and the clock together: each group's number, failures, first and last."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import ClassVar

from textual.content import Content

from crypto_core.cancelling import Cancellation
from crypto_core.text.counting import counted
from crypto_core.trail.store.tallies import EventTally, Tallies
from crypto_core.trail.term_sql import CLOCK
from screens.actions.action import ActionScope
from screens.event_filters import term, with_term
from screens.events.pivot_screen import shown_value, word_of
from screens.facts import Facts
from screens.routes import NarrowedEventsRoute
from screens.use.lines import span_words, who
from screens.use.use_screen import UseScreen
from screens.widgets.cells import bar, fit, fit_middle
from screens.widgets.line_list import Line

MANY = 1_000
"""Groups that are listed; how many more there are is said."""
_NARROWS = {"hour": "hour:{}", "weekday": "weekday:{}", "day": "time:{}"}
"""The terms of the clock's values."""
_CLOCK_ROOM = 10
_SPLIT = ("key", "material")
"""Fields whose texts hold several values."""


class GroupsScreen(UseScreen[Tallies]):
    """Enter on a group leads to its events."""

    NAME = "groups"
    ACTS: ClassVar[tuple[ActionScope, ...]] = ()

    def __init__(self, facts: Facts, expression: str, fields: tuple[str, ...]) -> None:
        super().__init__(facts)
        self.expression = expression
        self._fields = fields

    @property
    def crumb(self) -> tuple[str, str]:
        return f"By {', '.join(map(word_of, self._fields))}", ""

    def ask_for(self, cancelled: Cancellation) -> Tallies:
        return self.facts.services.events.tally(
            self._fields, self.expression, limit=MANY, cancelled=cancelled
        )

    def lines(self, answer: Tallies, width: int) -> Iterator[Line]:
        if not answer.rows:
            yield Line(Content("No event passes this filter: there is nothing to count."))
            return
        yield Line(Content.assemble((counted(len(answer.rows) + answer.others, "group"), "bold"), " in UTC"))
        most = answer.rows[0].events
        for row in answer.rows:
            yield self._line(row, most, width)
        if answer.others:
            words = f"… and {counted(answer.others, 'further group')}, {answer.rest:,} events"
            yield Line(Content.assemble((words, "$muted")))

    def _line(self, row: EventTally, most: int, width: int) -> Line:
        wide = width >= 100
        room = width - 9 - 9 - 9 - (34 if wide else 0)
        clock = sum(field in CLOCK for field in self._fields)
        others = max(len(self._fields) - clock, 1)
        wanted = max((room - clock * (_CLOCK_ROOM + 1)) // others - 1, 8)
        parts: list[str | tuple[str, str]] = []
        for field, value in zip(self._fields, row.texts, strict=True):
            words = "-"
            if value:
                words = who(value) if field == "principal" else shown_value(field, value, self.facts)
            parts.append(fit_middle(words, _CLOCK_ROOM if field in CLOCK else min(wanted, 60)) + " ")
        parts.append((fit(f"{row.events:,}", 9, right=True), "bold"))
        parts.append((fit(f"✖ {row.failed:,}" if row.failed else "", 9, right=True), "$error"))
        parts += ["  ", (bar(row.events / most, 6), "$accent")]
        seen = span_words(row.first, row.last, self.facts.clock())
        if wide:
            parts.append((f"  {seen}", "$muted"))
        principal = dict(zip(self._fields, row.texts, strict=True)).get("principal", "")
        narrowed = narrowed_to(self.expression, self._fields, row.texts)
        hint = f"Enter: only these events. {'' if wide else f'{seen}  '}{principal}"
        return Line(Content.assemble(*parts), NarrowedEventsRoute(narrowed, principal), hint)


def narrowed_to(expression: str, fields: Sequence[str], values: Sequence[str]) -> str:
    """Return the filter of one group's events."""
    for field, value in zip(fields, values, strict=True):
        if not value:
            # Every hour is one: what has none tells no time.
            addition = "-hour:00..23" if field in CLOCK else f"-{field}:*"
            expression = with_term(expression, addition)
        elif field in CLOCK:
            expression = with_term(expression, _NARROWS[field].format(value))
        else:
            for one in value.split(" ") if field in _SPLIT else (value,):
                expression = with_term(expression, term(field, one))
    return expression
