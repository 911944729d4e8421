"""Compliance: which controls were met, on which days, and what proves it?"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, ClassVar

from textual import on
from textual.content import Content
from textual.widget import Widget
from textual.widgets import Static

from crypto_core.values.cancellation import Cancellation
from crypto_core.values.clean_text import shortened
from crypto_core.values.counts import counted
from crypto_core.values.errors import InvalidFilterError
from screens.actions.action import Action
from screens.answer_screen import AnswerScreen
from screens.compliance.control_status import ComplianceStanding, load_standing
from screens.compliance.day_lines import row_content
from screens.compliance.grid import (
    CONTROL_SIGNS,
    ControlRow,
    ControlState,
    Zoom,
    counts,
    frameworks_of,
    rows_of,
    shown_rows,
)
from screens.compliance.heat_map import HeatMap
from screens.event_filters import since as moment_since
from screens.facts import ScreenFacts
from screens.routes import Followed
from screens.widgets.cells import cut, spread
from screens.widgets.clipboard import cell_as_text, send_to_clipboard
from screens.widgets.cursor_view import CursorView
from screens.widgets.notice import HintLine, NoticeBar
from screens.widgets.panes import Arrangement, Panes

if TYPE_CHECKING:
    from screens.compliance.control_status import ComplianceStanding


@dataclass(frozen=True, slots=True)
class ControlDayRoute:
    """The evidence behind one day of a control, by its id, as the screen that leads there has loaded it."""

    SCREEN: ClassVar = "compliance.pages.ControlDayScreen"
    control: str
    day: date
    standing: ComplianceStanding = field(compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class OpenPointsRoute:
    """What is open for the next audit, as the screen that leads there has loaded it."""

    SCREEN: ClassVar = "compliance.pages.OpenPointsScreen"
    standing: ComplianceStanding = field(compare=False, repr=False)


MOST_DAYS = 3 * 366
_ROUND = {"30d": 30, "90d": 90, "1y": 365}
"""The periods that one key goes through, by their names."""
_SPAN = re.compile(r"(\S+?)\s*(?:\.\.|\s)\s*(\S+)")
_WRITTEN = "Write 30d, 90d, 1y, or two dates: 2026-01-01 2026-06-30."
BEGIN = "keydeck evidence record"
SCHEDULE = "keydeck evidence schedule"


class ComplianceScreen(AnswerScreen[ComplianceStanding]):
    """The heat map of the controls over a period, and beside it the control under the cursor.

    Until there is a record, it shows what is measured now, and how records are begun.
    """

    CSS_PATH = "screen.tcss"
    NAME = "compliance"
    EVERY = 300.0
    ASKING = "Reading the records…"
    LIMIT = 300.0
    ACTS: ClassVar[tuple[str, ...]] = ("compliance",)

    def __init__(self, facts: ScreenFacts) -> None:
        super().__init__(facts)
        self.chosen: PeriodChoice = named("90d")
        self.framework = ""
        self.only_wrong = False
        self._by_itself = False
        """Whether it is the time that has the screen ask."""
        self._known: ComplianceStanding | None = None
        """What need not be read again unless a record came."""
        self._rows: tuple[ControlRow, ...] = ()
        self._rows_of: tuple[ComplianceStanding | None, date] = (None, date.min)

    def body(self) -> Iterable[Widget]:
        yield NoticeBar()
        yield Static(id="standing")
        yield Panes(
            self.facts, HeatMap(), Static(id="control"), arranged=self.show_facts, narrow=Arrangement.BELOW
        )
        yield HintLine()

    @property
    def map(self) -> HeatMap:
        return self.query_one(HeatMap)

    @property
    def today(self) -> date:
        """Today in UTC: the days of records are UTC's."""
        return self.facts.clock().astimezone(UTC).date()

    @property
    def crumb(self) -> tuple[str, str]:
        period = "" if self.answer is not None and self.answer.period is None else self.chosen.words
        parts = [self.framework, period, "less than met" if self.only_wrong else ""]
        return "Compliance", " · ".join(filter(None, parts))

    def ask_for(self, cancelled: Cancellation) -> ComplianceStanding:
        services = self.facts.services
        return load_standing(
            services.named("compliance"),
            services.named("periods"),
            self.chosen.on(self.today),
            self._known,
            cancelled,
        )

    def ask_anew(self) -> None:
        """Read the period; by itself only if a record came, for the operator also what changed without."""
        self._known = self.answer if self._by_itself else None
        super().ask_anew()

    def _tick(self) -> None:
        self._by_itself = True
        super()._tick()
        self._by_itself = False

    def show_facts(self) -> None:
        self.say_known()
        standing = self.answer
        if standing is None:
            words = "No answer: r asks again." if self.trouble else self.ASKING
            self.query_one("#standing", Static).update(Content.assemble((words, "$muted")))
            return
        if self._rows_of[0] is not standing or self._rows_of[1] != self.today:
            self._rows_of = standing, self.today
            self._rows = rows_of(standing.controls, self.today)
        self._show_rows(standing)

    def say_known(self) -> None:
        self.show_path()
        self.query_one(NoticeBar).tell(self.trouble)

    def _show_rows(self, standing: ComplianceStanding) -> None:
        rows = shown_rows(self._rows, self.framework, only_wrong=self.only_wrong)
        about = [row for row in self._rows if self.framework in ("", row.control.framework.id)]
        width = max(self.size.width - 2, 20)
        self.query_one("#standing", Static).update(summary(standing, about, width))
        judged = standing.now.judgements if standing.now is not None else ()
        words: dict[str, str] = {one.control.id: one.words for one in judged}
        self.map.show(rows, standing.since, standing.until, words)

    def cursor_moved(self) -> None:
        standing, row, column = self.answer, self.map.row, self.map.day_column
        content = Content("")
        if standing is not None and row is not None and column is not None:
            panes = self.query_one(Panes)
            whole = panes.arrangement is Arrangement.BESIDE
            content = row_content(standing, row, column, self.today, panes.detail_cells, whole=whole)
        self.query_one("#control", Static).update(content, layout=False)
        known = standing is not None and standing.period is not None
        points = len(standing.points) if standing is not None else 0
        hints = ["Enter: the evidence behind it.", f"o: {points} open points." if points else ""]
        self.query_one(HintLine).say(" ".join(filter(None, hints)) if row is not None else "")
        self.refresh_hints(row is not None, known, points)

    @on(CursorView.Chosen)
    def open_day(self, event: CursorView.Chosen) -> None:
        event.stop()
        standing, row, column = self.answer, self.map.row, self.map.day_column
        if standing is not None and row is not None and column is not None:
            self.post_message(Followed(ControlDayRoute(row.control.id, row.worst_day(column), standing)))

    def possible(self, action: Action) -> bool | None:
        """What is about a period takes records, what is about a control takes one."""
        standing = self.answer
        if action.name in _OF_A_PERIOD and (standing is None or standing.period is None):
            return None
        if action.name in _OF_A_CONTROL and (not self.is_mounted or self.map.row is None):
            return None
        return super().possible(action)

    def do_left(self) -> None:
        self.map.move_across(self.map.column - 1)

    def do_right(self) -> None:
        self.map.move_across(self.map.column + 1)

    def do_earlier(self) -> None:
        self.map.move_across(self.map.column - self.map.in_sight)

    def do_later(self) -> None:
        self.map.move_across(self.map.column + self.map.in_sight)

    def do_next_wrong(self) -> None:
        self._to_wrong(1)

    def do_last_wrong(self) -> None:
        self._to_wrong(-1)

    def _to_wrong(self, step: int) -> None:
        if not self.map.next_wrong(step):
            way = "later" if step > 0 else "earlier"
            self.say(f"No {way} day in this period on which it was less than met.")

    def do_zoom_in(self) -> None:
        self._zoom(-1)

    def do_zoom_out(self) -> None:
        self._zoom(1)

    def _zoom(self, step: int) -> None:
        before = self.map.zoom
        self.map.zoom_by(step)
        if self.map.zoom is before:
            self.say("A column is a day already." if before is Zoom.DAY else "A column is a month already.")

    def do_framework(self, name: str) -> None:
        names = ("", *frameworks_of(self._rows))
        wanted = {"all": ""}.get(name, name)
        if not name:
            wanted = names[(names.index(self.framework) + 1) % len(names)] if self.framework in names else ""
        elif wanted not in names:
            known = ", ".join(names[1:])
            self.say(
                f"There is no framework {cell_as_text(name)[:40]}. Frameworks: all, {known}.", trouble=True
            )
            return
        self.framework = wanted
        self.show_facts()

    def do_worst(self) -> None:
        self.only_wrong = not self.only_wrong
        self.show_facts()

    def do_period(self, words: str) -> None:
        try:
            self.chosen = chosen(words, self.facts.clock()) if words else self.chosen.next()
        except InvalidFilterError as error:
            self.say(str(error), trouble=True)
            return
        self.stop_asking()
        self.ask_anew()

    def do_points(self) -> None:
        if self.answer is not None:
            self.post_message(Followed(OpenPointsRoute(self.answer)))

    def do_copy(self) -> None:
        row, column, cell = self.map.row, self.map.day_column, self.map.cell
        if row is not None and column is not None and cell is not None:
            control = row.control
            parts = (control.framework.title, control.number, control.title, column.words, cell.state)
            text = "\t".join(map(cell_as_text, parts))
            send_to_clipboard(self, text, f"{control.number} {column.words} {cell.state}")


