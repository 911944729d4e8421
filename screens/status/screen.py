"""Status: are we all right? Problems first, each one Enter away from the rows or the key behind it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, ClassVar

from rich.cells import cell_len
from textual import work
from textual.content import Content
from textual.geometry import Size
from textual.timer import Timer
from textual.widget import Widget
from textual.widgets import Static

from crypto_core.database.tokens.decoys import DECOY_SIGN, DecoyCount
from crypto_core.findings.finding import Severity
from crypto_core.keys.status import ProblemKind, Status
from crypto_core.values.counts import counted
from screens.actions.action import Action
from screens.blocking_calls import Failure
from screens.facts import ScreenFacts
from screens.format_columns import FormatColumns
from screens.main_screen import MainScreen
from screens.routes import FindingsRoute, KeyRoute, TokensRoute
from screens.signs import SIGNS
from screens.status.key_lines import key_lines
from screens.status.lines import RecentUse, guard_lines, protected_lines, recent_use, sweep_lines, use_lines
from screens.status.problem_rows import ProblemRow, problem_rows, shown_rows
from screens.widgets.cells import bar, cut, fit, percent, spread
from screens.widgets.line_list import Line, LineList, indented, line
from screens.widgets.notice import HintLine, NoticeBar
from screens.widgets.panes import Arrangement, Panes
from screens.worker_calls import PendingCall, ask

if TYPE_CHECKING:
    from crypto_core.database.tokens.census import CensusProgress
    from crypto_core.incidents.model import IncidentView

_ON_PROBLEMS: Mapping[str, Callable[[ProblemRow], bool]] = {
    "status.encrypt": lambda row: row.finding.rule == ProblemKind.UNPROTECTED,
    "status.verify": lambda row: (
        isinstance(row.target, TokensRoute) and row.finding.rule != ProblemKind.EMPTY
    ),
    "status.incident": lambda row: True,
}
"""Actions on a problem's line, and the problems that they can be done about."""


class ProblemActor(MainScreen):
    """A screen whose lines are problems and findings, among others."""

    def __init__(self, facts: ScreenFacts) -> None:
        super().__init__(facts)
        self.rows: Sequence[ProblemRow] = ()

    @property
    def problem_in_hand(self) -> ProblemRow | None:
        target = self.target_in_hand
        return next((row for row in self.rows if row.target == target), None) if target else None

    def hints_depend_on(self) -> tuple[object, ...]:
        """What can be done about the problem under the cursor depends on its kind."""
        return (self.problem_in_hand,)

    def possible(self, action: Action) -> bool | None:
        possible = super().possible(action)
        if not possible or action.id not in _ON_PROBLEMS:
            return possible
        row = self.problem_in_hand
        return True if row is not None and _ON_PROBLEMS[action.id](row) else None

    @work(exclusive=True, group="write")
    async def do_encrypt(self) -> None:
        from crypto_core.reencryption.plan import Selection, Verb
        from screens.jobs.choose_tokens import Chosen
        from screens.jobs.new_job import begin_job

        row = self.problem_in_hand
        if row is not None and isinstance(row.target, TokensRoute):
            what = f"every token {row.finding.title}"
            chosen = Chosen(Selection(filter=row.target.filter), row.finding.tokens, what)
            await begin_job(self, chosen, Verb.ENCRYPT)

    @work(exclusive=True, group="write")
    async def do_verify(self) -> None:
        from crypto_core.reencryption.plan import Selection
        from screens.connections.run import RunDialog

        row = self.problem_in_hand
        if row is not None and isinstance(row.target, TokensRoute):
            selection = Selection(filter=row.target.filter)
            await self.app.push_screen_wait(RunDialog(self.facts, selection, row.finding.tokens))
            self.facts.ask_status()

    @work(exclusive=True, group="write")
    async def do_incident(self) -> None:
        from screens.incidents.about import About, about_finding, about_tokens
        from screens.incidents.declare import begin_incident

        row = self.problem_in_hand
        if row is None:
            return
        origin = f"status: {row.finding.title}"
        if not row.of_status:
            about = about_finding(row.finding)
        elif isinstance(row.target, TokensRoute):
            about = about_tokens((), row.target.filter, origin)
        else:
            about = About(origin=origin, key=row.finding.subject)
        await begin_incident(self, about)


