"""What keeps incidents and approvals, where there is any."""

from __future__ import annotations

from typing import TYPE_CHECKING

from crypto_core.errors import RefusedError
from screens.facts import Facts

if TYPE_CHECKING:
    from crypto_core.guard.approvals import ApprovalGate
    from crypto_core.incidents.service import IncidentService


def incident_work(facts: Facts) -> IncidentService:
    """Return what keeps incidents. Raises RefusedError where nothing does."""
    work = facts.services.incidents
    if work is None:
        raise RefusedError(
            "Incidents can't be kept here.", remedy="They need Keydeck's own schema: keydeck init."
        )
    return work


def approval_gate(facts: Facts) -> ApprovalGate:
    """Return what keeps approvals. Raises RefusedError where nothing does."""
    gate = facts.services.approvals
    if gate is None:
        raise RefusedError("Nothing needs a second identity here.")
    return gate
