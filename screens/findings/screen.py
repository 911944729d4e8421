"""Findings: what is wrong with keys, access and trails, the worst first."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any, ClassVar

from textual import work
from textual.content import Content
from textual.widget import Widget
from textual.widgets import Static

from crypto_core.findings.finding import Finding
from crypto_core.keys.changes.change import number_of_days
from crypto_core.keys.policy.least_privilege import is_principal
from crypto_core.trail.store.suppressions import MOST_DAYS, Suppressed, Suppression
from crypto_core.values.counts import counted
from crypto_core.values.key_names import is_key_arn
from screens.actions.action import Action
from screens.blocking_calls import Failure
from screens.facts import Loaded, ScreenFacts
from screens.findings.finding_list import EXAMPLE, LISTING, events_filter, hidden, reasons, told
from screens.findings.words import finding_facts
from screens.identities import noted_by
from screens.key_changes.block_actor import BlockActor
from screens.key_changes.block_lines import SIGN, PageNames, blocked_words
from screens.list_screen import ListScreen
from screens.routes import EventsRoute, KeyRoute
from screens.signs import SIGNS
from screens.widgets.notice import HintLine, NoticeBar
from screens.widgets.panes import Arrangement, Panes
from screens.widgets.plan_dialog import UNCHANGED
from screens.widgets.question import AskText
from screens.widgets.table.pane import TablePane
from screens.worker_calls import ask

STORE_SECONDS = 5.0
"""How often the store is asked whether events came: the findings about them are examined anew then."""
DAYS = 30
"""For how long a finding is suppressed by default."""


class FindingsScreen(BlockActor, ListScreen[Finding]):
    """The findings, what could not be examined, and the finding under the cursor whole."""

    CSS_PATH = "screen.tcss"
    NAME = "findings"
    EVERY = 300.0
    ACTS: ClassVar[tuple[str, ...]] = ("findings", "blocking")

    def __init__(self, facts: ScreenFacts, expression: str = "") -> None:
        super().__init__(facts, expression)
        self._listed: object = (None, None)
        """What the findings that are listed now are of."""
        self._store: tuple[int, int] | None = None
        self._store_at: datetime | None = None

    def body(self) -> Iterable[Widget]:
        yield NoticeBar()
        yield Panes(
            self.facts,
            TablePane(self.facts, LISTING, first_filter=self.expression, example=EXAMPLE),
            Static(id="whole"),
            arranged=self.show_list,
            narrow=Arrangement.BELOW,
        )
        yield HintLine()

    @property
    def freshness(self) -> tuple[datetime | None, bool]:
        """When keys and events were examined: the older of both."""
        facts = (self.facts.posture, self.facts.trail)
        known = [fact.at for fact in facts if fact.at is not None]
        return min(known, default=None), any(fact.asking for fact in facts)

    @property
    def tried(self) -> datetime | None:
        """When keys or events could not be examined: the later of both."""
        tried = [fact.tried for fact in (self.facts.posture, self.facts.trail) if fact.tried is not None]
        return max(tried, default=None)

    @property
    def took(self) -> float:
        return max(self.facts.posture.took, self.facts.trail.took)

    def ask_anew(self) -> None:
        self.facts.ask_posture()
        self.facts.ask_trail()

    def _tick(self) -> None:
        super()._tick()
        now, events = self.facts.clock(), self.facts.services.events
        due = self._store_at is None or (now - self._store_at).total_seconds() >= STORE_SECONDS
        if due and self.is_current and not self.refreshing.paused:
            self._store_at = now
            ask(self, lambda _: events.state(), self._keep_store, group="store")

    def _keep_store(self, answer: tuple[int, int] | Failure) -> None:
        """Examine the events anew where some came, from whichever process."""
        if isinstance(answer, Failure):
            return
        if self._store is not None and answer != self._store:
            self.facts.ask_trail()
        self._store = answer

    def show_facts(self) -> None:
        fact, trail = self.facts.posture, self.facts.trail
        if self.is_current:
            # Asking tells of itself, and so leads here again.
            if _unasked(trail):
                self.facts.ask_trail()
                return
            if _unasked(fact):
                self.facts.ask_posture()
                return
        self.say_trouble(fact if fact.trouble is not None else trail)
        waiting_for = "No answer yet: r asks again." if fact.trouble else "Examining keys, access and trails…"
        self.pane.wait_for(waiting_for if fact.value is None and not told(self.facts) else "")
        known = (fact.value, trail.value)
        if known != self._listed:
            self._listed = known
            self.pane.refresh_rows()
        self.show_list()

    def on_screen_resume(self) -> None:
        if self.is_mounted and self.query(TablePane):
            self.show_facts()

    def show_list(self) -> None:
        self.share_height()
        self.show_path(Content.assemble(*self._unseen(), self.pane.note()))
        self.refresh_hints(*self.pane.state)
        self._show_whole()

    def _unseen(self) -> tuple[tuple[str, str], ...]:
        gaps, suppressed = reasons(self.facts), hidden(self.facts)
        return (
            *(((f"▲ {counted(len(gaps), 'gap')}   ", "$warning"),) if gaps else ()),
            *(((f"{len(suppressed):,} suppressed   ", "$muted"),) if suppressed else ()),
        )

    def _show_whole(self) -> None:
        finding = self.pane.table.current
        about_a_key = finding is not None and is_key_arn(finding.subject)
        hint = "Enter: its events." if finding is not None and finding.events else ""
        self.query_one(HintLine).say(hint or ("Enter: the key." if about_a_key else ""))
        parts = finding_lines(finding) if finding is not None else []
        parts += [
            Content.assemble((f"{SIGN} ", "$success"), words)
            for words in blocked_words(self.blocks_seen, self.facts)
        ]
        further = [
            *(
                Content.assemble(("▲ ", "$warning"), "not examined: ", reason)
                for reason in reasons(self.facts)
            ),
            *suppressed_lines(hidden(self.facts)),
        ]
        parts += [Content("")] if parts and further else []
        parts += further
        self.query_one("#whole", Static).update(Content("\n").join(parts))

    @property
    def named(self) -> PageNames | None:
        """Whom the finding under the cursor is about, or who did what it is about."""
        finding = self.pane.table.current if self._pane is not None and self._pane.is_mounted else None
        if finding is None:
            return None
        subject, events = finding.subject, finding.events
        if subject == "*" or is_principal(subject):
            return PageNames((subject,), (), events)
        if is_key_arn(subject):
            return PageNames((), (subject,), events)
        return PageNames(events=events) if events else None

    def route_of(self, row: Finding) -> EventsRoute | KeyRoute | None:
        if events_filter(row):
            return EventsRoute(events_filter(row))
        return KeyRoute(row.subject) if is_key_arn(row.subject) else None

    def possible(self, action: Action) -> bool | None:
        possible = super().possible(action)
        acts_on_one = action.id in ("findings.suppress", "findings.incident")
        return None if possible and acts_on_one and self.pane.table.current is None else possible

    @work(exclusive=True, group="write")
    async def do_incident(self) -> None:
        from screens.incidents.about import about_finding
        from screens.incidents.declare import begin_incident

        finding = self.pane.table.current
        if finding is not None:
            await begin_incident(self, about_finding(finding))

    @work(exclusive=True, group="write")
    async def do_suppress(self, reason: str) -> None:
        finding = self.pane.table.current
        if finding is None:
            return
        about = f"{finding.rule} about {finding.subject}. Why is this expected?"
        given: str | None = reason
        if not reason:
            given = await self.app.push_screen_wait(AskText(f"Suppress: {UNCHANGED}", about))
        if given is None:
            return
        why = given
        about = f"For how many days? 1 to {MOST_DAYS}; then it is shown again."
        days = await self.app.push_screen_wait(AskText(f"Suppress: {UNCHANGED}", about, str(DAYS)))
        if days is None:
            return
        by = noted_by(self.facts.surroundings.value)
        rules, rule, subject = self.facts.services.trail_rules, finding.rule, finding.subject
        ask(
            self,
            lambda _: rules.suppress(rule, subject, why, number_of_days(days), by),
            self._suppressed,
            group="suppress",
        )

    @work(exclusive=True, group="write")
    async def do_unsuppress(self, given: str) -> None:
        chosen: str | None = given
        if not given:
            about = "Which suppression? Its number stands below the finding."
            chosen = await self.app.push_screen_wait(AskText(f"Unsuppress: {UNCHANGED}", about))
        if chosen is None:
            return
        rules, text = self.facts.services.trail_rules, chosen
        ask(self, lambda _: rules.unsuppress(number_of_days(text)), self._suppressed, group="suppress")

    def _suppressed(self, answer: Suppression | Failure | None) -> None:
        if isinstance(answer, Failure):
            self.say(str(answer), trouble=True)
            return
        self.say(
            f"Suppressed until {answer.until:%Y-%m-%d}: {answer.rule}." if answer else "No longer suppressed."
        )
        self.facts.ask_trail()


def _unasked(fact: Loaded[Any]) -> bool:
    return fact.value is None and fact.trouble is None and not fact.asking


def suppressed_lines(suppressed: Iterable[Suppressed]) -> list[Content]:
    return [
        Content.assemble(
            (f"suppressed by {one.by.number}  ", "$muted"),
            one.finding.title,
            (
                f"  until {one.by.until:%Y-%m-%d}: {one.by.reason} ({one.by.by}); Z takes it back",
                "$muted",
            ),
        )
        for one in suppressed
    ]


def finding_lines(finding: Finding) -> list[Content]:
    sign = SIGNS[finding.severity]
    rows = [Content.assemble(sign, " ", (finding.severity.value, sign.style), "  ", (finding.title, "bold"))]
    for name, text in finding_facts(finding):
        rows.append(Content.assemble((f"{name:<10}", "$muted"), text))
    return rows
