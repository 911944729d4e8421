"""Status: are we all right? Problems first, each one Enter away from the rows or the key behind it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, ClassVar

from textual import work
from textual.content import Content
from textual.geometry import Size

from crypto_core.findings.finding import Finding
from crypto_core.keys.status import ProblemKind
from screens.actions.action import Action, ActionScope
from screens.asking import PendingCall, ask
from screens.blocking import Trouble
from screens.facts import Facts
from screens.main_screen import MainScreen
from screens.routes import KeyRoute, TokensRoute
from screens.status.column_lines import column_lines
from screens.status.guard_line import guard_lines
from screens.status.key_lines import key_lines
from screens.status.lines import answer_lines
from screens.status.problem_rows import ProblemRow, problem_rows
from screens.status.protected_line import protected_lines
from screens.status.sweep_line import sweep_lines
from screens.status.use_line import RecentUse, recent_use, use_lines
from screens.widgets.line_list import Line, LineList, indented

if TYPE_CHECKING:
    from crypto_core.incidents.model import IncidentView

WIDEST = 150
"""Cells beyond which a line is no easier to read."""
FINDINGS_SECONDS = 300.0
"""How old the findings in the store's events may be before the rules are asked anew."""
_ON_PROBLEMS: Mapping[str, Callable[[ProblemRow], bool]] = {
    "status.encrypt": lambda row: row.kind is ProblemKind.UNPROTECTED,
    "status.verify": lambda row: isinstance(row.target, TokensRoute) and row.kind is not ProblemKind.EMPTY,
    "status.incident": lambda row: True,
}
"""Actions on a problem's line, and the problems that they can be done about."""


