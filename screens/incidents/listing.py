"""The incidents as a table lists them."""

from __future__ import annotations

from typing import Any

from crypto_core.incidents.model import IncidentState, IncidentView
from crypto_core.lists.filter_language import Field
from screens.ages import ago
from screens.facts import Facts
from screens.identities import person
from screens.incidents.words import at_step, budget, incident_sign, runbook_words, subject, there
from screens.incidents.work import incident_work
from screens.widgets.cells import fit_middle
from screens.widgets.table.columns import Cell, Column
from screens.widgets.table.listing import Listing
from screens.widgets.table.memory_rows import MemoryRows

MOST = 1_000
"""Incidents that are listed, the newest."""


def _step(view: IncidentView, _facts: Facts) -> Cell:
    if view.incident.state is IncidentState.CLOSED:
        return at_step(view), "$muted"
    return at_step(view), "" if view.current else "$success"


def _budget(view: IncidentView, facts: Facts) -> Cell:
    current = view.current
    at = budget(view, current, facts.moment) if current is not None else None
    if at is None or view.incident.state is IncidentState.CLOSED:
        return "-", "$muted"
    return f"{at.sign.text} {at.words}".strip(), at.sign.style


def _who(view: IncidentView, facts: Facts) -> Cell:
    if view.incident.state is IncidentState.CLOSED:
        return person(view.incident.closed_by), "$muted"
    return there(view.present, facts.moment) or "nobody", "" if view.present else "$warning"


def _state(view: IncidentView, facts: Facts) -> Cell:
    return view.incident.state.value, incident_sign(view, facts.moment).style


def _age(view: IncidentView, facts: Facts) -> Cell:
    return ago(view.incident.declared_at, facts.moment), "$muted"


def _subject(view: IncidentView, facts: Facts) -> Cell:
    return subject(view.incident.scope, facts), "$muted"


COLUMNS: tuple[Column[IncidentView], ...] = (
    Column("incident", "incident", lambda view, _: (view.incident.name, "bold"), "incident", 8, 10, 0),
    Column("title", "title", lambda view, _: (view.incident.title, ""), "title", 18, 34, 1),
    Column("step", "step", _step, "", 20, 48, 2),
    Column("budget", "budget", _budget, "", 12, 34, 3),
    Column("who", "who", _who, "", 8, 20, 4),
    Column("age", "begun", _age, "age", 9, 12, 5),
    Column("subject", "about", _subject, "", 14, 40, 6, cut=fit_middle),
    Column("state", "state", _state, "state", 6, 8, 7, shown=False),
    Column("runbook", "runbook", lambda view, _: (runbook_words(view), "$muted"), "", 14, 24, 8, shown=False),
)

ROWS: MemoryRows[IncidentView] = MemoryRows(
    lambda facts: incident_work(facts).incidents(limit=MOST),
    {
        Field("state", values=tuple(s.value for s in IncidentState)): lambda v, _: v.incident.state.value,
        Field("title"): lambda view, _: view.incident.title,
        Field("subject"): lambda view, _: str(view.incident.scope),
        Field("runbook"): lambda view, _: view.runbook.id,
        Field("by"): lambda view, _: view.incident.declared_by,
    },
    identity=lambda view: view.incident.id,
    free=("title", "subject", "by"),
    sorts={
        # Descending, as the list begins: open ones on top, the newest first.
        "incident": lambda view, _: (
            view.incident.id + (10**9 if view.incident.state is IncidentState.OPEN else 0)
        ),
        "state": lambda view, _: view.incident.state.value,
        "title": lambda view, _: view.incident.title,
        "age": lambda view, _: int(view.incident.declared_at.timestamp()),
    },
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


LISTING: Listing[IncidentView] = Listing(
    name="incidents",
    columns=COLUMNS,
    source=ROWS,
    fields=ROWS.fields,
    sort="incident",
    descending=True,
    identity=lambda view: view.incident.id,
    reference=lambda view: view.incident.name,
    sign=lambda view, facts: incident_sign(view, facts.moment),
    record=_record,
    one="incident",
    many="incidents",
    nothing=(
        "No incident yet.\n"
        "An incident is one run of a runbook: steps, who did them, what proves it.\n"
        "n starts one; so does I on a connection, a key, an event or a finding.\n"
        "It is kept in the database: any operator can continue from another console."
    ),
)
EXAMPLE = "state:open runbook:key-compromise title:*tokens*"