WIDEST = 150
"""Cells beyond which a line is no easier to read."""
COUNTING_LOOKS = 0.25
"""Seconds between two looks at how far a count is."""
FINDINGS_SECONDS = 300.0
"""How old the findings in the store's events may be before the rules are asked anew."""
_BAR = 24
_WORD = 9
_FEWEST_FINDINGS = 4
_ENTER = {KeyRoute: "Enter: the key.", FindingsRoute: "Enter: the finding."}


class StatusScreen(ProblemActor):
    """The census and its keys on one page. The last answer stays while a new one loads."""

    CSS_PATH = "screen.tcss"
    NAME = "status"
    ACTS: ClassVar[tuple[str, ...]] = ("status",)

    def __init__(self, facts: ScreenFacts) -> None:
        super().__init__(facts)
        self._use: RecentUse | None = None
        self._asked_use: PendingCall[RecentUse | None] | None = None
        self._incidents: tuple[IncidentView, ...] = ()
        self._asked_incidents: PendingCall[tuple[IncidentView, ...]] | None = None
        self._use_of: tuple[object, int] | None = None
        """The answer beside which the keys' use was asked for."""
        self._looks: Timer | None = None
        self._shown_counting: CensusProgress | None = None

    def body(self) -> Iterable[Widget]:
        yield NoticeBar()
        yield Panes(
            self.facts, LineList(), Static(id="side"), arranged=self._show_side, narrow=Arrangement.ALONE
        )
        yield HintLine()

    def on_mount(self) -> None:
        self._looks = self.set_interval(COUNTING_LOOKS, self._show_counting, pause=True)

    def cursor_moved(self) -> None:
        super().cursor_moved()
        self._show_side()

    def _show_side(self) -> None:
        panes = self.query_one(Panes)
        if panes.arrangement is Arrangement.ALONE or self.facts.status.value is None:
            return
        # It takes more than the list needs.
        from screens.status.side import side_content

        target = self.target_in_hand
        key = self.facts.key_words.find(target.key_arn) if isinstance(target, KeyRoute) else None
        content = side_content(self.problem_in_hand, key, self._use, self.facts, panes.detail_cells)
        side = self.query_one("#side", Static)
        side.update(content, layout=False)
        side.set_class(not content, "-empty")

    def show_facts(self) -> None:
        fact = self.facts.status
        self.show_path()
        self.say_trouble(fact)
        self.query_one(LineList).write(self._lines)
        self._show_counting()
        if self._looks is not None and fact.asking:
            self._looks.resume()
        elif self._looks is not None:
            self._looks.pause()
        # After the tokens are on screen, and anew whenever they were counted anew.
        if fact.value is not None and self._use_of != (fact.at, self.facts.epoch):
            if self._use_of is not None and self._use_of[1] != self.facts.epoch:
                self._use, self._incidents = None, ()
            self._use_of = (fact.at, self.facts.epoch)
            self.call_after_refresh(self._ask_use)
            self.call_after_refresh(self._ask_incidents)

    def _ask_incidents(self) -> None:
        if self._asked_incidents is not None and self._asked_incidents.waiting:
            return
        service = self.facts.services.incidents
        self._asked_incidents = ask(
            self, lambda _: service.incidents(closed=False, limit=20), self._keep_incidents, group="incidents"
        )

    def _keep_incidents(self, answer: tuple[IncidentView, ...] | Failure) -> None:
        """Show what is open; trouble with it is for the screen of incidents to tell, and closes none."""
        if not isinstance(answer, Failure) and answer != self._incidents:
            self._incidents = answer
            self.query_one(LineList).write(self._lines)

    def _ask_use(self) -> None:
        if self._asked_use is not None and self._asked_use.waiting:
            return
        events = self.facts.services.events
        self._asked_use = ask(
            self, lambda cancelled: recent_use(events, cancelled), self._keep_use, group="use"
        )

    def _keep_use(self, answer: RecentUse | Failure | None) -> None:
        """Show how the keys were used, nothing in trouble: that is for the screen of events to tell."""
        if isinstance(answer, Failure):
            answer = None
        if answer is not None and self._findings_due():
            self.facts.ask_trail()
        if answer != self._use:
            self._use = answer
            self.query_one(LineList).write(self._lines)

    def _findings_due(self) -> bool:
        trail = self.facts.trail
        at = max(filter(None, (trail.at, trail.tried)), default=None)
        return at is None or (self.facts.clock() - at).total_seconds() >= FINDINGS_SECONDS

    def _examined(self) -> str:
        if self.facts.posture.value is not None:
            return ""
        return "examining keys…" if self.facts.posture.asking else "keys not examined: 7"

    def _waiting(self, width: int) -> Content:
        if self.facts.status.trouble and not self.facts.status.asking:
            return Content.assemble(("No answer yet: r asks again.", "$muted"))
        return counting_content(self.facts.counting, width)

    def _show_counting(self) -> None:
        counting = self.facts.counting if self.facts.status.asking else None
        if counting != self._shown_counting and self.is_current:
            self._shown_counting = counting
            if self.facts.status.value is None and counting is not None:
                self.query_one(LineList).write(self._lines)
            else:
                self.show_path(counting_note(counting))

    def _lines(self, size: Size) -> Sequence[Line]:
        width = min(size.width - 3, WIDEST)
        status = self.facts.status.value
        if status is None:
            return indented([Line(self._waiting(width))])
        self.rows = problem_rows(status, self.facts)
        if not status.tokens and not status.by_column:
            return indented(
                [
                    *answer_lines(status, self.rows, self._examined(), width, height=size.height),
                    Line(Content("")),
                    Line(Content("None of the configured tables is in this database; c chooses another.")),
                    Line(
                        Content.assemble(
                            ("keydeck discover", "bold"), " proposes the columns that hold tokens."
                        )
                    ),
                ]
            )
        blank, now, trail = Line(Content("")), self.facts.clock(), self.facts.trail
        rest = [
            blank,
            *key_lines(status, self.facts.key_words, now, width, self.facts.services.write_key),
            blank,
            *column_lines(status, width),
            *guard_lines(status.guards, width),
            *sweep_lines(status.sweep, now, width),
            *decoy_lines(status.decoys, width),
            blank,
            *use_lines(self._use, None if trail.trouble else trail.value),
            *protected_lines(self.facts.memory.day_counts(self.facts.counted_place), now, width),
        ]
        height = max(size.height - len(rest), 0)
        answer = answer_lines(status, self.rows, self._examined(), width, height=height)
        opened: Sequence[Line] = ()
        if self._incidents:
            from screens.incidents.words import open_lines

            opened = open_lines(self._incidents, width, self.facts)
        return indented([answer[0], *opened, *answer[1:], *rest])

    @work(exclusive=True, group="write")
    async def do_move_tokens(self) -> None:
        """Begin a job over the tokens under the key under the cursor; elsewhere, ask which tokens."""
        from screens.jobs.choose_tokens import under
        from screens.jobs.new_job import begin_job

        target: object = self.target_in_hand
        chosen = None
        if isinstance(target, KeyRoute):
            chosen = under(target.key_arn, self.facts.status.value, self.facts)
        await begin_job(self, chosen)

    @property
    def freshness(self) -> tuple[datetime | None, bool]:
        return self.facts.status.at, self.facts.status.asking

    @property
    def tried(self) -> datetime | None:
        return self.facts.status.tried

    @property
    def took(self) -> float:
        return self.facts.status.took

    def ask_anew(self) -> None:
        self.facts.ask_status()
        self.facts.ask_keys()


