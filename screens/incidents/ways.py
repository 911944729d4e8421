"""Which screen is behind a line that leads to an incident or a part of it."""

from __future__ import annotations

from screens.facts import Facts
from screens.main_screen import MainScreen
from screens.routes import (
    ApprovalsBehind,
    EntriesBehind,
    EvidenceBehind,
    EvidenceListBehind,
    IncidentBehind,
)

Target = IncidentBehind | EvidenceListBehind | EvidenceBehind | EntriesBehind | ApprovalsBehind


def incident_screen_behind(facts: Facts, target: Target) -> MainScreen:
    """Return the screen, loaded when it is first opened."""
    match target:
        case IncidentBehind(incident=incident):
            from screens.incidents.incident_screen import IncidentScreen

            return IncidentScreen(facts, incident)
        case EvidenceListBehind(incident=incident, step=step):
            from screens.incidents.evidence_screen import EvidenceListScreen

            return EvidenceListScreen(facts, incident, step)
        case EvidenceBehind():
            from screens.incidents.evidence_screen import EvidenceScreen

            return EvidenceScreen(facts, target)
        case EntriesBehind(incident=incident):
            from screens.incidents.timeline_screen import IncidentTimelineScreen

            return IncidentTimelineScreen(facts, incident)
        case ApprovalsBehind():
            from screens.incidents.approvals_screen import ApprovalsScreen

            return ApprovalsScreen(facts)
