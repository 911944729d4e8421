"""The values of events by field: how many events have each, and since when. Enter leads to them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, ClassVar

from textual.content import Content
from textual.geometry import Size

from crypto_core.trail.event_fields import PIVOTS
from crypto_core.trail.store import Summary
from crypto_core.trail.store.counts import Pivot, Value
from crypto_core.values.counts import counted
from screens.actions.action import Action
from screens.blocking_calls import Failure
from screens.event_filters import term, with_term
from screens.facts import ScreenFacts
from screens.main_screen import MainScreen
from screens.moments import end_of_axis, moment
from screens.routes import Followed, NarrowedEventsRoute, PivotsRoute, PrincipalRoute
from screens.widgets.cells import bar, fit, fit_middle, percent
from screens.widgets.line_list import Line, LineList, indented
from screens.widgets.notice import HintLine, NoticeBar
from screens.worker_calls import PendingCall, ask

FEW = 6
"""Values of each field where all fields are shown."""
MANY = 1_000
"""Values of a field that is shown alone."""
WORDS = {
    "ip": "from",
    "agent": "user agent",
    "name": "event",
    "key": "key",
    "material": "key material",
    "region": "Region",
}


class PivotScreen(MainScreen):
    """All fields, each with its commonest values; or one field. They are asked for one after another."""

    NAME = "pivots"
    EVERY = 60.0
    ACTS: ClassVar[tuple[str, ...]] = ("pivots",)

    def __init__(self, facts: ScreenFacts, expression: str, field: str = "") -> None:
        super().__init__(facts)
        self.expression = expression
        self._field = field
        self._fields = (field,) if field else PIVOTS
        self._pivots: dict[str, Pivot | Failure] = {}
        self._total: int | None = None
        self._at: datetime | None = None
        self._asked: PendingCall[Any] | None = None

    @property
    def crumb(self) -> tuple[str, str]:
        return f"By {word_of(self._field)}" if self._field else "Pivots", ""

    @property
    def freshness(self) -> tuple[datetime | None, bool]:
        return self._at, self._asked is not None and self._asked.waiting

    def on_mount(self) -> None:
        self.ask_anew()

    def on_unmount(self) -> None:
        if self._asked is not None:
            self._asked.drop()

    def ask_anew(self) -> None:
        if self._asked is not None and self._asked.waiting:
            return
        summary = self.facts.services.events.summary
        self._asked = ask(
            self,
            lambda cancelled: summary(self.expression, cancelled=cancelled),
            self._know_total,
            group="pivots",
        )
        self.show_facts()

    def _know_total(self, answer: Summary | Failure) -> None:
        if isinstance(answer, Failure):
            self.query_one(NoticeBar).tell(answer)
            self._at = self.facts.clock()
            self.show_facts()
            return
        self.query_one(NoticeBar).tell(None)
        self._total = answer.events
        self._ask_next(0)

    def _ask_next(self, place: int) -> None:
        """Ask for one field; when its values are there, for the next one."""
        if place >= len(self._fields):
            self._at = self.facts.clock()
            self.show_facts()
            return
        field, limit = self._fields[place], MANY if self._field else FEW
        pivot = self.facts.services.events.pivot

        def keep(answer: Pivot | Failure) -> None:
            self._pivots[field] = answer
            self._ask_next(place + 1)

        self._asked = ask(
            self,
            lambda cancelled: pivot(field, self.expression, limit=limit, cancelled=cancelled),
            keep,
            group="pivots",
        )
        self.show_facts()

    def show_facts(self) -> None:
        note = f"{self._total:,} events" if self._total is not None else "counting…"
        self.show_path(Content.assemble((note, "$muted")))
        self.query_one(LineList).write(self._lines)
        self.cursor_moved()

    def cursor_moved(self) -> None:
        line = self.query_one(LineList).current
        self.query_one(HintLine).say(line.hint if line is not None else "")
        self.refresh_hints(line is not None, self._principal)

    @property
    def _principal(self) -> str:
        target = self.target_in_hand
        return target.principal if isinstance(target, NarrowedEventsRoute) else ""

    def possible(self, action: Action) -> bool | None:
        if action.scope == "pivots" and not self._principal:
            return None
        return super().possible(action)

    def do_principal(self) -> None:
        if self._principal:
            self.post_message(Followed(PrincipalRoute(self._principal)))

    def _lines(self, size: Size) -> Sequence[Line]:
        width = max(size.width - 3, 40)
        lines: list[Line] = []
        if self._total == 0:
            return indented([Line(Content("No event passes this filter: there is nothing to count."))])
        for field in self._fields:
            answer = self._pivots.get(field)
            if answer is None:
                lines.append(_heading(field, "counting…"))
            elif isinstance(answer, Failure):
                lines.append(
                    Line(Content.assemble((fit(word_of(field), 14), "bold"), ("✖ ", "$error"), str(answer)))
                )
            else:
                lines += pivot_lines(answer, self.expression, self._total or 0, self.facts, width)
        return indented(lines)


def word_of(field: str) -> str:
    return WORDS.get(field, field)


def pivot_lines(pivot: Pivot, expression: str, total: int, facts: ScreenFacts, width: int) -> list[Line]:
    values = len(pivot.values) + pivot.others
    if not values:
        return [_heading(pivot.field, "none of these events has one")]
    lines = [_heading(pivot.field, counted(values, "value"))]
    wide = width >= 100
    room = min(width - 9 - 8 - 12 - (32 if wide else 0), 90)
    lines += [_value_line(pivot.field, v, expression, total, facts, room, wide=wide) for v in pivot.values]
    if pivot.others:
        words = f"… and {counted(pivot.others, 'further value')}, {pivot.rest:,} events"
        more = PivotsRoute(expression, pivot.field) if len(pivot.values) < MANY else None
        lines.append(
            Line(Content.assemble((f"  {words}", "$muted")), more, "Enter: more values." if more else "")
        )
    return lines


def _heading(field: str, words: str) -> Line:
    return Line(Content.assemble((fit(word_of(field), 14), "bold"), (words, "$muted")))


def _value_line(
    field: str, value: Value, expression: str, total: int, facts: ScreenFacts, room: int, *, wide: bool
) -> Line:
    words = shown_value(field, value.text, facts)
    parts: list[str | tuple[str, str]] = [
        "  ",
        fit_middle(words, room),
        (fit(f"{value.events:,}", 9, right=True), "bold"),
        (fit(percent(value.events, total), 8, right=True), "$muted"),
        "  ",
        (bar(value.events / total if total else 0.0, 8), "$accent"),
    ]
    now = facts.clock()
    seen = f"{end_of_axis(moment(value.first), now)} – {end_of_axis(moment(value.last), now)}"
    if wide:
        parts.append((f"  {seen}", "$muted"))
    narrowed = with_term(expression, term(field, value.text))
    hint = f"Enter: only events with this {word_of(field)}. {'' if wide else seen}"
    if field == "principal":
        hint = "Enter: only its events. T: what it opened and could have opened."
    of_principal = value.text if field == "principal" else ""
    return Line(Content.assemble(*parts), NarrowedEventsRoute(narrowed, of_principal), hint)


def shown_value(field: str, text: str, facts: ScreenFacts) -> str:
    """Return a value as it is shown: a key by its name, with its id."""
    if field == "key":
        return f"{facts.key_words.long(text)}  {text}"
    return text