def decoy_lines(decoys: DecoyCount, width: int) -> list[Line]:
    if not decoys.words:
        return []
    style = "$warning" if decoys.gone else "$muted"
    return [line((cut(f"tripwires: {DECOY_SIGN} {decoys.words}", width), style))]


def counting_content(counting: CensusProgress | None, width: int) -> Content:
    if counting is None:
        return Content.assemble(("Counting tokens…", "$muted"))
    shown = bar(counting.share, min(_BAR, max(width - 50, 8)))
    words = f"  {100 * counting.share:3.0f} %  {counted(counting.tokens, 'token')} so far"
    return Content.assemble(("Counting tokens  ", "$muted"), (shown, "$accent on $panel"), words)


def counting_note(counting: CensusProgress | None) -> Content:
    """Return the same in a few words, beside an answer that is shown meanwhile; nothing while none counts."""
    return (
        Content("")
        if counting is None
        else Content.assemble((f"counting {100 * counting.share:.0f} %", "$accent"))
    )


def column_lines(status: Status, width: int) -> list[Line]:
    """A heading, each column with its counts, and the sums. A column leads to its tokens."""
    columns = FormatColumns(status.by_format, width)
    return [
        Line(columns.heading("by column")),
        *(
            Line(
                columns.row(column.column, column.by_format),
                TokensRoute(_filter(column.column)),
                hint="Enter: the tokens of this column.",
            )
            for column in status.by_column
        ),
        Line(columns.row("all columns", status.by_format, "bold")),
    ]


