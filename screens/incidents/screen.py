"""Incidents: which are open, at which step, and what needs attention?"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from textual import work
from textual.content import Content
from textual.widget import Widget
from textual.widgets import Static

from crypto_core.incidents.model import IncidentState, IncidentView
from crypto_core.lists.sheet import Sheet, SheetField
from crypto_core.values.clean_text import cleans, shortened
from crypto_core.values.counts import counted
from screens.blocking_calls import Failure
from screens.facts import ScreenFacts
from screens.identities import person
from screens.incidents.words import at_step, budget, incident_sign, runbook_words, subject, there
from screens.list_screen import ListScreen
from screens.routes import ApprovalsRoute, Followed, IncidentRoute
from screens.widgets.notice import HintLine
from screens.widgets.table.columns import Cell
from screens.widgets.table.pane import TablePane
from screens.widgets.table.table_list import memory_listing
from screens.worker_calls import PolledCall

if TYPE_CHECKING:
    from crypto_core.guard.approvals import Approval

LEAD_SECONDS = 10.0
"""How often pending approvals and reminders are reloaded."""
MOST = 1_000
"""Incidents that are listed, the newest."""


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
    ACTS: ClassVar[tuple[str, ...]] = ("incidents",)

    def __init__(self, facts: ScreenFacts) -> None:
        super().__init__(facts)
        self._lead = PolledCall(
            self, facts.clock, LEAD_SECONDS, lambda _: lead_of(facts), self._show_lead, group="lead", factor=1
        )

    def body(self) -> Iterable[Widget]:
        yield Static(id="lead")
        yield TablePane(self.facts, LISTING, example=EXAMPLE)
        yield HintLine()

    def on_mount(self) -> None:
        self._lead.ask_if_due()

    def ask_anew(self) -> None:
        super().ask_anew()
        self._lead.ask_if_due()

    def _show_lead(self) -> None:
        lines = lead_lines(self._lead.known or Lead())
        shown = self.query_one("#lead", Static)
        shown.display = bool(lines)
        shown.update(Content("\n").join(lines))

    def show_list(self) -> None:
        view = self.row_in_hand
        self.show_path(self.pane.note())
        self.refresh_hints(*self.pane.state, self.facts.services.approvals is not None)
        self.query_one(HintLine).say(_hint(view) if view is not None else "")

    def route_of(self, row: IncidentView) -> IncidentRoute:
        return IncidentRoute(row.incident.id)

    @work(exclusive=True, group="write")
    async def do_new_incident(self) -> None:
        from screens.incidents.declare import begin_incident

        await begin_incident(self)

    def do_approvals(self) -> None:
        self.post_message(Followed(ApprovalsRoute()))


def lead_of(facts: ScreenFacts) -> Lead:
    gate = facts.services.approvals
    return Lead(facts.services.incidents.drill_due(), gate.requests(pending=True) if gate is not None else ())


def lead_lines(lead: Lead | Failure) -> list[Content]:
    if isinstance(lead, Failure):
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


def _step(view: IncidentView, _facts: ScreenFacts) -> Cell:
    if view.incident.state is IncidentState.CLOSED:
        return at_step(view), "$muted"
    return at_step(view), "" if view.current else "$success"


def _budget(view: IncidentView, facts: ScreenFacts) -> Cell:
    current = view.current
    at = budget(view, current, facts.moment) if current is not None else None
    if at is None or view.incident.state is IncidentState.CLOSED:
        return "-", "$muted"
    return f"{at.sign.text} {at.words}".strip(), at.sign.style


def _who(view: IncidentView, facts: ScreenFacts) -> Cell:
    if view.incident.state is IncidentState.CLOSED:
        return person(view.incident.closed_by), "$muted"
    return there(view.present, facts.moment) or "nobody", "" if view.present else "$warning"


def _state(view: IncidentView, facts: ScreenFacts) -> Cell:
    return view.incident.state.value, incident_sign(view, facts.moment).style


def _open_first(view: IncidentView, _facts: ScreenFacts) -> int:
    """Descending, as the list begins: open ones on top, the newest first."""
    return view.incident.id + (10**9 if view.incident.state is IncidentState.OPEN else 0)


def _runbook(view: IncidentView, _facts: ScreenFacts) -> Cell:
    return runbook_words(view), "$muted"


def _subject(view: IncidentView, facts: ScreenFacts) -> Cell:
    return subject(view.incident.scope, facts), "$muted"


_STATES = tuple(IncidentState)

SHEET: Sheet[IncidentView, ScreenFacts] = Sheet(
    "incident",
    "incidents",
    (
        SheetField("incident", None, (8, 10, 0), at="incident.name", tone="bold", order=_open_first),
        SheetField("title", None, (18, 34, 1), at="incident.title", free=True, order=True),
        SheetField("step", _step, (20, 48, 2)),
        SheetField("budget", _budget, (12, 34, 3)),
        SheetField("who", _who, (8, 20, 4)),
        SheetField("age", None, (9, 12, 5), "begun", "incident.declared_at", "$muted", order=True),
        SheetField("subject", _subject, (14, 40, 6), "about", "incident.scope", free=True, ends=True),
        SheetField(
            "state",
            _state,
            (6, 8, 7),
            "",
            "incident.state",
            find=True,
            values=_STATES,
            order=True,
            shown=False,
        ),
        SheetField("runbook", _runbook, (14, 24, 8), at="runbook.id", find=True, shown=False),
        SheetField("by", at="incident.declared_by", free=True, listed=False),
    ),
)


def _record(view: IncidentView) -> dict[str, Any]:
    incident, current = view.incident, view.current
    return {
        "incident": incident.name,
        "title": incident.title,
        "state": incident.state.value,
        "runbook": view.runbook.id,
        "runbook_version": view.runbook.version,
        "subject": str(incident.scope),
        "step": current.step.title if current is not None else None,
        "steps": len(view.steps),
        "declared_at": incident.declared_at.isoformat(),
        "declared_by": incident.declared_by,
        "closed_at": incident.closed_at.isoformat() if incident.closed_at else None,
        "outcome": incident.outcome or None,
    }


LISTING = memory_listing(
    "incidents",
    SHEET,
    lambda facts: facts.services.incidents.incidents(limit=MOST),
    sort="incident",
    descending=True,
    identity=lambda view: view.incident.id,
    reference=lambda view: view.incident.name,
    sign=lambda view, facts: incident_sign(view, facts.moment),
    record=_record,
    nothing=(
        "No incident yet.\n"
        "An incident is one run of a runbook: steps, who did them, what proves it.\n"
        "n starts one; so does I on a connection, a key, an event or a finding.\n"
        "It is kept in the database: any operator can continue from another console."
    ),
)
EXAMPLE = "state:open runbook:key-compromise title:*tokens*"