class StatusScreen(MainScreen):
    """The census and its keys on one page. The last answer stays while a new one loads."""

    NAME = "status"
    ACTS: ClassVar[tuple[ActionScope, ...]] = (ActionScope.STATUS,)

    def __init__(self, facts: Facts) -> None:
        super().__init__(facts)
        self._use: RecentUse | None = None
        self._asked_use: PendingCall[RecentUse | None] | None = None
        self._incidents: tuple[IncidentView, ...] = ()
        self._asked_incidents: PendingCall[tuple[IncidentView, ...]] | None = None
        self._rows: Sequence[ProblemRow] = ()
        """The problems and findings that are shown."""
        self._use_of: tuple[object, int] | None = None
        """The answer beside which the keys' use was asked for."""

    def show_facts(self) -> None:
        """Paint the status that is known now."""
        fact = self.facts.status
        self.show_path()
        self.say_trouble(fact)
        self.query_one(LineList).write(self._lines)
        # After the tokens are on screen, and anew whenever they were counted anew.
        if fact.value is not None and self._use_of != (fact.at, self.facts.epoch):
            if self._use_of is not None and self._use_of[1] != self.facts.epoch:
                self._use, self._incidents = None, ()
            self._use_of = (fact.at, self.facts.epoch)
            self.call_after_refresh(self._ask_use)
            self.call_after_refresh(self._ask_incidents)

    def _ask_incidents(self) -> None:
        service = self.facts.services.incidents
        if service is None or (self._asked_incidents is not None and self._asked_incidents.waiting):
            return
        self._asked_incidents = ask(
            self, lambda _: service.incidents(closed=False, limit=20), self._keep_incidents, group="incidents"
        )

    def _keep_incidents(self, answer: tuple[IncidentView, ...] | Trouble) -> None:
        """Show what is open; trouble with it is for the screen of incidents to tell."""
        known = () if isinstance(answer, Trouble) else answer
        if known != self._incidents:
            self._incidents = known
            self.query_one(LineList).write(self._lines)

    def _ask_use(self) -> None:
        if self._asked_use is not None and self._asked_use.waiting:
            return
        events = self.facts.services.events
        self._asked_use = ask(
            self, lambda cancelled: recent_use(events, cancelled), self._keep_use, group="use"
        )

    def _keep_use(self, answer: RecentUse | Trouble | None) -> None:
        """Show how the keys were used; trouble with the store is for the screen of events to tell."""
        use = None if isinstance(answer, Trouble) else answer
        if use is not None and self._findings_due():
            self.facts.ask_trail()
        if use != self._use:
            self._use = use
            self.query_one(LineList).write(self._lines)

    def _findings_due(self) -> bool:
        """Whether what the rules found in the store's events is not known, or was found a while ago."""
        trail = self.facts.trail
        at = max(filter(None, (trail.at, trail.tried)), default=None)
        return at is None or (self.facts.clock() - at).total_seconds() >= FINDINGS_SECONDS

    @property
    def problem_in_hand(self) -> ProblemRow | None:
        """The problem or finding under the cursor."""
        target = self.target_in_hand
        return next((row for row in self._rows if row.target == target), None) if target else None

    def hints_depend_on(self) -> tuple[object, ...]:
        """What can be done about the problem under the cursor depends on its kind."""
        return (self.problem_in_hand,)

    def _examined(self) -> str:
        """What of the findings is not known yet, and the key that shows it."""
        if self.facts.posture.value is not None:
            return ""
        return "examining keys…" if self.facts.posture.asking else "keys not examined: 7"

    def _lines(self, size: Size) -> Sequence[Line]:
        width = min(size.width - 3, WIDEST)
        status = self.facts.status.value
        if status is None:
            words = "No answer yet: r asks again." if self.facts.status.trouble else "Counting tokens…"
            return indented([Line(Content.assemble((words, "$muted")))])
        self._rows = problem_rows(status, self.facts)
        if not status.tokens and not status.by_column:
            return indented(
                [
                    *answer_lines(status, self._rows, self._examined(), width, height=size.height),
                    Line(Content("")),
                    Line(Content("None of the configured tables is in this database; c chooses another.")),
                    Line(
                        Content.assemble(
                            ("keydeck discover", "bold"), " proposes the columns that hold tokens."
                        )
                    ),
                ]
            )
        blank, now = Line(Content("")), self.facts.clock()
        rest = [
            blank,
            *key_lines(status, self.facts.key_words, now, width, self.facts.services.write_key),
            blank,
            *column_lines(status, width),
            *guard_lines(status.guards, width),
            *sweep_lines(status.sweep, now, width),
            blank,
            *use_lines(self._use),
            *protected_lines(self.facts.memory.day_counts(self.facts.counted_place), now, width),
        ]
        height = max(size.height - len(rest), 0)
        answer = answer_lines(status, self._rows, self._examined(), width, height=height)
        opened: Sequence[Line] = ()
        if self._incidents:
            from screens.incidents.open_lines import open_lines

            opened = open_lines(self._incidents, width, self.facts)
        return indented([answer[0], *opened, *answer[1:], *rest])

    def possible(self, action: Action) -> bool | None:
        """Grey out what the line under the cursor gives nothing to do for."""
        possible = super().possible(action)
        if not possible or action.id not in _ON_PROBLEMS:
            return possible
        row = self.problem_in_hand
        return True if row is not None and _ON_PROBLEMS[action.id](row) else None

    @work(exclusive=True, group="write")
    async def do_encrypt(self) -> None:
        """Begin a job that encrypts what is stored in plaintext or dev format."""
        from crypto_core.reencryption.plan import Selection, Verb
        from screens.jobs.beginning import begin_job
        from screens.jobs.choose_tokens import Chosen

        row = self.problem_in_hand
        if row is not None and isinstance(row.target, TokensRoute):
            chosen = Chosen(Selection(filter=row.target.filter), row.tokens, f"every token {row.title}")
            await begin_job(self, chosen, Verb.ENCRYPT)

    @work(exclusive=True, group="write")
    async def do_verify(self) -> None:
        """Open the tokens behind the line, which asks KMS about each, and say whether they opened."""
        from crypto_core.reencryption.plan import Selection
        from screens.connections.run import Run

        row = self.problem_in_hand
        if row is not None and isinstance(row.target, TokensRoute):
            await self.app.push_screen_wait(Run(self.facts, Selection(filter=row.target.filter), row.tokens))
            self.facts.ask_status()

    @work(exclusive=True, group="write")
    async def do_incident(self) -> None:
        """Start an incident about the problem or finding under the cursor."""
        from screens.incidents.about import About, about_finding, about_tokens
        from screens.incidents.beginning import begin_incident

        row = self.problem_in_hand
        if row is None:
            return
        if isinstance(row.about, Finding):
            about = about_finding(row.about)
        elif isinstance(row.target, TokensRoute):
            about = about_tokens((), row.target.filter, f"status: {row.title}")
        else:
            about = About(origin=f"status: {row.title}", key=row.about.key_arn or "")
        await begin_incident(self, about)

    @work(exclusive=True, group="write")
    async def do_move_tokens(self) -> None:
        """Begin a job over the tokens under the key under the cursor; elsewhere, ask which tokens."""
        from screens.jobs.beginning import begin_job
        from screens.jobs.choose_tokens import under

        target: object = self.target_in_hand
        chosen = None
        if isinstance(target, KeyRoute):
            chosen = under(target.key_arn, self.facts.status.value, self.facts)
        await begin_job(self, chosen)

    @property
    def freshness(self) -> tuple[datetime | None, bool]:
        """When the tokens were counted, and whether they are being counted."""
        return self.facts.status.at, self.facts.status.asking

    @property
    def tried(self) -> datetime | None:
        """When the tokens could not be counted."""
        return self.facts.status.tried

    @property
    def took(self) -> float:
        """Seconds that the census took."""
        return self.facts.status.took

    def ask_anew(self) -> None:
        """Count all tokens and ask for the keys anew."""
        self.facts.ask_status()
        self.facts.ask_keys()
