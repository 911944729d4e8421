"""What keeps incidents and approvals, where there is any."""

from __future__ import annotations

from typing import TYPE_CHECKING

from crypto_core.errors import RefusedError
from screens.services import HasServices

if TYPE_CHECKING:
    from crypto_core.guard.approvals import ApprovalGate
    from crypto_core.incidents.service import IncidentService


def incident_work(place: HasServices) -> IncidentService:
    """Return what keeps incidents. Raises RefusedError where nothing does."""
    work = place.services.incidents
    if work is None:
        raise RefusedError(
            "Incidents can't be kept here.", remedy="They need Keydeck's own schema: keydeck init."
        )
    return work


def approval_gate(place: HasServices) -> ApprovalGate:
    """Return what keeps approvals. Raises RefusedError where nothing does."""
    gate = place.services.approvals
    if gate is None:
        raise RefusedError("Nothing needs a second person here.")
    return gate
