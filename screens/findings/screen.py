"""Findings: what is wrong with keys, access and trails, the worst first."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import ClassVar

from textual import on
from textual.binding import BindingType
from textual.content import Content
from textual.message import Message
from textual.widget import Widget
from textual.widgets import Static

from crypto_core.counting import counted
from crypto_core.foreign import clean
from crypto_core.key_names import is_key_arn
from crypto_core.keys.posture.finding import Finding
from screens.actions.action import Scope
from screens.actions.performing import bindings
from screens.ages import ago
from screens.facts import Facts
from screens.findings.listing import EXAMPLE, LISTING
from screens.list_screen import ListScreen
from screens.routes import Followed, KeyBehind
from screens.signs import SIGNS
from screens.widgets.cursor_view import CursorView
from screens.widgets.hint_line import HintLine
from screens.widgets.notice import Notice
from screens.widgets.table.pane import TablePane


class FindingsScreen(ListScreen[Finding]):
    """The findings, what could not be examined, and the finding under the cursor whole."""

    CSS_PATH = "screen.tcss"
    NAME = "findings"
    EVERY = 300.0
    ACTS: ClassVar[tuple[Scope, ...]] = (Scope.FINDINGS,)
    BINDINGS: ClassVar[list[BindingType]] = [*bindings(Scope.FINDINGS)]

    def __init__(self, facts: Facts, expression: str = "") -> None:
        super().__init__(facts, expression)
        self._listed: object = None
        """The findings that are listed now."""

    def body(self) -> Iterable[Widget]:
        """Trouble if there is any, the findings, and the one under the cursor."""
        yield Notice()
        yield TablePane(self.facts, LISTING, first_filter=self.expression, example=EXAMPLE)
        yield Static(id="whole")
        yield HintLine()

    @property
    def freshness(self) -> tuple[datetime | None, bool]:
        """When the posture was examined."""
        return self.facts.posture.at, self.facts.posture.asking

    @property
    def took(self) -> float:
        """Seconds that the examination took."""
        return self.facts.posture.took

    def ask_anew(self) -> None:
        """Examine the posture anew."""
        self.facts.ask_posture()

    def show_facts(self) -> None:
        """List the findings that are known now; ask for them when nobody has."""
        fact = self.facts.posture
        if fact.value is None and fact.trouble is None and not fact.asking and self.is_current:
            # Asking tells of itself, and so leads here again.
            self.facts.ask_posture()
            return
        context = ""
        if fact.trouble is not None and fact.at is not None:
            context = f"Shown is what was known {ago(fact.at, self.facts.clock())}."
        self.query_one(Notice).tell(fact.trouble, context)
        waiting_for = "No answer yet: r asks again." if fact.trouble else "Examining keys, access and trails…"
        self.pane.wait_for(waiting_for if fact.value is None else "")
        if fact.value is not self._listed:
            self._listed = fact.value
            self.pane.refresh_rows()
        self.show_list()

    def on_screen_resume(self) -> None:
        """Come back to what may have been asked for by nobody yet."""
        super().on_screen_resume()
        if self.is_mounted and self.query(TablePane):
            self.show_facts()

    @on(TablePane.Changed)
    def show_list(self) -> None:
        """Show where in the list the cursor is, and the finding under it."""
        self._share_height()
        self.show_path(Content.assemble(*self._unseen(), self.pane.note()))
        self.refresh_hints(*self.pane.state)
        self._show_whole()

    def cursor_moved(self) -> None:
        """Show the finding under the cursor."""
        self.show_list()

    def _unseen(self) -> tuple[tuple[str, str], ...]:
        """How many things could not be examined."""
        gaps = self.facts.posture.value.coverage.reasons if self.facts.posture.value is not None else ()
        return ((f"▲ {counted(len(gaps), 'gap')}   ", "$warning"),) if gaps else ()

    def _share_height(self) -> None:
        """Give the list as many lines as it needs, up to half of them; the rest is the finding's."""
        pane = self.pane
        lines = pane.table.line_count() + 1 + (3 if pane.bar.is_open else 0)
        pane.styles.height = min(max(lines, 4), max(self.size.height * 45 // 100, 4))

    def _show_whole(self) -> None:
        finding = self.pane.table.current
        about_a_key = finding is not None and is_key_arn(finding.subject)
        self.query_one(HintLine).say("Enter: the key." if about_a_key else "")
        posture = self.facts.posture.value
        parts = finding_lines(finding) if finding is not None else []
        if posture is not None and posture.coverage.reasons:
            parts += [Content("")] if parts else []
            parts += [
                Content.assemble(("▲ ", "$warning"), "not examined: ", clean(reason, 600))
                for reason in posture.coverage.reasons
            ]
        self.query_one("#whole", Static).update(Content("\n").join(parts))

    @on(CursorView.Chosen)
    def open_subject(self, event: Message) -> None:
        """Go to the key that the finding is about."""
        event.stop()
        finding = self.pane.table.current
        if finding is not None and is_key_arn(finding.subject):
            self.post_message(Followed(KeyBehind(finding.subject)))


def finding_lines(finding: Finding) -> list[Content]:
    """Return a finding whole: what, about what, what was seen, what to do, which controls it serves."""
    sign = SIGNS[finding.severity]
    rows = [Content.assemble(sign, " ", (finding.severity.value, sign.style), "  ", (finding.title, "bold"))]
    for name, text in (
        ("about", finding.subject),
        ("evidence", finding.evidence),
        ("remedy", finding.remedy),
        ("controls", ", ".join(finding.controls)),
        ("rule", finding.rule),
    ):
        if text:
            rows.append(Content.assemble((f"{name:<10}", "$muted"), clean(text, 1_200)))
    return rows