_OF_A_PERIOD = frozenset(
    (
        "left",
        "right",
        "earlier",
        "later",
        "next-wrong",
        "last-wrong",
        "zoom-in",
        "zoom-out",
        "period",
        "points",
    )
)
_OF_A_CONTROL = frozenset(("copy", "next-wrong", "last-wrong"))


@dataclass(frozen=True, slots=True)
class PeriodChoice:
    """So many `days` up to today; or the days from `since` to `until`, both included."""

    words: str
    days: int = 0
    since: date = date.min
    until: date = date.min

    def on(self, today: date) -> tuple[date, date]:
        if self.days:
            return today - timedelta(days=self.days - 1), today
        return self.since, self.until

    def next(self) -> PeriodChoice:
        """Return the next of the round: the first one after two dates."""
        names = list(_ROUND)
        at = names.index(self.words) if self.words in names else -1
        return named(names[(at + 1) % len(names)])


def named(words: str) -> PeriodChoice:
    return PeriodChoice(words, _ROUND[words])


def chosen(words: str, now: datetime) -> PeriodChoice:
    """Return the period that an operator names. Raises InvalidFilterError, which says how to write it."""
    words = words.strip()
    if words in _ROUND:
        return named(words)
    both = _SPAN.fullmatch(words)
    first, last = (both[1], both[2]) if both else (words, "")
    until = _day(last, now) if last else now.astimezone(UTC).date()
    since = _day(first, now)
    if not since <= until:
        raise _refused(words, "ends before it begins")
    if (until - since).days >= MOST_DAYS:
        raise _refused(words, f"is longer than {MOST_DAYS:,} days")
    return PeriodChoice(f"{since} to {until}", 0, since, until)