def _filter(column: str) -> str:
    table, _, name = column.rpartition(".")
    return f"table:{table} column:{name}"


def answer_lines(
    status: Status, rows: Sequence[ProblemRow], examined: str, width: int, *, height: int
) -> list[Line]:
    """Return the answer, the problems, and what wasn't looked at.

    `examined` says how far findings are known. Where a page of `height` lines has room for it, what to do
    stands below each problem, and the evidence below each finding.
    """
    listed, left = shown_rows(rows, max(height // 5, _FEWEST_FINDINGS))
    count_width = max((len(f"{row.finding.tokens:,}") for row in listed), default=0) + 2
    lead = 2 + _WORD + count_width
    room = width - lead
    titles = sorted(cell_len(row.finding.title) for row in listed)
    title_width = min(titles[(len(titles) - 1) * 2 // 3] + 2, room // 2) if titles else 0
    lines = [Line(_answer(status, rows, examined, width))]
    for row in listed:
        lines.append(_problem(row, count_width, title_width, room))
        if len(listed) * 2 < height and row.below:
            lines.append(line(" " * lead, (cut(row.below, room), "$muted")))
    if left:
        lines.append(_others(left))
    lines += [_gap(reason, width - 2 - _WORD) for reason in status.coverage.reasons]
    return lines


def _answer(status: Status, rows: Sequence[ProblemRow], examined: str, width: int) -> Content:
    problems = len(status.problems)
    findings = sum(not row.of_status for row in rows)
    counts = [
        counted(number, word) for number, word in ((problems, "problem"), (findings, "finding")) if number
    ]
    if counts:
        sign = SIGNS[rows[0].finding.severity]
        left = Content.assemble(sign, (f" {' · '.join(counts)}", f"bold {sign.style}"))
    elif not status.coverage.complete:
        left = Content.assemble(SIGNS[Severity.HIGH], (" No problem in what could be checked", "bold"))
    elif status.tokens:
        left = Content.assemble(SIGNS[Severity.NONE], (" All is well", "bold $success"))
    else:
        left = Content.assemble(SIGNS[Severity.LOW], (" No tokens are stored", "bold"))
    if examined:
        left = Content.assemble(left, (f"   {examined}", "$muted"))
    share = percent(status.protected, status.tokens)
    right = Content.assemble((counted(status.tokens, "token"), "bold"), "   ", (share, "bold"), " protected")
    return spread(left, right, width)


def _problem(row: ProblemRow, count_width: int, title_width: int, room: int) -> Line:
    """How many tokens, what is wrong with them, where. A title that is longer than most pushes the last."""
    found = row.finding
    sign = SIGNS[found.severity]
    title_width = min(max(title_width, cell_len(found.title) + 2), room)
    count = f"{found.tokens:,}" if found.tokens else ""
    content = Content.assemble(
        sign,
        " ",
        (fit(found.severity.value, _WORD), sign.style),
        (fit(count, count_width - 1, right=True) + " ", "bold"),
        (fit(found.title, title_width), "bold" if found.severity.grave else ""),
        (cut(row.where, room - title_width), "$muted"),
    )
    enter = _ENTER.get(type(row.target), "Enter: these tokens.") if row.target is not None else ""
    hint = row.advice if "Enter" in row.advice else f"{enter} {row.advice}".strip()
    return Line(content, row.target, hint)


def _others(left: Sequence[ProblemRow]) -> Line:
    """The findings that there is no room for, by their severity."""
    by_severity = Counter(row.finding.severity for row in left)
    parts = ", ".join(
        f"{by_severity[severity]:,} {severity}" for severity in Severity if by_severity[severity]
    )
    words = f"  … {counted(len(left), 'more finding')}: {parts}"
    return line((words, "$muted"), target=FindingsRoute(""), hint="Enter: all findings.")


def _gap(reason: str, room: int) -> Line:
    sign = SIGNS[Severity.HIGH]
    return line(sign, " ", (fit("not seen", _WORD), sign.style), cut(reason, room))
