"""Incidents: which are open, at which step, and what needs attention?"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from textual import work
from textual.content import Content
from textual.widget import Widget
from textual.widgets import Static

from crypto_core.incidents.model import IncidentState, IncidentView
from crypto_core.text.cleaning import cleans, shortened
from crypto_core.text.counting import counted
from screens.actions.action import ActionScope
from screens.asking import PendingCall, ask
from screens.blocking import Trouble
from screens.facts import Facts
from screens.incidents.listing import EXAMPLE, LISTING
from screens.incidents.work import incident_work
from screens.list_screen import ListScreen
from screens.routes import ApprovalsRoute, Followed, IncidentRoute
from screens.widgets.hint_line import HintLine
from screens.widgets.table.pane import TablePane

if TYPE_CHECKING:
    from crypto_core.guard.approvals import Approval

LEAD_SECONDS = 10.0
"""How often pending approvals and reminders are reloaded."""


@dataclass(frozen=True, slots=True)
@cleans(drill=400)
class Lead:
    """What stands above the list: the drill that is due, and what waits for approval."""

    drill: str = ""
    waiting: tuple[Approval, ...] = ()


class IncidentsScreen(ListScreen[IncidentView]):
    """All incidents, the open ones on top; above them, what needs attention."""

    CSS_PATH = "screen.tcss"
    NAME = "incidents"
    EVERY = 5.0
    ACTS: ClassVar[tuple[ActionScope, ...]] = (ActionScope.INCIDENTS,)

    def __init__(self, facts: Facts) -> None:
        super().__init__(facts)
        self._lead: Lead | Trouble = Lead()
        self._asked: PendingCall[Lead] | None = None
        self._lead_at: float | None = None

    def body(self) -> Iterable[Widget]:
        """What waits, the incidents, and a word on the one under the cursor."""
        yield Static(id="lead")
        yield TablePane(self.facts, LISTING, example=EXAMPLE)
        yield HintLine()

    def on_mount(self) -> None:
        """Ask what waits, too."""
        self._ask_lead()

    def ask_anew(self) -> None:
        """Ask for the incidents and what waits anew."""
        super().ask_anew()
        self._ask_lead()

    def _ask_lead(self) -> None:
        now = self.facts.clock().timestamp()
        if (self._asked is not None and self._asked.waiting) or self.facts.services.incidents is None:
            return
        if self._lead_at is not None and now - self._lead_at < LEAD_SECONDS:
            return
        self._lead_at = now
        self._asked = ask(self, lambda _: lead_of(self.facts), self._keep_lead, group="lead")

    def _keep_lead(self, answer: Lead | Trouble) -> None:
        self._lead = answer
        self._show_lead()

    def _show_lead(self) -> None:
        lines = lead_lines(self._lead)
        shown = self.query_one("#lead", Static)
        shown.display = bool(lines)
        shown.update(Content("\n").join(lines))

    def show_list(self) -> None:
        """Show where in the list the cursor is, and what can be done with the incident under it."""
        view = self.row_in_hand
        self.show_path(self.pane.note())
        self.refresh_hints(*self.pane.state, self.facts.services.approvals is not None)
        self.query_one(HintLine).say(_hint(view) if view is not None else "")

    def route_of(self, row: IncidentView) -> IncidentRoute:
        """The incident's page."""
        return IncidentRoute(row.incident.id)

    @work(exclusive=True, group="write")
    async def do_new_incident(self) -> None:
        """Choose a runbook and what it is about, then open an incident."""
        from screens.incidents.beginning import begin_incident

        await begin_incident(self)

    def do_approvals(self) -> None:
        """To what waits for a second identity."""
        self.post_message(Followed(ApprovalsRoute()))


def lead_of(facts: Facts) -> Lead:
    """Return what needs attention. Raises what the services raise."""
    gate = facts.services.approvals
    return Lead(
        incident_work(facts).drill_due(),
        gate.requests(pending=True) if gate is not None else (),
    )


def lead_lines(lead: Lead | Trouble) -> list[Content]:
    """Return what needs attention, a line each."""
    if isinstance(lead, Trouble):
        return [Content.assemble(("▲ ", "$warning"), f"Pending approvals are not known: {lead}")]
    lines = []
    if lead.waiting:
        what = ", ".join(shortened(request.action, 60) for request in lead.waiting[:3])
        more = f" and {len(lead.waiting) - 3:,} more" if len(lead.waiting) > 3 else ""
        lines.append(
            Content.assemble(
                ("▲ ", "$warning"),
                (f"{counted(len(lead.waiting), 'request')} for approval", "bold"),
                f": {what}{more}. ",
                ("H", "bold $accent"),
                (" shows what.", "$muted"),
            )
        )
    if lead.drill:
        lines.append(Content.assemble(("▲ ", "$warning"), lead.drill))
    return lines


def _hint(view: IncidentView) -> str:
    if view.incident.state is IncidentState.CLOSED:
        return "Enter: the incident, its evidence and its report."
    current = view.current
    if current is None:
        return "Enter: the incident. Every step has ended: close it there, and write its report."
    return f"Enter: the incident, at step {current.number}: {current.step.title}."