def _day(words: str, now: datetime) -> date:
    try:
        return date.fromisoformat(words)
    except ValueError:
        pass  # how long ago, then
    try:
        return moment_since(words, None, now).astimezone(UTC).date()
    except (InvalidFilterError, OverflowError) as error:
        raise _refused(words, "is not a valid date") from error


def _refused(words: str, why: str) -> InvalidFilterError:
    return InvalidFilterError(f"{shortened(words, 40)!r} {why}.", position=0, remedy=_WRITTEN)


def summary(standing: ComplianceStanding, rows: Sequence[ControlRow], width: int) -> Content:
    """Return how the controls that are listed stand, and what the records are worth."""
    first = spread(_counts(rows), _right(standing), width)
    return Content("\n").join([first, *_records(standing, width)])


def _counts(rows: Sequence[ControlRow]) -> Content:
    parts: list[tuple[str, str]] = []
    for state, number in counts(row.latest for row in rows):
        sign = CONTROL_SIGNS[state]
        lead = sign.text.strip()
        grave = state in (ControlState.NOT_MET, ControlState.NOT_ASSESSED)
        style = f"bold {sign.style}" if grave and state is ControlState.NOT_MET else sign.style
        parts += [(f"{lead} {number} {state}" if lead else f"{number} {state}", style), ("   ", "")]
    return Content.assemble(*parts[:-1]) if parts else Content.assemble(("no controls", "$muted"))


def _right(standing: ComplianceStanding) -> Content:
    """What else the first line says: the lapses, and the days without a record."""
    if standing.period is None:
        return Content.assemble(("as measured now", "$muted"))
    lapses, gaps = standing.period.lapses, len(standing.period.gaps)
    still = sum(not one.over for one in lapses)
    words = counted(len(lapses), "lapse") + (f", {still} open" if still else "")
    days = (standing.until - standing.since).days + 1
    return Content.assemble(
        (words, "$error" if still else "" if lapses else "$muted"),
        "   ",
        (
            f"{gaps} of {days} days without a record" if gaps else "a record on every day",
            "$warning" if gaps else "$muted",
        ),
    )


def _records(standing: ComplianceStanding, width: int) -> Iterator[Content]:
    period = standing.period
    if period is None:
        yield _how_to_begin(standing, width)
        return
    if period.problems:
        more = len(period.problems) - 1
        tail = f" (and {more} more: o)" if more else ""
        words = cut(period.problems[0], max(width - 2 - len(tail), 10))
        yield Content.assemble(("✖ ", "$error"), (f"{words}{tail}", "bold $error"))
    elif period.unchecked:
        words = f"Records 1–{standing.last}: the chain is whole; signatures not checked: {period.unchecked}"
        yield Content.assemble(("▲ ", "$warning"), (cut(words, width - 2), "$muted"))
    elif not period.records:
        words = f"No record in this period; the newest is record {standing.last}. d chooses another period."
        yield Content.assemble(("▲ ", "$warning"), cut(words, width - 2))
    else:
        first, last = period.records[0].number, period.records[-1].number
        named = f"Records {first}–{last}" if last > first else f"Record {last}"
        unsigned = len(period.unsigned)
        words = f"{named}: the chain is whole, every signature fits"
        if unsigned:
            words = f"{named}: the chain is whole; {counted(unsigned, 'record')} not signed"
        sign = ("▲ ", "$warning") if unsigned else ("● ", "$success")
        yield Content.assemble(sign, (cut(words, width - 2), "$muted"))


def _how_to_begin(standing: ComplianceStanding, width: int) -> Content:
    if standing.no_records:
        return Content.assemble(("▲ ", "$warning"), cut(standing.no_records, width - 2))
    return Content.assemble(
        ("→ ", "$accent"),
        "No record yet: ",
        (BEGIN, "bold"),
        " makes one, ",
        (SCHEDULE, "bold"),
        " one each day",
    ).truncate(width, ellipsis=True)
